"""From DNS answers to the hosts that accept a domain's mail (RFC 5321 §5.1, RFC 7505).

Pure: questions and answers come in as values, randomness as a function. This module owns which names may be looked up,
the order of hosts and addresses and how many count, which hosts the DNS may not send us to, which answers are final
and how long they are cached. The resolver, which does the look-ups, calls it.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from itertools import chain, zip_longest

from msgspec import Struct

from cluster.policy.routes.domains import a_labels
from cluster.policy.routes.networks import EVERYWHERE, Address, Networks, plain

MAX_HOSTS = 20
"""Mail exchangers of a domain that count. No domain needs more, and the peer chooses how many it publishes."""
MAX_ADDRESSES = 8
"""Addresses of a host that count; one connection attempt tries fewer."""
MAX_RECORDS = 32
"""Records of an answer that are kept: more than count, so that the random order of equals covers more than the first
ones, and few enough for a cache that is bounded by the number of entries."""
MAX_TEXT = 4096
"""Characters kept of all TXT records of a name; the records that we read (RFC 8460, 8461) are far shorter."""

MIN_TTL_S = 5.0
MAX_TTL_S = 86400.0
NEGATIVE_TTL_S = 60.0
"""RFC 2308 §5 derives it from the SOA record; a minute is short enough not to need that."""
FAILURE_TTL_S = 5.0
"""RFC 9520 §3.2: a resolution failure must be cached too; otherwise every waiting message asks again."""
STALE_RECHECK_S = 30.0
"""RFC 8767 §5: a name with a stale answer is looked up again no more often than this."""
STALE_MAX_WAIT_S = 1.8
"""RFC 8767 §5: a caller with a stale answer waits no longer than this for a new one."""

# RFC 1035 §2.3.4; underscores are invalid in host names, but occur in MX records.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_NAME = 253


class MailHost(Struct, frozen=True):
    """One mail exchanger of a domain."""

    preference: int
    """The lowest is tried first."""
    name: str
    """In lower case, without the final dot."""


class MailHosts(Struct, frozen=True, tag="mail_hosts"):
    """The hosts of the mail, in the order of trying."""

    hosts: tuple[MailHost, ...]
    implicit: bool
    """The domain has no MX records and is its own mail host."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(host.name for host in self.hosts)


class Addresses(Struct, frozen=True, tag="addresses"):
    addresses: tuple[str, ...]
    """IP addresses in the order of trying; never empty."""


class NoMail(StrEnum):
    NULL_MX = "null_mx"
    """The domain declares that it accepts no mail (RFC 7505)."""
    NO_SUCH_DOMAIN = "no_such_domain"
    NO_ADDRESS = "no_address"
    """The name exists, but has no address."""
    BAD_MX = "bad_mx"
    """The domain has MX records, none of which names a host."""
    ADDRESS_LITERAL = "address_literal"
    """user@[192.0.2.1]: rejected, since an address has no name, reputation or certificate."""
    BAD_NAME = "bad_name"
    """The name cannot exist in the DNS."""
    LOOP = "loops_back_to_us"
    """The best mail exchanger is this system itself (RFC 5321 §5.1)."""
    PROHIBITED = "prohibited_address"
    """All addresses are non-public, or prohibited by the operator (``networks``)."""


TAKES_NO_MAIL = frozenset(
    (NoMail.NULL_MX, NoMail.NO_SUCH_DOMAIN, NoMail.NO_ADDRESS, NoMail.ADDRESS_LITERAL, NoMail.BAD_NAME)
)
"""The causes by which no address of the domain gets mail, whatever we or its operators correct in a record."""


class Unroutable(Struct, frozen=True, tag="unroutable"):
    """Permanent: a retry will not help."""

    cause: NoMail
    name: str
    detail: str = ""


class UnresolvedHosts(Struct, frozen=True, tag="unresolved"):
    """Transient: the DNS did not answer, or the answer was unusable."""

    name: str
    reason: str


Route = MailHosts | Unroutable | UnresolvedHosts
HostAddresses = Addresses | Unroutable | UnresolvedHosts


class Found(Struct, frozen=True, tag="found"):
    """The DNS answered with records of the requested type: hosts for MX, addresses as text for A and AAAA, texts for
    TXT (each record's strings joined, RFC 7208 §3.3)."""

    hosts: tuple[MailHost, ...] = ()
    addresses: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


class Absent(Struct, frozen=True, tag="absent"):
    """The DNS answered that the name, or the record, does not exist."""

    name_exists: bool


class Failed(Struct, frozen=True, tag="failed"):
    """The DNS did not answer."""

    reason: str


Lookup = Found | Absent | Failed


class AddressFamily(StrEnum):
    """The address family that is tried first."""

    IPV4_FIRST = "ipv4_first"
    IPV6_FIRST = "ipv6_first"


def is_address(name: str) -> bool:
    """Whether the text is an IP address."""
    if ":" not in name and not name[-1:].isdigit():
        return False  # most names: avoids nine tenths of the parser's time
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def lookup_name(domain: str) -> str | Unroutable:
    """The name to look up in the DNS: in lower case, in A-labels (RFC 5890), without the final dot."""
    if domain.startswith("[") or is_address(domain):
        return Unroutable(NoMail.ADDRESS_LITERAL, domain)
    name = a_labels(domain.removesuffix("."))
    if name is None or len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        return Unroutable(NoMail.BAD_NAME, domain)
    return name


def order(hosts: Sequence[MailHost], random: Callable[[], float]) -> tuple[MailHost, ...]:
    """By preference, in random order among equals (RFC 5321 §5.1: "the sender-SMTP MUST randomize them").

    ``random``: returns 0 <= n < 1, as random.random does.
    """
    return tuple(sorted(hosts, key=lambda host: (host.preference, random())))


def put_last(hosts: tuple[MailHost, ...], last: Sequence[str]) -> tuple[MailHost, ...]:
    """The hosts with those named in ``last`` at the end, in the order of ``last``."""
    if not last:
        return hosts
    places = {name: place for place, name in enumerate(last)}
    return tuple(sorted(hosts, key=lambda host: places.get(host.name, -1)))


def bounded(found: Found) -> Found:
    """The part of an answer that is kept: the hosts of the lowest preferences, and at most ``MAX_RECORDS`` of the
    rest."""
    texts: list[str] = []
    for text in found.texts[:MAX_RECORDS]:
        if sum(map(len, texts)) + len(text) <= MAX_TEXT:
            texts.append(text)
    hosts = sorted(found.hosts, key=lambda host: (host.preference, host.name))
    return Found(tuple(hosts[:MAX_RECORDS]), found.addresses[:MAX_RECORDS], tuple(texts))


def held_bytes(lookup: Lookup) -> int:
    """The approximate memory of an answer with its cache entry: 370 bytes without records, as measured."""
    if not isinstance(lookup, Found):
        return 370
    hosts = sum([100 + len(host.name) for host in lookup.hosts])
    texts = sum([80 + len(text) * (1 if text.isascii() else 4) for text in lookup.texts])
    return 370 + hosts + 70 * len(lookup.addresses) + texts


def route_of_mx(domain: str, lookup: Lookup, random: Callable[[], float]) -> Route | None:
    """The route that the answer to the MX question gives; None when the addresses must be looked up."""
    match lookup:
        case Failed(reason=reason):
            return UnresolvedHosts(domain, reason)
        case Absent(name_exists=False):
            return Unroutable(NoMail.NO_SUCH_DOMAIN, domain)
        case Absent():
            return None
        case Found(hosts=hosts):
            if all(host.name == "" for host in hosts):
                return Unroutable(NoMail.NULL_MX, domain)
            # A null MX beside others is a mistake that RFC 7505 §3 leaves open; the usable hosts are used.
            usable = {host for host in hosts if isinstance(lookup_name(host.name), str)}
            if not usable:
                return Unroutable(NoMail.BAD_MX, domain)
            ordered = order(sorted(usable, key=lambda host: host.name), random)
            return MailHosts(ordered[:MAX_HOSTS], implicit=False)


def route_of_addresses(domain: str, found: HostAddresses) -> Route:
    """The route of a domain without MX records: the domain itself, at preference 0, when it has an address."""
    if isinstance(found, Addresses):
        return MailHosts((MailHost(0, domain),), implicit=True)
    return found


def join_addresses(
    host: str, a: Lookup, aaaa: Lookup, family: AddressFamily, random: Callable[[], float]
) -> HostAddresses:
    """The addresses of a host in the order of trying: the families alternate (RFC 8305 §4), so that a broken family
    costs one try; the order within a family is random, so that the host's addresses share the load.

    One family is enough; a failure counts only when the other family has no address.
    """
    ipv4, ipv6 = (
        sorted(sorted(set(lookup.addresses)), key=lambda _: random()) if isinstance(lookup, Found) else []
        for lookup in (a, aaaa)
    )
    first, second = (ipv4, ipv6) if family is AddressFamily.IPV4_FIRST else (ipv6, ipv4)
    addresses = [address for address in chain(*zip_longest(first, second)) if address is not None]
    if addresses:
        return Addresses(tuple(addresses[:MAX_ADDRESSES]))
    for lookup in (a, aaaa):
        if isinstance(lookup, Failed):
            return UnresolvedHosts(host, lookup.reason)
    if any(isinstance(lookup, Absent) and not lookup.name_exists for lookup in (a, aaaa)):
        return Unroutable(NoMail.NO_SUCH_DOMAIN, host)
    return Unroutable(NoMail.NO_ADDRESS, host)


class Guard(Struct, frozen=True):
    """Where the DNS may not send us: to ourselves, and to networks that outsiders may not name.

    This applies to hosts that the DNS names; a smarthost is the operator's choice and is not checked here.
    """

    own_names: frozenset[str] = frozenset()
    own_addresses: frozenset[Address] = frozenset()
    networks: Networks = Networks()

    def route(self, domain: str, route: Route) -> Route:
        """The route without ourselves and without every host whose preference is not better than ours (RFC 5321 §5.1):
        such a host would send the mail to us."""
        if not isinstance(route, MailHosts):
            return route
        ours = [host.preference for host in route.hosts if host.name in self.own_names]
        if not ours:
            return route
        better = tuple(host for host in route.hosts if host.preference < min(ours))
        return MailHosts(better, route.implicit) if better else Unroutable(NoMail.LOOP, domain)

    def addresses(self, host: str, found: HostAddresses) -> HostAddresses:
        """The addresses without those that may not be connected to. LOOP: an address of the host is ours; the caller
        leaves out the host and every host that is not better."""
        if not isinstance(found, Addresses):
            return found
        if any(plain(text) in self.own_addresses for text in found.addresses):
            return Unroutable(NoMail.LOOP, host)
        refusals = {text: self.networks.refusal(text) for text in found.addresses}
        usable = tuple(text for text, refusal in refusals.items() if refusal is None)
        if usable:
            return Addresses(usable)
        return Unroutable(NoMail.PROHIBITED, host, next(filter(None, refusals.values())))


UNGUARDED = Guard(networks=EVERYWHERE)


def make_guard(
    *, own_names: Iterable[str] = (), own_addresses: Iterable[str] = (), networks: Networks = UNGUARDED.networks
) -> Guard:
    """``own_names``: the names of this system. Raises ValueError when an own address is invalid."""
    names = frozenset(name.removesuffix(".").lower() for name in own_names)
    return Guard(names, frozenset(map(plain, own_addresses)), networks)


class CachedAnswer(Struct, frozen=True, gc=False):
    """A cached answer. Times are in seconds, of the caller's clock."""

    lookup: Lookup
    ask_at: float
    """From this time the DNS is asked again."""
    stale_until: float
    """Until this time the answer may be used when the DNS does not answer (RFC 8767); a cached failure never is."""

    def stands_in(self, now: float) -> bool:
        """Whether the answer may be used at ``now`` although the DNS does not answer."""
        return now < self.stale_until


def remember(
    before: CachedAnswer | None, lookup: Lookup, ttls: Sequence[float], *, now: float, stale_s: float
) -> CachedAnswer:
    """The cache entry after a look-up. After a failure: the previous answer, up to its ``stale_until``."""
    if not isinstance(lookup, Failed):
        ask_at = now + keep_for_s(lookup, ttls)
        return CachedAnswer(lookup, ask_at, ask_at + stale_s)
    if before is not None and before.stands_in(now):
        return CachedAnswer(before.lookup, now + STALE_RECHECK_S, before.stale_until)
    return CachedAnswer(lookup, now + keep_for_s(lookup, ttls), now)


def keep_for_s(lookup: Lookup, ttls: Sequence[float]) -> float:
    """How long an answer is cached, in seconds; ``ttls`` are those of its records, including aliases."""
    match lookup:
        case Found():
            return min(max(min(ttls, default=MIN_TTL_S), MIN_TTL_S), MAX_TTL_S)
        case Absent():
            return NEGATIVE_TTL_S
        case Failed():
            return FAILURE_TTL_S
