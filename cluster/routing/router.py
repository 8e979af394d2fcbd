"""From a delivery to its destination: the route, the site of the domain's hosts, and the source.

Used by those who offer deliveries, to find the owner, and by the owner itself, to find the next hop. Each asks the DNS
for itself and they may differ for a while; no harm comes of that, since connections to a site's hosts are opened by
the owner of the site alone, and whoever is offered what is not his says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from cluster.journal.records import Waiting
from cluster.lookup.resolver import Resolver
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import CAPTURE, DISCARD, Destination, destination
from cluster.policy.routes.next_hop import Credentials, NextHop, Unreachable, Way, unreachable
from cluster.policy.routes.rerouting import named_route
from cluster.policy.routes.routing import Route, Via
from cluster.policy.routes.sites import site_name
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import DomainTls, MxSecurity
from cluster.routing.active_policy import InForce
from cluster.settings import DeliverySettings, host_port

WAY_KEPT_S = 60.0
"""How long a domain's way is used before the resolver, which knows the lifetimes of the answers, is asked again."""
UNRESOLVED_KEPT_S = mx.FAILURE_TTL_S
"""The same where the DNS did not answer: the resolver bounds how often it asks, and no longer than it should the way be
believed to be unknown."""
WAYS_KEPT = 100_000
WAYS_BYTES = 32 * 1024 * 1024
"""Of the names in them, which the DNS and MTA-STS policies of strangers hold. Most have some 50."""
PATIENCES = 5
"""Of a flood of new domains the last answers come late, though every name server is quick. More would let some slow
ones hold up the offers of all."""

TlsOf = Callable[[str, TlsLevel], Awaitable[DomainTls]]
"""The TLS policy of a recipient domain at a level."""


async def level_alone(domain: str, level: TlsLevel) -> DomainTls:
    """For whoever only asks where mail goes, and never connects."""
    return DomainTls(level=level)


class Placed(Struct, frozen=True):
    """Where a delivery goes, and how."""

    destination: Destination
    hop: NextHop | Unreachable


def _weigh(way: Way) -> int:
    if isinstance(way.hop, Unreachable):
        return len(way.hop.reason)
    return sum(len(host.name) for host in way.hop.hosts) + sum(map(len, way.hop.tls.mx))


class Placer:
    """``shares``: into how many the sites that serve all domains are split. ``capture``: host and port of the sink.
    ``clock``: seconds that never go back."""

    def __init__(
        self,
        settings: DeliverySettings,
        in_force: InForce,
        resolver: Resolver,
        *,
        shares: int,
        port: int,
        capture: tuple[str, int],
        clock: Callable[[], float],
        tls_of: TlsOf = level_alone,
    ) -> None:
        self._settings = settings
        self._in_force = in_force
        self._resolver = resolver
        self._shares = shares
        self._port = port
        self._capture = capture
        self.tls_of = tls_of
        self._ways: TtlCache[str, Way] = TtlCache(WAYS_KEPT, clock, most_bytes=WAYS_BYTES, weigh=_weigh)
        self._routes: dict[int, Way] = {}
        """By the number of the route."""
        self._version = -1

    def known(self, waiting: Waiting) -> Placed | None:
        """Where it goes, if that is known without asking anybody."""
        way = self._known_way(waiting)
        return self._place(waiting, way) if way else None

    async def place(self, waiting: Waiting) -> Placed:
        """Where it goes, asking whom it takes. A domain that cannot be resolved is a site of its own."""
        return self._place(waiting, self._known_way(waiting) or await self.learn(waiting.domain))

    async def prepare(self, deliveries: Iterable[Waiting], patience_s: float) -> None:
        """Learn the ways of these deliveries, so that ``known`` answers. Ends when in ``patience_s`` no answer came, or
        after five times that: what takes longer is learned later."""
        strange = {w.domain for w in deliveries if self._known_way(w) is None}
        learning = {asyncio.ensure_future(self.learn(domain)) for domain in strange}
        for _ in range(PATIENCES):
            if learning:
                learned, learning = await asyncio.wait(learning, timeout=patience_s)
                if not learned:
                    break

    def known_or_own(self, waiting: Waiting) -> Destination:
        """Its destination as far as it is known; a domain whose hosts are not known yet stands for itself."""
        placed = self.known(waiting)
        if placed is not None:
            return placed.destination
        return self._place(waiting, Way(waiting.domain, Unreachable("not resolved yet", permanent=False))).destination

    def shares_of(self, site: str) -> int:
        """Into how many shares a site is split."""
        if site in (CAPTURE, DISCARD) or Destination(site).is_relay:
            return self._shares
        return self._settings.split_sites.get(site, 1)

    async def learn(self, domain: str) -> Way:
        """Ask the DNS for the way of a domain that is delivered directly, and remember it."""
        version = self._in_force.version
        route = await self._resolver.resolve(domain)
        if isinstance(route, mx.MailHosts):
            shaping = self._in_force.shaping
            site = hosts_site = site_name(domain, route.names)
            if shaping.is_separate(domain):
                site = domain
                self._in_force.lies_on(domain, hosts_site)
            level = shaping.limits(site, domain=domain, hosts=hosts_site).tls
            hosts = tuple(sorted(route.hosts, key=lambda host: (host.preference, host.name)))
            hop = NextHop(Via.DIRECT, hosts, self._port, await self.tls_of(domain, level))
            way = Way(site, hop)
        else:
            way = Way(domain, unreachable(route))
        self._forget_if_changed()
        if version == self._version:
            self._ways.put(domain, way, UNRESOLVED_KEPT_S if isinstance(route, mx.Unresolved) else WAY_KEPT_S)
        return way

    def _known_way(self, waiting: Waiting) -> Way | None:
        self._forget_if_changed()
        return self._route_alone(waiting) or self._ways.get(waiting.domain)

    def _forget_if_changed(self) -> None:
        if self._version != self._in_force.version:
            self._version = self._in_force.version
            self._ways.clear()
            self._routes.clear()

    def _route_alone(self, waiting: Waiting) -> Way | None:
        """The way that the routes name without the DNS; None for direct delivery."""
        routing = self._in_force.routing
        route = named_route(routing, waiting.route) if waiting.route else None
        route = route or routing.route(waiting.domain, waiting.tenant_id)
        if route.via is Via.DIRECT:
            return None
        way = self._routes.get(route.number)
        if way is None:
            way = self._routes[route.number] = self._way_of(route)
        return way

    def _way_of(self, route: Route) -> Way:
        if route.via is Via.CAPTURE:
            host, port = self._capture
            return Way(CAPTURE, NextHop(Via.CAPTURE, (mx.MxHost(0, host),), port))
        if route.via is Via.DISCARD:
            return Way(DISCARD, NextHop(Via.DISCARD))
        host, port = host_port(route.relay)
        credentials = None
        if route.username:
            credentials = Credentials(route.username, route.password.reveal(), route.auth_needs)
        # The operator names the host: no MX record stands between (RFC 7672 §2.2.2).
        tls = DomainTls(level=route.tls, mx_security=MxSecurity.SECURE)
        return Way(route.relay, NextHop(Via.RELAY, (mx.MxHost(0, host),), port, tls, credentials))

    def _place(self, waiting: Waiting, way: Way) -> Placed:
        source = ""
        if isinstance(way.hop, Unreachable) or way.hop.via is Via.DIRECT:
            source = self._in_force.source_of(waiting.pool, waiting.message_id, way.site)
        place = destination(way.site, source, waiting.message_id, self.shares_of(way.site))
        return Placed(place, way.hop)
