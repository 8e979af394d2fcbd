"""The DNS records of a branded link, and what was found of them. Pure.

The first record leads the host to the installation. The second names the tenant, so that a host that already leads here
cannot be taken by another tenant.
"""

from collections.abc import Sequence

from msgspec import Struct

MOST_SHOWN = 5


class LinkRecords(Struct, frozen=True):
    """The two CNAME records: both lead to ``target``."""

    host: str
    owner: str
    target: str


class AliasFinding(Struct, frozen=True):
    """What was found for one record. ``valid`` is None when the DNS did not answer."""

    valid: bool | None
    reason: str | None = None
    """Why it is not valid; None when it is."""


def base_url(link_host: str, public_url: str) -> str:
    """What public URLs of a tenant begin with, without a slash at the end: its own host, or ``public_url``, which is
    that of the installation."""
    public_url = public_url.rstrip("/")
    return f"{public_url.partition('://')[0]}://{link_host}" if link_host else public_url


def link_records(tenant_id: str, host: str, domain: str, target: str) -> LinkRecords:
    """``host`` is below ``domain``; ``target`` is the installation's own host."""
    return LinkRecords(host, f"{tenant_id.removeprefix('tnt_').lower()}.{domain}", target)


def finding(host: str, target: str, aliases: Sequence[str] | None) -> AliasFinding:
    """``aliases``: the names that the CNAME records lead to from ``host``, in order; None: the DNS did not answer."""
    if aliases is None:
        return AliasFinding(None, f"{host} could not be looked up: the DNS did not answer; try again")
    if target in aliases:
        return AliasFinding(True)
    if not aliases:
        return AliasFinding(False, f"There is no CNAME record at {host}; expected: {target}")
    return AliasFinding(False, f"{host} leads to {', '.join(aliases[:MOST_SHOWN])}; expected: {target}")


def is_valid(found: Sequence[AliasFinding]) -> bool | None:
    """Whether all records are valid; None: one could not be looked up, and no other is wrong."""
    if any(one.valid is False for one in found):
        return False
    return None if any(one.valid is None for one in found) else True
