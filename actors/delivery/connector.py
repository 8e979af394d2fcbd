"""Opening a connection to a next hop: its hosts by preference, and their addresses, one after the other."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from math import inf

from actors.delivery.discarding import DiscardConnection
from actors.delivery.job import Connection, NoRoute
from actors.delivery.outcomes import verdict_on
from actors.delivery.tls_dialer import TlsDialer
from actors.smtp.client import SmtpConnection
from actors.smtp.protocol import ConnectError, Observe
from cluster.lookup.resolver import Resolver
from cluster.lookup.ttl_cache import TtlCache
from cluster.metrics import Counter, Counters, Gauge
from cluster.policy.limits.connections import AddressStates
from cluster.policy.limits.session import UNLIMITED, SessionLimits
from cluster.policy.replies.effects import Unreached, effects_of
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import NextHop, unreachable
from cluster.policy.routes.routing import Source, Via
from cluster.settings import SmtpSettings

log = logging.getLogger(__name__)

MAX_TRIES = 6
"""Addresses tried for one connection. A dead site with many hosts must not hold a worker for an hour."""
KNOWN_S = 86400.0
"""How long it is cached that a host accepts BDAT, or that it fails at an extension it announces."""
KNOWN_HOSTS = 10_000
SHOWN_S = 3600.0
TLS_VERSIONS = ("none", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
"""As ssl names them."""
"""How long a host's observed connection limits are cached. Observing one again costs a connection; keeping one that no
longer applies costs more connections."""

_Machine = tuple[str, str, int, str | None, bytes]
"""What identifies a machine: host, address, port, our source address, its EHLO reply."""


class Crowded(Exception):
    """Every address of the next hop has reached its connection limit."""


class Connector:
    """One for the process: what it knows of addresses applies to all sites. ``helo_name`` is sent in EHLO (RFC 5321
    §4.1.1.1) if the source has no name of its own."""

    open = Gauge(
        "postray_smtp_connections",
        "SMTP connections open, or being opened.",
        lambda connector: connector.addresses.open,
    )
    opened = Counters(
        "postray_smtp_openings_total", "SMTP connections begun, by what came of it.", "result", ("opened", "failed")
    )
    encrypted = Counters(
        "postray_smtp_tls_total", "SMTP connections opened, by their TLS; none is plain text.", "tls", TLS_VERSIONS
    )
    lost = Counter("postray_smtp_connections_lost_total", "SMTP connections that their hosts broke off.")

    def __init__(
        self,
        resolver: Resolver,
        tls: TlsDialer,
        settings: SmtpSettings,
        helo_name: str,
        *,
        random: Callable[[], float],
    ) -> None:
        self._resolver = resolver
        self._tls = tls
        self._settings = settings
        self._helo_name = helo_name
        self._random = random
        self.addresses = AddressStates()
        self._in_vain: TtlCache[tuple[str, str], frozenset[str]] = TtlCache(KNOWN_HOSTS, _now)
        self._takes_bdat: TtlCache[_Machine, bool] = TtlCache(KNOWN_HOSTS, _now)
        self.carried: TtlCache[tuple[str, str], SessionLimits] = TtlCache(KNOWN_HOSTS, _now)
        """The limits of one connection, by source and host."""

    async def connect(
        self,
        hop: NextHop,
        domain: str,
        source: Source,
        *,
        place: Destination,
        per_address: int,
        observe: Observe | None,
        passed_over: Callable[[ConnectError], None],
    ) -> Connection:
        """A connection to the first host that accepts one. ``domain``: the recipients' domain. ``per_address``: how
        many connections this destination may have to one address; 0 sets no limit. ``passed_over`` is called with
        every failure but the one that is raised. Raises ConnectError (the last failure), NoRoute, Crowded."""
        if hop.via is Via.DISCARD:
            return DiscardConnection()
        hosts = mx.put_last(mx.order(hop.hosts, self._random), hop.last)
        walk = _Walk(self._resolver, self.addresses, hop, source, hosts)
        crowded = False
        tries = 0
        async for host, address in walk.candidates():
            if not self.addresses.has_room(place, address, per_address):
                crowded = True
                continue
            if tries == MAX_TRIES:
                break
            if isinstance(walk.failure, ConnectError):
                passed_over(walk.failure)
            tries += 1
            self.addresses.opened(place, address)
            try:
                connection = await self._open(hop, host, address, domain, source, observe)
            except ConnectError as error:
                if effects_of(verdict_on(error), error.stage, Unreached()).address_failed:
                    self.addresses.failed(source.name, address, _now())
                self.opened["failed"] += 1
                walk.failure = error
                self.addresses.closed(place, address)
                continue
            except BaseException:
                self.addresses.closed(place, address)
                raise
            self.opened["opened"] += 1
            self.encrypted[connection.tls_version or "none"] += 1
            connection.source = source.name
            connection.alternatives = max(len(hop.hosts), len(walk.found)) - 1
            return connection
        if crowded:
            if isinstance(walk.failure, ConnectError):
                passed_over(walk.failure)
            raise Crowded
        assert walk.failure is not None, "without a candidate there is a reason for it"
        raise walk.failure

    def taught(self, connection: Connection, limits: SessionLimits) -> None:
        """Cache the limits that the connection's host has shown."""
        key = (connection.source, connection.host)
        log.info("connections carry no more source=%s host=%s most=%r", *key, limits.described())
        self.carried.put(key, limits.narrowed(self.carried.get(key) or UNLIMITED), SHOWN_S)

    def closed(self, connection: Connection, place: Destination, lost: bool) -> None:
        """A connection of this destination has ended; ``lost``: it was lost, or its host takes no more mail."""
        if not isinstance(connection, SmtpConnection):
            return
        self.addresses.closed(place, connection.address)
        if connection.in_vain:
            host = (connection.host, connection.address)
            self._in_vain.put(host, connection.in_vain | (self._in_vain.get(host) or frozenset()), KNOWN_S)
        if lost:
            self.lost += 1
            self.addresses.failed(connection.source, connection.address, _now())
        elif connection.transactions:
            self.addresses.worked(connection.source, connection.address)

    async def _open(
        self, hop: NextHop, host: str, address: str, domain: str, source: Source, observe: Observe | None
    ) -> SmtpConnection:
        source_address = source.address_towards(address)
        connection = await self._tls.open(
            host,
            address,
            hop.port,
            hop.tls,
            domain=domain,
            smtp=self._settings,
            helo_name=source.helo_name or self._helo_name,
            source_address=source_address,
            credentials=hop.credentials,
            tenant_tls=hop.tenant_tls,
            observe=observe,
            ignored_capabilities=self._in_vain.get((host, address)) or frozenset(),
        )
        machine = (host, address, hop.port, source_address, connection.ehlo)
        connection.takes_bdat = self._takes_bdat.get(machine) is not None
        connection.shown = partial(self._shown, machine)
        if shown := self.carried.get((source.name, host)):
            connection.share.limits = connection.share.limits.narrowed(shown)
        return connection

    def _shown(self, machine: _Machine, takes_bdat: bool) -> None:
        if takes_bdat:
            self._takes_bdat.put(machine, True, KNOWN_S)
        else:
            self._takes_bdat.forget(machine)


class _Walk:
    """The (host, address) pairs of a next hop in the order of trying, looked up as they are needed.

    Addresses that failed recently come last. They are not left out: if nothing else answers, they may work again.
    """

    def __init__(
        self, resolver: Resolver, addresses: AddressStates, hop: NextHop, source: Source, hosts: tuple[mx.MailHost, ...]
    ) -> None:
        self.failure: ConnectError | NoRoute | None = None
        """The failure to raise if there is no connection: a temporary one takes precedence over a permanent one."""
        self.found: set[str] = set()
        self._ask = resolver.mx_addresses if hop.via is Via.DIRECT else resolver.addresses
        self._addresses = addresses
        self._source = source
        self._hosts = hosts

    async def candidates(self) -> AsyncIterator[tuple[str, str]]:
        dead = []
        too_far = inf
        for host in self._hosts:
            if host.preference >= too_far:
                continue
            answer = await self._ask(host.name)
            if not isinstance(answer, mx.Addresses):
                self._fail(NoRoute.of(unreachable(answer)))
                if isinstance(answer, mx.Unroutable) and answer.cause is mx.NoMail.LOOP:
                    too_far = host.preference
                continue
            usable = [address for address in answer.addresses if _reaches(self._source, address)]
            if not usable:
                self._fail(NoRoute(f"{host.name}: no address that {self._source.name} can reach", permanent=False))
            self.found.update(usable)
            for address in usable:
                if self._addresses.is_dead(self._source.name, address, _now()):
                    dead.append((host.name, address))
                else:
                    yield host.name, address
        for candidate in dead:
            yield candidate

    def _fail(self, found: NoRoute) -> None:
        if self.failure is None or (isinstance(self.failure, NoRoute) and self.failure.permanent):
            self.failure = found


def _reaches(source: Source, address: str) -> bool:
    """Whether a source has an address of the same family, or leaves the choice to the system."""
    return not (source.address or source.address6) or source.address_towards(address) is not None


def _now() -> float:
    return asyncio.get_running_loop().time()
