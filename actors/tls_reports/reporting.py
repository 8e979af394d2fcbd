"""Sends the TLS reports for each day that is over: plans them, looks up their destinations, and tries for a day.

The journal knows each step: the look-up for a domain, then a row for each destination. A step is taken under a lease,
so it is carried out again when the process ends within it. A mail is accepted with an idempotency key, which prevents
a second one. A second POST has the same report id, so receivers can recognise it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta

from actors.tls_reports.looking import MOST_SHOWN, Looking, Unanswered, record_of
from actors.tls_reports.sending import Sending, SendResult
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.tls_reports import OwedReport
from cluster.lookup.resolver import Resolver
from cluster.metrics import Counters
from cluster.policy.tls.rua import Destination, read_uri
from cluster.policy.tls.shown_reports import ShownReports

log = logging.getLogger(__name__)

LOOK_S = 5.0
AFTER_MIDNIGHT = timedelta(minutes=10)
"""By then the processes that count have written their counts of the day."""
SPREAD_S = 4 * 3600.0
"""RFC 8460 §4.1: a delay of up to four hours, so that reports from everywhere do not arrive at midnight."""
TRIED_FOR = timedelta(days=1)
"""RFC 8460 §4: from the end of the day on."""
FIRST_RETRY_S = 300.0
LONGEST_RETRY_S = 4 * 3600.0
LEASE_S = 600.0
AT_ONCE = 16
PLANNED_AT_ONCE = 1000
SENDER_LOOK_S = 60.0


class TlsReporting:
    """``now`` is the time, ``random`` returns 0 <= n < 1."""

    reports = Counters(
        "postray_tls_reports_total", "TLS reports, by what came of them.", "result", ("sent", "failed", "given up")
    )

    def __init__(
        self,
        journal: Journal,
        resolver: Resolver,
        sending: Sending,
        *,
        now: Callable[[], datetime],
        random: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._resolver = resolver
        self._sending = sending
        self._looking = Looking(journal, resolver, sending)
        self._now = now
        self._random = random
        self._planned: date | None = None
        self._sender_looked_at: datetime | None = None
        self._wake = asyncio.Event()
        self.problem: str | None = None
        """Why no reports can go by mail; None when they can."""

    async def run(self) -> None:
        """Send what is due until cancelled."""
        while True:
            try:
                await self._look_at_sender()
                await self.plan()
                while await self.round():
                    pass
            except Unavailable as error:
                log.warning("TLS reports wait reason=%r", error.reason)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def close(self) -> None:
        await self._sending.close()

    # For operators

    async def show(self, day: date, domain: str, after: str) -> ShownReports:
        """The reports for a day: of one domain, or ("") a page of all domains after ``after``. Raises Unavailable."""
        domains = [domain] if domain else await self._journal.tls_results.domains(day, after, MOST_SHOWN)
        return ShownReports(
            problem=await self._sending.problem(),
            reports=await self._looking.show(day, domains),
            next=domains[-1] if not domain and len(domains) == MOST_SHOWN else None,
        )

    async def send_now(self, day: date, domain: str) -> int:
        """Send the reports for a day at once, of one domain or ("") of all, except those that were sent. Returns the
        number of domains. Raises Unavailable."""
        now = self._now()
        asked = 0
        async for domains in self._counted(day):
            chosen = [one for one in domains if domain in ("", one)]
            await self._journal.tls_reports.ask(day, chosen, now, now + TRIED_FOR)
            asked += len(chosen)
        self._wake.set()
        return asked

    # Planning

    async def plan(self) -> None:
        """Plan the reports for yesterday, once. Raises Unavailable."""
        now = self._now()
        today = now.astimezone(UTC).date()
        begin = datetime.combine(today, time(), UTC)
        day = today - timedelta(days=1)
        if self._planned == day or now < begin + AFTER_MIDNIGHT:
            return
        async for domains in self._counted(day):
            await self._journal.tls_reports.plan(day, domains, begin + AFTER_MIDNIGHT, SPREAD_S, begin + TRIED_FOR)
        self._planned = day

    async def _counted(self, day: date) -> AsyncIterator[list[str]]:
        """The domains that have counts of a day, page by page. Raises Unavailable."""
        after = ""
        while domains := await self._journal.tls_results.domains(day, after, PLANNED_AT_ONCE):
            yield domains
            after = domains[-1]

    async def _look_at_sender(self) -> None:
        now = self._now()
        if self._sender_looked_at is None or (now - self._sender_looked_at).total_seconds() >= SENDER_LOOK_S:
            self._sender_looked_at = now
            problem = await self._sending.problem()
            if problem is not None and problem != self.problem:
                log.warning("TLS reports are not sent by mail reason=%r", problem)
            self.problem = problem

    # Sending

    async def round(self) -> int:
        """Carry out a few steps that are due; returns how many. Raises Unavailable."""
        owed = await self._journal.tls_reports.take(self._now(), LEASE_S, AT_ONCE)
        for ended in await asyncio.gather(*map(self._carry_out, owed), return_exceptions=True):
            if ended is not None:
                raise ended
        return len(owed)

    async def _carry_out(self, owed: OwedReport) -> None:
        try:
            await self._step(owed)
        except Unavailable:
            raise
        except Exception as error:
            # A defect that one domain's counts or record bring to light must not end the process in every life.
            log.exception("no TLS report day=%s domain=%s", owed.day, owed.domain)
            await self._again(owed, f"failed: {type(error).__name__}")

    async def _step(self, owed: OwedReport) -> None:
        if not owed.destination:
            await self._look_up(owed)
            return
        document = await self._sending.document(owed.domain, owed.day)
        if document is None:
            await self._journal.tls_reports.ended(owed, "the counts of the day are gone", None)
            return
        result = await self._sent(owed, document, read_uri(owed.destination))
        if result.is_sent:
            self.reports["sent"] += 1
            log.info("TLS report sent day=%s domain=%s to=%s", owed.day, owed.domain, owed.destination)
            await self._journal.tls_reports.ended(owed, result.reason, self._now())
        else:
            self.reports["failed"] += 1
            await self._again(owed, result.reason)

    async def _sent(self, owed: OwedReport, document: bytes, destination: Destination) -> SendResult:
        try:
            return await self._sending.send(owed.domain, owed.day, document, destination)
        except Rejected as error:
            return SendResult(False, error.reason)

    async def _look_up(self, owed: OwedReport) -> None:
        try:
            record = await record_of(self._resolver, owed.domain)
        except Unanswered as error:
            await self._again(owed, error.reason)
            return
        destinations = [one.uri for one in record.destinations] if record else []
        said = f"asks for {len(destinations)} reports" if record else "asks for no report"
        result = "; ".join([said, *(record.faults if record else ())])
        await self._journal.tls_reports.found(owed, destinations, result, self._now())

    async def _again(self, owed: OwedReport, reason: str) -> None:
        due_at = self._now() + timedelta(seconds=retry_s(owed.attempts, self._random()))
        if due_at < owed.until:
            await self._journal.tls_reports.again(owed, reason, due_at)
            return
        self.reports["given up"] += 1
        log.warning(
            "TLS report given up day=%s domain=%s to=%s reason=%r", owed.day, owed.domain, owed.destination, reason
        )
        await self._journal.tls_reports.ended(owed, f"given up: {reason}", None)


def retry_s(attempts: int, random: float) -> float:
    """The wait after so many attempts: twice as long each time, varied by a tenth."""
    return min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 10), LONGEST_RETRY_S) * (0.9 + 0.2 * random)
