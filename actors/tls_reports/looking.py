"""Where a domain wants its TLS reports sent, and what would be sent for a day."""

import asyncio
from collections.abc import Sequence
from datetime import date

from actors.tls_reports.sending import Sending
from cluster.journal.journal import Journal
from cluster.journal.tls_reports import ReportState
from cluster.lookup.resolver import Resolver
from cluster.policy.routes import mx
from cluster.policy.tls.report import file_name
from cluster.policy.tls.rua import ReportRecord, read_record
from cluster.policy.tls.shown_reports import ShownDestination, ShownReport

MOST_SHOWN = 20
"""Domains on a page: the document of one may have a megabyte."""


class Unanswered(Exception):
    """The DNS did not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def record_of(resolver: Resolver, domain: str) -> ReportRecord | None:
    """What a domain asks for; None when it asks for no reports. Raises Unanswered."""
    match await resolver.texts(f"_smtp._tls.{domain}"):
        case mx.Found(texts=texts):
            return read_record(texts)
        case mx.Failed(reason=reason):
            raise Unanswered(f"the DNS does not answer: {reason}")
    return None


class Looking:
    """Shows reports; changes nothing."""

    def __init__(self, journal: Journal, resolver: Resolver, sending: Sending) -> None:
        self._journal = journal
        self._resolver = resolver
        self._sending = sending

    async def show(self, day: date, domains: Sequence[str]) -> tuple[ShownReport, ...]:
        """The reports on these domains, at most ``MOST_SHOWN``. Raises Unavailable."""
        states: dict[str, list[ReportState]] = {domain: [] for domain in domains}
        for state in await self._journal.tls_reports.of_domains(day, domains):
            states[state.domain].append(state)
        shown = await asyncio.gather(*(self._one(day, domain, states[domain]) for domain in domains))
        return tuple(one for one in shown if one is not None)

    async def _one(self, day: date, domain: str, states: Sequence[ReportState]) -> ShownReport | None:
        document = await self._sending.document(domain, day)
        if document is None:
            return None
        try:
            record = await record_of(self._resolver, domain)
        except Unanswered as error:
            record = ReportRecord((), (error.reason,))
        known = {one.destination: one for one in states if one.destination}
        uris = dict.fromkeys([*known, *(one.uri for one in record.destinations)] if record else known)
        return ShownReport(
            domain=domain,
            document=document.decode(),
            file_name=file_name(domain, day, self._sending.submitter),
            destinations=tuple(_destination(uri, known.get(uri)) for uri in uris),
            faults=record.faults if record else (f"_smtp._tls.{domain} has no record that asks for reports",),
        )


def _destination(uri: str, state: ReportState | None) -> ShownDestination:
    if state is None:
        return ShownDestination(uri=uri)
    return ShownDestination(uri=uri, sent_at=state.sent_at, due_at=state.due_at, result=state.result)
