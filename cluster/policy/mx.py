"""From DNS answers to the hosts that take a domain's mail (RFC 5321 §5.1, RFC 7505).

Pure: what was asked and answered comes in as values, chance as a function. Owns the names that may be asked for, the
order of the hosts, and which answers are final. Called by the resolver, which does the asking.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from enum import StrEnum

import idna
from msgspec import Struct

MIN_TTL_S = 5.0
MAX_TTL_S = 86400.0
NEGATIVE_TTL_S = 60.0
"""RFC 2308 §5 derives it from the SOA record; a minute is short enough never to have to."""
FAILURE_TTL_S = 5.0
"""RFC 9520 §3.2: a failure to resolve must be remembered too, or every waiting message asks again."""

# RFC 1035 §2.3.4; underscores, which no host name may hold, are found in MX records all the same.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_NAME = 253


class MxHost(Struct, frozen=True):
    preference: int
    """The lower is tried first."""
    name: str
    """In lower case, without the root's dot."""


class MailHosts(Struct, frozen=True, tag="mail_hosts"):
    """Where the mail goes, in the order of trying."""

    hosts: tuple[MxHost, ...]
    implicit: bool
    """The domain has no MX records and stands for itself."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(host.name for host in self.hosts)


class Addresses(Struct, frozen=True, tag="addresses"):
    addresses: tuple[str, ...]
    """IP addresses in the order of trying; never empty."""


class NoMail(StrEnum):
    NULL_MX = "null_mx"
    """The domain says that it takes no mail (RFC 7505)."""
    NO_SUCH_DOMAIN = "no_such_domain"
    NO_ADDRESS = "no_address"
    """The name exists, and has nothing to connect to."""
    BAD_MX = "bad_mx"
    """It has MX records and none of them names a host."""
    ADDRESS_LITERAL = "address_literal"
    """user@[192.0.2.1]: refused, since nothing there owns a name, a reputation or a certificate."""
    BAD_NAME = "bad_name"
    """No such name can exist in the DNS."""


class Unroutable(Struct, frozen=True, tag="unroutable"):
    """Permanent: trying again will not help."""

    cause: NoMail
    name: str


class Unresolved(Struct, frozen=True, tag="unresolved"):
    """Transient: the DNS did not answer, or not sensibly."""

    name: str
    reason: str


Route = MailHosts | Unroutable | Unresolved
HostAddresses = Addresses | Unroutable | Unresolved


class Found(Struct, frozen=True, tag="found"):
    """The DNS answered with records of the type asked for: hosts for MX, or addresses as text."""

    hosts: tuple[MxHost, ...] = ()
    addresses: tuple[str, ...] = ()


class Absent(Struct, frozen=True, tag="absent"):
    """The DNS answered that there is no such name, or no such record."""

    name_exists: bool


class Failed(Struct, frozen=True, tag="failed"):
    """The DNS did not answer."""

    reason: str


Lookup = Found | Absent | Failed


class Family(StrEnum):
    """Which addresses of a host are tried first."""

    IPV4_FIRST = "ipv4_first"
    IPV6_FIRST = "ipv6_first"


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def lookup_name(domain: str) -> str | Unroutable:
    """The name to ask the DNS for: in lower case, in A-labels (RFC 5890), without the root's dot."""
    if domain.startswith("[") or is_address(domain):
        return Unroutable(NoMail.ADDRESS_LITERAL, domain)
    name = domain.removesuffix(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            return Unroutable(NoMail.BAD_NAME, domain)
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return Unroutable(NoMail.BAD_NAME, domain)
    return name


def order(hosts: Sequence[MxHost], random: Callable[[], float]) -> tuple[MxHost, ...]:
    """By preference, chance among equals (RFC 5321 §5.1: "the sender-SMTP MUST randomize them").

    random: 0 <= n < 1, as random.random.
    """
    return tuple(sorted(hosts, key=lambda host: (host.preference, random())))


def route_of_mx(domain: str, lookup: Lookup, random: Callable[[], float]) -> Route | None:
    """The route that the answer to the MX question gives; None when the addresses must be asked for."""
    match lookup:
        case Failed(reason=reason):
            return Unresolved(domain, reason)
        case Absent(name_exists=False):
            return Unroutable(NoMail.NO_SUCH_DOMAIN, domain)
        case Absent():
            return None
        case Found(hosts=hosts):
            if all(host.name == "" for host in hosts):
                return Unroutable(NoMail.NULL_MX, domain)
            # Beside others, a null MX is a mistake that RFC 7505 §3 leaves open; the hosts are what can be used.
            usable = {host for host in hosts if isinstance(lookup_name(host.name), str)}
            if not usable:
                return Unroutable(NoMail.BAD_MX, domain)
            return MailHosts(order(sorted(usable, key=lambda host: host.name), random), implicit=False)


def route_of_addresses(domain: str, found: HostAddresses) -> Route:
    """The route of a domain without MX records: to itself, at preference 0, when it has an address."""
    if isinstance(found, Addresses):
        return MailHosts((MxHost(0, domain),), implicit=True)
    return found


def join_addresses(host: str, a: Lookup, aaaa: Lookup, family: Family) -> HostAddresses:
    """One family is enough; a failure counts only when the other family has nothing."""
    ipv4 = a.addresses if isinstance(a, Found) else ()
    ipv6 = aaaa.addresses if isinstance(aaaa, Found) else ()
    addresses = (*ipv4, *ipv6) if family is Family.IPV4_FIRST else (*ipv6, *ipv4)
    if addresses:
        return Addresses(addresses)
    for lookup in (a, aaaa):
        if isinstance(lookup, Failed):
            return Unresolved(host, lookup.reason)
    if any(isinstance(lookup, Absent) and not lookup.name_exists for lookup in (a, aaaa)):
        return Unroutable(NoMail.NO_SUCH_DOMAIN, host)
    return Unroutable(NoMail.NO_ADDRESS, host)


def keep_for_s(lookup: Lookup, ttls: Sequence[float]) -> float:
    """How long an answer is remembered; ttls are those of its records, aliases included."""
    match lookup:
        case Found():
            return min(max(min(ttls, default=MIN_TTL_S), MIN_TTL_S), MAX_TTL_S)
        case Absent():
            return NEGATIVE_TTL_S
        case Failed():
            return FAILURE_TTL_S
