"""The DNS records that the owner of a sender domain publishes. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from cluster.dkim_keys import record_name, record_text
from cluster.tenancy.domains.dmarc import SUGGESTION
from cluster.tenancy.domains.domain import DomainKey, KeyState, SenderDomain
from cluster.tenancy.domains.findings import Kind

RecordType = Literal["TXT", "MX", "CNAME"]
MX_PREFERENCE = 10
_STRING = 255
"""Octets of one string of a TXT record (RFC 1035 §3.3)."""


class Publishing(Struct, frozen=True, kw_only=True):
    """What the records of all domains share."""

    bounce_host: str
    """The MX of return paths."""
    spf_terms: tuple[str, ...]
    """The mechanisms that pass our sources, such as "ip4:192.0.2.1"."""
    addresses: tuple[str, ...] = ()
    """The addresses that mail leaves from, as far as they are known."""
    cname_target: str = ""
    """The domain below which the operator publishes the records, so that owners publish aliases; "" without."""

    @property
    def spf(self) -> str:
        """The SPF record of a return path. It ends with ~all: mail that another host relays is not lost for it."""
        return " ".join(("v=spf1", *self.spf_terms, "~all"))


class Target(Struct, frozen=True, kw_only=True):
    """A record that the operator publishes below ``cname_target``."""

    host: str
    type: RecordType
    data: str


class Record(Struct, frozen=True, kw_only=True):
    """A record to publish."""

    kind: Kind
    host: str
    type: RecordType
    data: str
    """As in a zone file, a TXT record as one text."""
    expected: str
    """The text, or the host of the MX, that a look-up of the record's kind is to find."""
    key: DomainKey | None = None
    targets: tuple[Target, ...] = ()
    """What an alias leads to."""

    @property
    def is_needed(self) -> bool:
        """Whether mail needs it; a DMARC policy is the owner's choice."""
        return self.kind is not Kind.DMARC


def records(domain: SenderDomain, publishing: Publishing, now: datetime) -> list[Record]:
    """The records of a domain: its keys, the oldest first, its return path, and a DMARC policy. Those of retired keys
    are there until they may be removed."""
    found = [
        _key_record(domain, key, publishing)
        for key in domain.keys
        if key.state is not KeyState.RETIRED or not key.may_go(now)
    ]
    return [*found, *_return_path(domain, publishing), _dmarc(domain)]


def removable(domain: SenderDomain, now: datetime) -> list[str]:
    """The hosts of the records of retired keys that may be removed from the DNS."""
    return [record_name(domain.domain, key.selector) for key in domain.keys if key.may_go(now)]


def zone_lines(found: Sequence[Record | Target]) -> list[str]:
    """The records as lines of a zone file."""
    return [f"{record.host}. IN {record.type} {_zone_data(record.type, record.data)}" for record in found]


def _zone_data(type: RecordType, data: str) -> str:
    if type != "TXT":
        return data
    return " ".join(f'"{data[start : start + _STRING]}"' for start in range(0, len(data), _STRING))


def _key_record(domain: SenderDomain, key: DomainKey, publishing: Publishing) -> Record:
    host, text = record_name(domain.domain, key.selector), record_text(key.public_key)
    if not _is_alias(domain, publishing):
        return Record(kind=Kind.DKIM, host=host, type="TXT", data=text, expected=text, key=key)
    target = f"{key.selector}.d{domain.id}.{publishing.cname_target}"
    return Record(
        kind=Kind.DKIM,
        host=host,
        type="CNAME",
        data=f"{target}.",
        expected=text,
        key=key,
        targets=(Target(host=target, type="TXT", data=text),),
    )


def _return_path(domain: SenderDomain, publishing: Publishing) -> list[Record]:
    host, mx, spf = domain.return_path, f"{MX_PREFERENCE} {publishing.bounce_host}.", publishing.spf
    if not domain.subdomain:  # the domain itself, whose MX is its owner's
        return [Record(kind=Kind.SPF, host=host, type="TXT", data=spf, expected=spf)]
    if not _is_alias(domain, publishing):
        return [
            Record(kind=Kind.MX, host=host, type="MX", data=mx, expected=publishing.bounce_host),
            Record(kind=Kind.SPF, host=host, type="TXT", data=spf, expected=spf),
        ]
    target = f"bounces.{publishing.cname_target}"
    targets = (Target(host=target, type="MX", data=mx), Target(host=target, type="TXT", data=spf))
    alias = f"{target}."
    return [
        Record(kind=Kind.MX, host=host, type="CNAME", data=alias, expected=publishing.bounce_host, targets=targets),
        Record(kind=Kind.SPF, host=host, type="CNAME", data=alias, expected=spf, targets=targets),
    ]


def _dmarc(domain: SenderDomain) -> Record:
    host = f"_dmarc.{domain.domain}"
    return Record(kind=Kind.DMARC, host=host, type="TXT", data=SUGGESTION, expected=SUGGESTION)


def _is_alias(domain: SenderDomain, publishing: Publishing) -> bool:
    return domain.uses_cnames and bool(publishing.cname_target)
