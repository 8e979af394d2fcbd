"""Sender domains as answers show them: SendGrid's fields, and beside them each record with what was found. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import UNSET, Struct, UnsetType

from cluster.tenancy.domains.domain import DomainKey, KeyState, SenderDomain
from cluster.tenancy.domains.findings import Finding, Kind, Status
from cluster.tenancy.domains.records import Publishing, Record, Target, records, removable, zone_lines


class DnsRecord(Struct, frozen=True, kw_only=True):
    """A record in SendGrid's form."""

    valid: bool
    """Whether the last look found it as it must be."""
    type: str
    """txt, mx or cname."""
    host: str
    data: str


class DomainDns(Struct, frozen=True, kw_only=True):
    """The records by SendGrid's names. ``dkim1`` is the RSA key, ``dkim2`` the Ed25519 key; ``dkim3`` and ``dkim4`` are
    the keys that replace them once their records are published."""

    mail_cname: DnsRecord
    """The return path: its MX, or its alias."""
    dkim1: DnsRecord
    dkim2: DnsRecord
    dkim3: DnsRecord | UnsetType = UNSET
    dkim4: DnsRecord | UnsetType = UNSET
    subdomain_spf: DnsRecord
    """The SPF record of the return path."""
    dmarc: DnsRecord
    """A suggestion; mail does not need it."""


class RecordView(Struct, frozen=True, kw_only=True):
    """A record with what was expected and what the last look found."""

    purpose: Kind
    host: str
    type: str
    data: str
    """As a zone file has it, a TXT record as one text."""
    needed: bool
    """Whether mail needs it."""
    status: Status
    expected: str
    found: tuple[str, ...] = ()
    reason: str | None = None
    """Why it is not valid."""
    algorithm: str | None = None
    """Of a key: rsa or ed25519."""
    key_state: KeyState | None = None
    """Of a key. The record of a retired one stays published until ``keep_until``."""
    keep_until: datetime | None = None


class Domain(Struct, frozen=True, kw_only=True):
    """A sender domain."""

    id: int
    user_id: int = 0
    domain: str
    subdomain: str
    username: str = ""
    ips: tuple[str, ...] = ()
    custom_spf: bool = False
    default: bool
    legacy: bool
    """Whether its return path is the domain itself, as in older versions."""
    automatic_security: bool
    """Whether its records are CNAMEs."""
    valid: bool
    """Whether it is verified: mail may be sent from it."""
    dns: DomainDns
    last_validation_attempt_at: int | UnsetType = UNSET
    """Unix seconds; absent before the first look."""
    tenant_id: str
    state: str
    """pending, verified, or wrong: verified, and its records have been wrong for 72 hours."""
    return_path: str
    include_subdomains: bool
    rotating: bool
    """Whether new keys wait for their records."""
    created_at: datetime
    verified_at: datetime | None
    checked_at: datetime | None
    wrong_since: datetime | None
    """Since when the records of the verified domain are wrong."""
    records: list[RecordView]
    removable: list[str]
    """Hosts of records of former keys that may be removed from the DNS."""
    zone: list[str]
    """The records to publish as lines of a zone file."""
    operator_zone: list[str]
    """What the aliases lead to, as lines of a zone file: the operator publishes it below domains.cname_target."""


class RecordResult(Struct, frozen=True, kw_only=True):
    """What a look found at one record."""

    valid: bool
    reason: str | None
    status: Status
    host: str
    expected: str
    found: tuple[str, ...]


class Validation(Struct, frozen=True, kw_only=True):
    """What a look found."""

    id: int
    valid: bool
    """Whether the domain is verified and this look found nothing wrong that mail needs."""
    validation_results: dict[str, RecordResult]
    """By SendGrid's names, with ``dmarc``."""
    state: str
    checked_at: datetime | None
    wrong_since: datetime | None


def domain_view(domain: SenderDomain, publishing: Publishing, now: datetime) -> Domain:
    """A domain as answers show it."""
    found = records(domain, publishing, now)
    named = _named(found)
    dns = {name: _dns_record(domain, record) for name, record in named.items()}
    dns.setdefault("mail_cname", dns["subdomain_spf"])
    dns.setdefault("dkim2", _NO_RECORD)
    dns.setdefault("dkim1", _NO_RECORD)
    targets = list(dict.fromkeys(target for record in found for target in record.targets))
    return Domain(
        id=domain.id,
        domain=domain.domain,
        subdomain=domain.subdomain,
        default=domain.is_default,
        legacy=not domain.subdomain,
        automatic_security=domain.uses_cnames,
        valid=domain.verified_at is not None,
        dns=DomainDns(**dns),
        last_validation_attempt_at=int(domain.checked_at.timestamp()) if domain.checked_at else UNSET,
        tenant_id=domain.tenant_id,
        state=domain.state(now),
        return_path=domain.return_path,
        include_subdomains=domain.include_subdomains,
        rotating=domain.is_rotating,
        created_at=_utc(domain.created_at),
        verified_at=_maybe_utc(domain.verified_at),
        checked_at=_maybe_utc(domain.checked_at),
        wrong_since=_maybe_utc(domain.wrong_since),
        records=[_record_view(domain, record) for record in found],
        removable=removable(domain, now),
        zone=_zone(found),
        operator_zone=_zone(targets),
    )


def validation(domain: SenderDomain, publishing: Publishing, now: datetime) -> Validation:
    """The findings of the last look."""
    named = _named(records(domain, publishing, now))
    results = {("spf" if name == "subdomain_spf" else name): _result(domain, record) for name, record in named.items()}
    return Validation(
        id=domain.id,
        valid=domain.verified_at is not None and domain.wrong_since is None,
        validation_results=results,
        state=domain.state(now),
        checked_at=_maybe_utc(domain.checked_at),
        wrong_since=_maybe_utc(domain.wrong_since),
    )


_NO_RECORD = DnsRecord(valid=False, type="txt", host="", data="")
"""In the place of a record that a domain of an older version does not have. Rotating its keys gives it both."""


def _named(found: Sequence[Record]) -> dict[str, Record]:
    """The records by SendGrid's names; none of retired keys."""
    names = {Kind.MX: "mail_cname", Kind.SPF: "subdomain_spf", Kind.DMARC: "dmarc"}
    named: dict[str, Record] = {}
    # Keys that sign come before those that wait.
    for record in sorted(found, key=lambda record: record.key is not None and record.key.state is KeyState.PENDING):
        if record.key is None:
            named[names[record.kind]] = record
        elif record.key.state is not KeyState.RETIRED:
            first, second = ("dkim1", "dkim3") if record.key.algorithm == "rsa" else ("dkim2", "dkim4")
            named[second if first in named else first] = record
    return named


def _dns_record(domain: SenderDomain, record: Record) -> DnsRecord:
    data = record.data
    if record.type == "CNAME":
        data = data.removesuffix(".")
    elif record.kind is Kind.MX:
        data = record.expected
    return DnsRecord(valid=_is_valid(domain, record), type=record.type.lower(), host=record.host, data=data)


def _is_valid(domain: SenderDomain, record: Record) -> bool:
    """Whether a record is valid, as far as it is known: where the DNS did not answer, what follows from before."""
    finding = domain.finding(record.host, record.kind)
    if finding is not None and finding.status is not Status.NOT_LOOKED_UP:
        return finding.status is Status.VALID
    if record.key is not None:
        return record.key.state is KeyState.ACTIVE
    return record.is_needed and domain.verified_at is not None


def _record_view(domain: SenderDomain, record: Record) -> RecordView:
    key, finding = record.key, _finding(domain, record)
    return RecordView(
        purpose=record.kind,
        host=record.host,
        type=record.type,
        data=record.data,
        needed=record.is_needed,
        status=finding.status,
        expected=record.expected,
        found=finding.found,
        reason=finding.reason or None,
        algorithm=key.algorithm if key else None,
        key_state=key.state if key else None,
        keep_until=_maybe_utc(key.keep_until) if key else None,
    )


def _result(domain: SenderDomain, record: Record) -> RecordResult:
    finding = _finding(domain, record)
    return RecordResult(
        valid=finding.status is Status.VALID,
        reason=finding.reason or None,
        status=finding.status,
        host=record.host,
        expected=record.expected,
        found=finding.found,
    )


def _finding(domain: SenderDomain, record: Record) -> Finding:
    found = domain.finding(record.host, record.kind)
    if found is not None:
        return found
    return Finding(
        kind=record.kind,
        host=record.host,
        status=Status.UNKNOWN,
        expected=record.expected,
        reason="it was not looked up yet",
    )


def _zone(found: Sequence[Record | Target]) -> list[str]:
    """Lines of a zone file, each once: an alias stands for two records."""
    return list(dict.fromkeys(zone_lines([one for one in found if not _is_retired(one)])))


def _is_retired(one: Record | Target) -> bool:
    key: DomainKey | None = one.key if isinstance(one, Record) else None
    return key is not None and key.state is KeyState.RETIRED


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


def _maybe_utc(time: datetime | None) -> datetime | None:
    return None if time is None else _utc(time)
