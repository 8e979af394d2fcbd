"""Looks a domain's records up and says per record what was expected and what was found.

It decides nothing about the domain (``findings.outcome`` does) and stores nothing. The owner of the domain decides what
the DNS answers, so look-ups, texts and time are bounded.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Protocol

import dkim as dkimpy
from msgspec.structs import replace

from cluster.lookup.resolver import RecordType
from cluster.policy.routes import mx
from cluster.tenancy.domains import dmarc, key_records, spf
from cluster.tenancy.domains.domain import DomainKey, KeyState, SenderDomain
from cluster.tenancy.domains.findings import Finding, KeyFinding, Kind, Status, said, shown
from cluster.tenancy.domains.names import organisational_domain
from cluster.tenancy.domains.records import Publishing, Record
from cluster.tenancy.domains.spf import BadSpf, Spf
from cluster.tenancy.domains.spf_check import Unanswered, check
from cluster.vault import WrongKey

MOST_ADDRESSES = 8
"""Sending addresses for which a return path's SPF record is evaluated."""
ADDRESS_TYPES: tuple[RecordType, ...] = ("A", "AAAA")
NO_HOST = "192.0.2.0"
"""An address that no host has (RFC 5737)."""

_silent = logging.getLogger(f"{__name__}.dkimpy")
_silent.setLevel(logging.CRITICAL)  # it logs as an error what the finding says

SignProbe = Callable[[str, str, bytes], bytes]
"""A message that the signer of outgoing mail has signed, for a domain, a selector and a private key (PEM)."""


class Lookups(Protocol):
    """The DNS, without a cache (cluster.lookup.resolver.UncachedLookups)."""

    async def ask(self, name: str, record_type: RecordType) -> mx.Lookup: ...


class Looking:
    """One look at the records of one domain. ``random_label`` is a label for which no domain
    has a record."""

    def __init__(
        self,
        lookups: Lookups,
        domain: SenderDomain,
        publishing: Publishing,
        *,
        private_key: Callable[[DomainKey], bytes],
        sign_probe: SignProbe,
        random_label: str,
    ) -> None:
        """``private_key`` opens the sealed private key of a key; it may raise WrongKey."""
        self._lookups = lookups
        self._domain = domain
        self._publishing = publishing
        self._private_key = private_key
        self._sign_probe = sign_probe
        self._random_label = random_label

    async def at(self, records: Sequence[Record]) -> list[tuple[Record, Finding]]:
        """The finding of each record, in their order; none of retired keys."""
        looked_for = [record for record in records if record.key is None or record.key.state is not KeyState.RETIRED]
        findings = await asyncio.gather(*map(self._look, looked_for))
        return list(zip(looked_for, findings, strict=True))

    async def _look(self, record: Record) -> Finding:
        looks = {Kind.DKIM: self._dkim, Kind.MX: self._mx, Kind.SPF: self._spf, Kind.DMARC: self._dmarc}
        finding = await looks[record.kind](record)
        if record.kind is Kind.DMARC or finding.status in (Status.MISSING, Status.NOT_LOOKED_UP):
            return finding
        return await self._unless_wildcard(record, finding)

    async def _unless_wildcard(self, record: Record, finding: Finding) -> Finding:
        """The finding, or that of a wildcard: a name made up at random beside the record's has the same records."""
        _, _, parent = record.host.partition(".")
        if record.host == self._domain.domain:
            return finding
        record_type: RecordType = "MX" if record.kind is Kind.MX else "TXT"
        own, other = await asyncio.gather(
            self._lookups.ask(record.host, record_type),
            self._lookups.ask(f"{self._random_label}.{parent}", record_type),
        )
        if not (isinstance(own, mx.Found) and isinstance(other, mx.Found) and _same(own, other)):
            return finding
        reason = f"it is the answer for every name below {said(parent)}: publish a record for {record.host} itself"
        return replace(finding, status=Status.WILDCARD, reason=reason)

    async def _dkim(self, record: Record) -> Finding:
        key = record.key
        assert key is not None
        lookup = await self._lookups.ask(record.host, "TXT")
        if not isinstance(lookup, mx.Found):
            return _without(record, lookup)
        try:
            fault = _key_fault(lookup.texts, key) or await self._probe_fault(key, lookup.texts[0])
        except WrongKey as error:
            return _judged(record, f"it could not be proved: {error}", lookup.texts, Status.NOT_LOOKED_UP)
        return _judged(record, fault, lookup.texts)

    async def _probe_fault(self, key: DomainKey, text: str) -> str | None:
        """Whether mail that this key signs verifies with the published record, by a verifier that is not ours. Raises
        WrongKey."""
        proved = await asyncio.to_thread(self._proves, key, text)
        return None if proved else "a message signed with the key does not verify with this record"

    def _proves(self, key: DomainKey, text: str) -> bool:
        message = self._sign_probe(self._domain.domain, key.selector, self._private_key(key))

        def record(_name: bytes, timeout: int = 5) -> bytes:
            return text.encode()

        return bool(dkimpy.verify(message, logger=_silent, dnsfunc=record))

    async def _mx(self, record: Record) -> Finding:
        lookup = await self._lookups.ask(record.host, "MX")
        if not isinstance(lookup, mx.Found):
            return _without(record, lookup)
        hosts = sorted(lookup.hosts, key=lambda host: host.preference)
        fault = None
        if [host.name for host in hosts] != [record.expected]:
            others = any(host.name == record.expected for host in hosts)
            fault = "other hosts would get some of the bounces" if others else "bounces would go to another host"
        finding = _judged(record, fault, [f"{host.preference} {host.name}." for host in hosts])
        return finding if fault else replace(finding, reason=await self._without_address(record.expected))

    async def _without_address(self, host: str) -> str:
        """The problem with the addresses of the host of bounces; "" for none. The owner of the domain has done
        everything that is required, so the record is valid all the same."""
        answers = await asyncio.gather(*(self._lookups.ask(host, record_type) for record_type in ADDRESS_TYPES))
        if any(isinstance(answer, mx.Found) for answer in answers):
            return ""
        if failed := [answer.reason for answer in answers if isinstance(answer, mx.Failed)]:
            return f"the addresses of {host} could not be looked up: {failed[0]}"
        return f"{host} has no A or AAAA record, so no bounce arrives: the operator of postray publishes one"

    async def _spf(self, record: Record) -> Finding:
        lookup = await self._lookups.ask(record.host, "TXT")
        if not isinstance(lookup, mx.Found):
            return _without(record, lookup)
        found = spf.records(lookup.texts)
        if not found:
            return _judged(record, "none of the TXT records is an SPF record", lookup.texts, Status.MISSING)
        try:
            fault = await self._spf_fault(record, found)
        except Unanswered as error:
            reason = f"{said(error.name, 80)} could not be looked up: {error.reason}"
            return _judged(record, reason, found, Status.NOT_LOOKED_UP)
        return _judged(record, fault, found)

    async def _spf_fault(self, record: Record, found: Sequence[str]) -> str | None:
        """Raises Unanswered."""
        if len(found) > 1:
            return f"there are {len(found)} SPF records, and one is allowed: receivers then use none"
        try:
            published, proposed = spf.parse(found[0]), spf.parse(record.expected)
            addresses = self._publishing.addresses or await self._addresses(proposed)
            if part := spf.passing(published, proposed):
                # The addresses may be others than receivers see. But receivers must get that far.
                await check(self._lookups.ask, ip_address(next(iter(addresses), NO_HOST)), record.host, part)
                return None
            if not addresses:
                return "it does not pass the host that mail leaves from"
            for address in addresses[:MOST_ADDRESSES]:
                result = await check(self._lookups.ask, ip_address(address), record.host, published)
                if result != "pass":
                    return f"mail from {address} gets {result}"
        except BadSpf as error:
            return error.reason
        return None

    async def _addresses(self, proposed: Spf) -> Sequence[str]:
        """Those of the hosts that a proposed record passes. Raises Unanswered."""
        found: list[str] = []
        for host in (mechanism.domain for mechanism in proposed.mechanisms if mechanism.name == "a"):
            for answer in await asyncio.gather(
                *(self._lookups.ask(host, record_type) for record_type in ADDRESS_TYPES)
            ):
                if isinstance(answer, mx.Failed):
                    raise Unanswered(host, answer.reason)
                found += answer.addresses if isinstance(answer, mx.Found) else ()
        return found

    async def _dmarc(self, record: Record) -> Finding:
        """The policy that applies: the domain's own, or that of the domain that was registered (RFC 7489 §6.6.3)."""
        organisation = await asyncio.to_thread(organisational_domain, self._domain.domain)
        for host in dict.fromkeys((record.host, f"_dmarc.{organisation}")):
            lookup = await self._lookups.ask(host, "TXT")
            if isinstance(lookup, mx.Failed):
                return _without(record, lookup)
            found = dmarc.policies(lookup.texts) if isinstance(lookup, mx.Found) else []
            if len(found) > 1:
                return _judged(record, f"{host} has {len(found)} policies: receivers then use none", found)
            if found:
                fault = dmarc.fault(found[0])
                return _judged(record, f"{host}: {fault}" if fault else None, found)
        return _without(record, mx.Absent(name_exists=True))


def key_findings(looked: Sequence[tuple[Record, Finding]]) -> list[KeyFinding]:
    """The findings of keys."""
    return [
        KeyFinding(record.key.algorithm, record.key.state is KeyState.ACTIVE, finding)
        for record, finding in looked
        if record.key is not None
    ]


def _key_fault(texts: Sequence[str], key: DomainKey) -> str | None:
    if len(texts) > 1:
        return f"there are {len(texts)} TXT records, and a key has one: receivers may read any of them"
    return key_records.fault(texts[0], key.algorithm, key.public_key)


def _without(record: Record, lookup: mx.Absent | mx.Failed) -> Finding:
    """The finding of an answer without records."""
    if isinstance(lookup, mx.Failed):
        return _judged(record, f"it could not be looked up: {lookup.reason}", (), Status.NOT_LOOKED_UP)
    return _judged(record, f"there is no {record.kind.upper()} record", (), Status.MISSING)


def _judged(record: Record, fault: str | None, found: Sequence[str], status: Status = Status.WRONG) -> Finding:
    """The finding: valid without a fault, else of this status."""
    return Finding(
        kind=record.kind,
        host=record.host,
        status=Status.VALID if fault is None else status,
        expected=record.expected,
        found=shown(found),
        reason=fault or "",
        selector=record.key.selector if record.key is not None else "",
    )


def _same(one: mx.Found, other: mx.Found) -> bool:
    return sorted(one.texts) == sorted(other.texts) and set(one.hosts) == set(other.hosts)
