"""SPF records (RFC 7208): reading one. ``spf_check`` evaluates them. Pure."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct
from msgspec.structs import replace

from cluster.tenancy.domains.findings import said

LONGEST = 4096
"""Characters of a record. Longer ones fit no usual answer of the DNS."""
MOST_TERMS = 200

_ADDRESSED = ("a", "mx")
_NAMED = ("include", "exists")
_TERM = re.compile(r"([-+?~]?)([A-Za-z][A-Za-z0-9_.-]*)(?:([:=/])(.*))?", re.ASCII | re.DOTALL)
_DUAL_CIDR = re.compile(r"(.*?)(?:/(\d{1,3}))?(?://(\d{1,3}))?", re.ASCII | re.DOTALL)

RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


class BadSpf(Exception):
    """The record cannot be evaluated: a permerror (RFC 7208 §2.6.7). The message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Mechanism(Struct, frozen=True):
    """One mechanism (RFC 7208 §5)."""

    qualifier: str
    """One of + - ~ ?."""
    name: str
    domain: str = ""
    """The domain-spec, with its macros; "" is the domain that is evaluated."""
    network: IPv4Network | IPv6Network | None = None
    """Of ip4 and ip6."""
    prefix4: int = 32
    prefix6: int = 128
    """Of a and mx."""

    @property
    def result(self) -> str:
        """The result when it matches."""
        return RESULTS[self.qualifier]


class Spf(Struct, frozen=True):
    """A record: its mechanisms in order, and the domain of ``redirect=``, or "" without it."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""


def records(texts: Sequence[str]) -> list[str]:
    """The SPF records among the TXT records of a name (RFC 7208 §4.5)."""
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def parse(text: str) -> Spf:
    """Raises BadSpf."""
    if len(text) > LONGEST:
        raise BadSpf(f"the record has more than {LONGEST} characters")
    terms = text.split(" ")
    if terms[0].lower() != "v=spf1":
        raise BadSpf("the record does not begin with v=spf1")
    terms = [term for term in terms[1:] if term]
    if len(terms) > MOST_TERMS:
        raise BadSpf(f"the record has more than {MOST_TERMS} terms")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in terms:
        match = _TERM.fullmatch(term)
        if match is None:
            raise BadSpf(f"{said(term, 60)!r} is no term of SPF")
        qualifier, name, separator, value = match[1], match[2].lower(), match[3] or "", match[4] or ""
        if separator == "=":
            if qualifier or (name in modifiers and name in ("redirect", "exp")):
                raise BadSpf(f"{said(term, 60)!r} is not allowed there")
            modifiers[name] = value
        else:
            mechanisms.append(_mechanism(qualifier or "+", name, separator, value, term))
    redirect = modifiers.get("redirect", "")
    if "redirect" in modifiers and not redirect:
        raise BadSpf("redirect= names no domain")
    return Spf(tuple(mechanisms), redirect)


def _mechanism(qualifier: str, name: str, separator: str, value: str, term: str) -> Mechanism:
    if name == "all":
        if separator:
            raise BadSpf("all takes no value")
        return Mechanism(qualifier, name)
    if name in ("ip4", "ip6"):
        return Mechanism(qualifier, name, network=_network(name, separator, value, term))
    if name in _NAMED:
        if separator != ":" or not value:
            raise BadSpf(f"{name} names no domain")
        return Mechanism(qualifier, name, value)
    if name == "ptr":
        if separator == "/" or (separator and not value):
            raise BadSpf("ptr names no domain")
        return Mechanism(qualifier, name, value)
    if name in _ADDRESSED:
        return _addressed(qualifier, name, separator, value)
    raise BadSpf(f"{said(name, 40)!r} is no mechanism of SPF")


def _network(name: str, separator: str, value: str, term: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value, strict=False) if separator == ":" and "%" not in value else None
    except ValueError:
        network = None
    # ipaddress also takes a netmask behind the slash.
    _, slash, prefix = value.partition("/")
    if network is None or f"ip{network.version}" != name or (slash and not prefix.isdecimal()):
        raise BadSpf(f"{said(term, 60)!r} has no address")
    return network


def _addressed(qualifier: str, name: str, separator: str, value: str) -> Mechanism:
    whole = f"/{value}" if separator == "/" else value
    match = _DUAL_CIDR.fullmatch(whole)
    domain, prefix4, prefix6 = match.groups() if match else ("", None, None)
    four, six = int(prefix4 or 32), int(prefix6 or 128)
    if match is None or "/" in domain.partition("{")[0] or four > 32 or six > 128 or (separator == ":" and not domain):
        raise BadSpf(f"{name} has no domain, or a length of a prefix that no address has")
    return Mechanism(qualifier, name, domain, prefix4=four, prefix6=six)


def passing(record: Spf, proposed: Spf) -> Spf | None:
    """The part of a record that passes all that a proposed one passes, by the same mechanisms; None without one."""
    wanted = [mechanism for mechanism in proposed.mechanisms if mechanism.name != "all"]
    part: list[Mechanism] = []
    for mechanism in record.mechanisms:
        if not wanted or mechanism.name == "all" or any(_is_refused(one, mechanism) for one in wanted):
            break
        part.append(mechanism)
        wanted = [one for one in wanted if one != mechanism]
    return None if wanted else Spf(tuple(part))


def _is_refused(wanted: Mechanism, mechanism: Mechanism) -> bool:
    """Whether a mechanism matches what a wanted one matches, with another result."""
    return mechanism.qualifier != wanted.qualifier and replace(mechanism, qualifier=wanted.qualifier) == wanted
