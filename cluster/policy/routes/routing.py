"""routing.toml: the sources that mail leaves from, the pools that weigh them, and the routes of particular domains.

Pure: the file's text and the mode go in, a ``Routing`` comes out. It gives the route of a domain's mail and the source
that a message leaves from. Processes that have read the same text give the same answers without communication.
``examples/routing.example.toml`` documents each key (a test holds the two together).
"""

import ipaddress
import re
import tomllib
from collections.abc import Callable, Container, Mapping, Set
from datetime import date
from enum import StrEnum
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from math import log
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from cluster.policy.limits.warm_up import WarmUpPlan
from cluster.policy.routes.domains import spelled_names
from cluster.policy.routes.host_names import check_credential, domain_name, ehlo_name, server
from cluster.policy.tls.level import AuthNeeds, TlsLevel

DEFAULT_POOL = "default"
_POOL_NAME_MAX = 64  # as long as ip_pool_name in a request may be
_SOURCE_NAME = re.compile(r"[a-z0-9_-]{1,32}")

Mode = Literal["capture", "direct", "relay"]
_Table = TypeVar("_Table", bound=Struct)
_Checked = TypeVar("_Checked")


class RoutingError(Exception):
    """The text is invalid; the message names the key or the route, and contains no password."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Secret:
    """A text that cannot be shown, logged or encoded by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)" if self._text else "Secret()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class Via(StrEnum):
    DIRECT = "direct"
    """To the domain's mail exchangers."""
    RELAY = "relay"
    """To a smarthost."""
    CAPTURE = "capture"
    """To the built-in sink."""
    DISCARD = "discard"
    """To no host: counted as delivered, and dropped."""


class Route(Struct, frozen=True, kw_only=True):
    """The route of a message. All fields but ``via`` and ``number`` are for relays only."""

    via: Via
    number: int = 0
    """The number of the route in the file, from 1; 0 is the route of the mode."""
    relay: str = ""
    """host:port."""
    tls: TlsLevel = TlsLevel.OPPORTUNISTIC
    username: str = ""
    """"" means no authentication."""
    password: Secret = field(default_factory=Secret)
    auth_needs: AuthNeeds = AuthNeeds.VERIFIED


class Source(Struct, frozen=True, kw_only=True):
    """Addresses of a machine of the cluster that mail leaves from under one name: at least one of the two is set."""

    name: str
    address: str = ""
    """IPv4."""
    address6: str = ""
    """IPv6."""
    helo_name: str = ""
    """"" uses the setting smtp.helo_name."""
    warm_up: WarmUpPlan | None = None

    def address_towards(self, peer: str) -> str | None:
        """The address to bind for a connection to ``peer``; None: the source has no address of the peer's family."""
        return (self.address6 if ":" in peer else self.address) or None


class RouteRule(Struct, frozen=True):
    """One of the file's routes and the tenants it is for. No tenants: for all of them."""

    tenants: frozenset[str]
    route: Route


class Routing(Struct, frozen=True, kw_only=True):
    """Made by ``parse``; ``Routing()`` is the routing of an empty file."""

    fallback: Route = Route(via=Via.CAPTURE)
    """The route of the mode, for mail that matches no other route."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    pools: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The weights of each pool's sources; no weight is 0."""
    rules: tuple[RouteRule, ...] = ()
    by_domain: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The indexes of the rules by domain pattern: a domain, "*.parent", or "*"."""

    @staticmethod
    def parse(text: str, mode: Mode = "capture", relay: str = "") -> "Routing":
        """``mode`` and ``relay``: the settings delivery.mode and delivery.relay. Raises RoutingError."""
        try:
            file = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RoutingError(f"not TOML: {error}") from None
        return _routing(file, Route(via=Via(mode), relay=relay if mode == "relay" else ""))

    def route(self, domain: str, tenant_id: str) -> Route:
        """The route of a tenant's mail to a domain (lower case, A-labels): the first that matches both, or the mode.

        In capture mode no mail leaves, whatever the routes say: all mail that is not discarded goes to the sink.
        """
        route = self._first(domain, tenant_id) or self.fallback
        if self.fallback.via is Via.CAPTURE and route.via is not Via.DISCARD:
            return self.fallback
        return route

    def uses(self, via: Via) -> bool:
        """Whether any mail may take this kind of route."""
        return any(route.via is via for route in (self.fallback, *(rule.route for rule in self.rules)))

    def pool(self, name: str) -> str:
        """The pool that serves a message: the one it names, or the default pool when it names none or an unknown one. A
        pool that the operator has removed must not hold mail back."""
        return name if name in self.pools else DEFAULT_POOL

    def choose_source(
        self,
        pool: str,
        key: str,
        *,
        site: str,
        day: date,
        exhausted: Container[tuple[str, str]] = (),
        absent: Set[str] = frozenset(),
    ) -> str | None:
        """The source that a message leaves from: by weight, always the same for one ``key`` (the message's id).

        Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005): when a source joins or is exhausted, only the
        messages that it gains or had move. ``exhausted``: (source, site) whose cap for the day is granted. ``absent``:
        sources that no machine has, skipped if the pool has another. "" means that no pool applies and the system
        chooses the address; None that no source of the pool may send there today.
        """
        weights = self.weights(pool, absent)
        if not weights:
            return ""
        free = [name for name in weights if (name, site) not in exhausted and self.cap(name, site, day) != 0]
        return max(free, key=lambda name: (_score(name, key, weights[name]), name), default=None)

    def waiting_source(self, pool: str, key: str, absent: Set[str] = frozenset()) -> str:
        """The source that a message would leave from if all of its pool might send: it waits there when none may."""
        weights = self.weights(pool, absent)
        return max(weights, key=lambda name: (_score(name, key, weights[name]), name), default="")

    def cap(self, source: str, site: str, day: date) -> int | None:
        """Messages that the source may send to the site on a day (UTC); None sets no limit."""
        found = self.sources.get(source)
        return found.warm_up.cap(site, day) if found is not None and found.warm_up is not None else None

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses of all sources."""
        return frozenset(x for source in self.sources.values() for x in (source.address, source.address6) if x)

    @property
    def helo_names(self) -> frozenset[str]:
        """The EHLO names of all sources that have one."""
        return frozenset(source.helo_name for source in self.sources.values() if source.helo_name)

    def serves(self, source: str, absent: Set[str] = frozenset()) -> bool:
        """Whether mail of any pool may leave from the source."""
        return any(source in self.weights(pool, absent) for pool in self.pools if source in self.pools[pool])

    def waiting_pools(self, absent: Set[str]) -> tuple[str, ...]:
        """The pools none of whose sources is on a machine: their mail waits. ``absent`` as for ``choose_source``."""
        return tuple(sorted(name for name, weights in self.pools.items() if weights.keys() <= absent))

    def weights(self, pool: str, absent: Set[str] = frozenset()) -> Mapping[str, int]:
        """The sources to choose from: those of the pool that a machine has, or all, to wait there, when none has."""
        weights = self.pools.get(self.pool(pool), {})
        if absent and not absent.isdisjoint(weights):
            return {name: weight for name, weight in weights.items() if name not in absent} or weights
        return weights

    def _first(self, domain: str, tenant_id: str) -> Route | None:
        if not self.rules:
            return None
        parents = domain.split(".")[1:]
        patterns = (domain, *(f"*.{'.'.join(parents[i:])}" for i in range(len(parents))), "*")
        for number in sorted(number for pattern in patterns for number in self.by_domain.get(pattern, ())):
            rule = self.rules[number]
            if not rule.tenants or tenant_id in rule.tenants:
                return rule.route
        return None


def _score(source: str, key: str, weight: int) -> float:
    digest = blake2b(f"{source}\0{key}".encode(), digest_size=8).digest()
    # 52.5 bits: strictly between 0 and 1 also as a float.
    return -weight / log(((int.from_bytes(digest) >> 12) + 0.5) / 2**52)


# The file


class _FileTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: list[dict[str, Any]] = field(default_factory=list)


class _SiteTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    per_day: tuple[int, ...]


class _WarmUpTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    started: date
    per_day: tuple[int, ...]
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)


class _SourceTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    address: str = ""
    address6: str = ""
    helo_name: str = ""
    warm_up: dict[str, Any] | None = None


class _RouteTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    via: Via
    domain: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    relay: str = ""
    tls: TlsLevel | None = None
    username: str = ""
    password: str = ""
    auth_needs: AuthNeeds | None = None


def _routing(file: dict[str, Any], fallback: Route) -> Routing:
    tables = _convert(file, _FileTable, "")
    sources = {name: _source(name, table) for name, table in tables.sources.items()}
    rules: list[RouteRule] = []
    by_domain: dict[str, tuple[int, ...]] = {}
    for number, table in enumerate(tables.routes):
        where = f"route {number + 1}"
        row = _convert(table, _RouteTable, where)
        rules.append(RouteRule(frozenset(row.tenant), _route(row, number + 1, where)))
        for pattern in {_pattern(text, f"{where}.domain") for text in row.domain or ("*",)}:
            by_domain[pattern] = (*by_domain.get(pattern, ()), number)
    return Routing(
        fallback=fallback,
        sources=sources,
        pools={name: _pool(name, weights, sources) for name, weights in tables.pools.items()},
        rules=tuple(rules),
        by_domain=by_domain,
    )


def _source(name: str, table: dict[str, Any]) -> Source:
    where = f"sources.{name}"
    if not _SOURCE_NAME.fullmatch(name):
        raise RoutingError(f"{where}: a source's name is 1 to 32 of a-z, 0-9, _ and -")
    row = _convert(table, _SourceTable, where)
    if not row.address and not row.address6:
        raise RoutingError(f"{where}: needs an address")
    return Source(
        name=name,
        address=_address(row.address, IPv4Address, f"{where}.address"),
        address6=_address(row.address6, IPv6Address, f"{where}.address6"),
        helo_name=_checked(ehlo_name, row.helo_name, f"{where}.helo_name") if row.helo_name else "",
        warm_up=_plan(row.warm_up, f"{where}.warm_up") if row.warm_up is not None else None,
    )


def _plan(table: dict[str, Any], where: str) -> WarmUpPlan:
    row = _convert(table, _WarmUpTable, where)
    sites = {}
    for site, caps in row.sites.items():
        place = f'{where}.sites."{site}"'
        sites[spelled_names(site)] = _caps(_convert(caps, _SiteTable, place).per_day, f"{place}.per_day")
    return WarmUpPlan(row.started, _caps(row.per_day, f"{where}.per_day"), sites)


def _caps(per_day: tuple[int, ...], where: str) -> tuple[int, ...]:
    if any(not 0 <= cap < 2**31 for cap in per_day):
        raise RoutingError(f"{where}: a cap must not be negative, nor above {2**31 - 1}")
    return per_day


def _pool(name: str, table: dict[str, Any], sources: Mapping[str, Source]) -> dict[str, int]:
    where = f"pools.{name}"
    if not 1 <= len(name) <= _POOL_NAME_MAX:
        raise RoutingError(f"{where}: a pool's name has 1 to {_POOL_NAME_MAX} characters")
    for source, weight in table.items():
        if source not in sources:
            raise RoutingError(f"{where}.{source}: there is no such source")
        if type(weight) is not int or not 0 <= weight <= 1_000_000:
            raise RoutingError(f"{where}.{source}: a weight is a whole number from 0 to 1000000")
    weights = {source: weight for source, weight in table.items() if weight}
    if not weights:
        raise RoutingError(f"{where}: needs a source with a weight above 0")
    return weights


def _route(row: _RouteTable, number: int, where: str) -> Route:
    if row.via is not Via.RELAY:
        if row.relay or row.tls or row.username or row.password or row.auth_needs:
            raise RoutingError(f'{where}: relay, tls, username, password and auth_needs are for via = "relay"')
        return Route(via=row.via, number=number)
    _checked(server, row.relay, f"{where}.relay")
    for key, text in (("username", row.username), ("password", row.password)):
        _checked(check_credential, text, f"{where}.{key}")
    if bool(row.username) != bool(row.password):
        raise RoutingError(f"{where}: username and password go together")
    if row.auth_needs and not row.username:
        raise RoutingError(f"{where}.auth_needs: is for a route with a username and a password")
    needs = row.auth_needs or AuthNeeds.VERIFIED
    tls = row.tls or (needs.level if row.username else TlsLevel.OPPORTUNISTIC)
    if row.username and needs is not AuthNeeds.NOTHING and tls not in (TlsLevel.REQUIRED, TlsLevel.VERIFIED):
        raise RoutingError(
            f'{where}.tls: with a password it must be "verified" (the default) or "required", '
            f'unless auth_needs = "nothing"'
        )
    return Route(
        via=row.via,
        number=number,
        relay=spelled_names(row.relay),
        tls=tls,
        username=row.username,
        password=Secret(row.password),
        auth_needs=needs,
    )


def _pattern(text: str, where: str) -> str:
    if text == "*":
        return text
    wild = "*." if text.startswith("*.") else ""
    return wild + _checked(domain_name, text.removeprefix("*."), where)


def _checked(check: Callable[[str], _Checked], text: str, where: str) -> _Checked:
    try:
        return check(text)
    except ValueError as error:
        raise RoutingError(f"{where}: {error}") from None


def _address(text: str, family: type[IPv4Address] | type[IPv6Address], where: str) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise RoutingError(f"{where}: {text!r} is not an IP address") from None
    if not isinstance(address, family):
        raise RoutingError(f"{where}: must be an {'IPv4' if family is IPv4Address else 'IPv6'} address")
    if address.is_unspecified or address.is_multicast:
        raise RoutingError(f"{where}: no connection can be made from {text}")
    return str(address)


def _convert(table: dict[str, Any], kind: type[_Table], where: str) -> _Table:
    """The table as ``kind``. ``where`` prefixes the error's path. Raises RoutingError."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        key = path.rstrip("`")
        raise RoutingError(f"{(where + key).removeprefix('.') or 'the file'}: {reason}") from None
