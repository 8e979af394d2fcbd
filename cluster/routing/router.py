"""From a delivery to its destination: the route, the site of the domain's hosts, and the source.

Processes that offer deliveries use it to find the owner, and the owner uses it to find the next hop. Each process
queries the DNS itself, so their answers may differ for a while. This is harmless: only the owner of a site connects to
the site's hosts, and a delivery actor reports a misrouted delivery.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from cluster.journal.records import DueDelivery
from cluster.lookup.resolver import Resolver
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.balance.assignment import Assignment
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import CAPTURE, DISCARD, Destination, destination, may_be_split
from cluster.policy.routes.next_hop import Credentials, NextHop, ResolvedRoute, Unreachable, unreachable
from cluster.policy.routes.rerouting import named_route
from cluster.policy.routes.routing import Route, Via
from cluster.policy.routes.sites import site_name
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import DomainTls, MxSecurity
from cluster.routing.active_policy import ActivePolicy
from cluster.settings import DeliverySettings, host_port

WAY_KEPT_S = 60.0
"""How long a domain's resolved route is cached. Then the resolver is asked again, which observes the DNS TTLs."""
UNRESOLVED_KEPT_S = mx.FAILURE_TTL_S
"""How long a route stays unresolved when the DNS did not answer. It is as long as the resolver caches the failure, so
that the next answer is used at once."""
WAYS_KEPT = 100_000
WAYS_BYTES = 32 * 1024 * 1024
"""Limit for the names in all cached routes, which come from the DNS and MTA-STS policies. Most have about 50 bytes."""
PATIENCES = 5
"""How many times ``prepare`` waits. With many new domains the last answers are late even if all name servers are fast.
With more waits, a few slow name servers would delay all offers."""

TlsOf = Callable[[str, TlsLevel], Awaitable[DomainTls]]
"""The TLS policy of a recipient domain at a level."""


async def level_alone(domain: str, level: TlsLevel) -> DomainTls:
    """The default ``TlsOf``, for processes that only need the destination and never connect: no policy is looked up."""
    return DomainTls(level=level)


class RoutedDelivery(Struct, frozen=True):
    """A delivery's destination and next hop."""

    destination: Destination
    hop: NextHop | Unreachable


def _weigh(way: ResolvedRoute) -> int:
    if isinstance(way.hop, Unreachable):
        return len(way.hop.reason)
    return sum(len(host.name) for host in way.hop.hosts) + sum(map(len, way.hop.tls.mx))


class Router:
    """Finds destinations, and caches the resolved routes of domains.

    ``shares`` is the number of shares of a site that serves all domains. ``capture`` is host and port of the sink.
    ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        active_policy: ActivePolicy,
        resolver: Resolver,
        *,
        shares: int,
        port: int,
        capture: tuple[str, int],
        clock: Callable[[], float],
        tls_of: TlsOf = level_alone,
    ) -> None:
        self._settings = settings
        self._active_policy = active_policy
        self._resolver = resolver
        self._shares = shares
        self._port = port
        self._capture = capture
        self.tls_of = tls_of
        self.ways: TtlCache[str, ResolvedRoute] = TtlCache(WAYS_KEPT, clock, most_bytes=WAYS_BYTES, weigh=_weigh)
        """By domain."""
        self._routes: dict[int, ResolvedRoute] = {}
        """The resolved routes that need no DNS, by the number of the route."""
        self._version = -1
        self.assignment = Assignment()
        """It has the number of shares of hot sites. The owner of the router, which follows the assignment, sets it."""

    def known(self, waiting: DueDelivery) -> RoutedDelivery | None:
        """The destination and next hop if they are cached or need no look-up, else None."""
        way = self._known_way(waiting)
        return self._place(waiting, way) if way else None

    async def place(self, waiting: DueDelivery) -> RoutedDelivery:
        """The destination and next hop, after the look-ups that they need. A domain that cannot be resolved is its own
        site."""
        return self._place(waiting, self._known_way(waiting) or await self.learn(waiting.domain))

    async def prepare(self, deliveries: Iterable[DueDelivery], max_wait_s: float) -> None:
        """Resolve the routes of these deliveries for ``known``. Returns when no answer came within ``max_wait_s``, or
        after ``PATIENCES`` such waits; the remaining look-ups go on and fill the cache later."""
        strange = {w.domain for w in deliveries if self._known_way(w) is None}
        learning = {asyncio.ensure_future(self.learn(domain)) for domain in strange}
        for _ in range(PATIENCES):
            if learning:
                learned, learning = await asyncio.wait(learning, timeout=max_wait_s)
                if not learned:
                    break

    def known_or_own(self, waiting: DueDelivery) -> Destination:
        """The known destination. While a domain is unresolved, the domain itself is the site."""
        placed = self.known(waiting)
        if placed is not None:
            return placed.destination
        return self._place(
            waiting, ResolvedRoute(waiting.domain, Unreachable("not resolved yet", permanent=False))
        ).destination

    def shares_of(self, site: str, source: str = "") -> int:
        """The number of shares of a source → site."""
        place = Destination(site, source)
        if not may_be_split(place):
            return self._shares
        return self.assignment.shares_of(place, self._settings.split_sites.get(site, 1))

    async def learn(self, domain: str) -> ResolvedRoute:
        """Resolve the route of a domain for direct delivery, and cache it."""
        version = self._active_policy.version
        route = await self._resolver.resolve(domain)
        if isinstance(route, mx.MailHosts):
            shaping = self._active_policy.shaping
            site = hosts_site = site_name(domain, route.names)
            if shaping.is_separate(domain):
                site = domain
                self._active_policy.lies_on(domain, hosts_site)
            level = shaping.limits(site, domain=domain, hosts=hosts_site).tls
            hosts = tuple(sorted(route.hosts, key=lambda host: (host.preference, host.name)))
            hop = NextHop(Via.DIRECT, hosts, self._port, await self.tls_of(domain, level))
            way = ResolvedRoute(site, hop)
        else:
            way = ResolvedRoute(domain, unreachable(route))
        self._forget_if_changed()
        if version == self._version:
            self.ways.put(domain, way, UNRESOLVED_KEPT_S if isinstance(route, mx.UnresolvedHosts) else WAY_KEPT_S)
        return way

    def _known_way(self, waiting: DueDelivery) -> ResolvedRoute | None:
        self._forget_if_changed()
        return self._route_alone(waiting) or self.ways.get(waiting.domain)

    def _forget_if_changed(self) -> None:
        if self._version != self._active_policy.version:
            self._version = self._active_policy.version
            self.ways.clear()
            self._routes.clear()

    def _route_alone(self, waiting: DueDelivery) -> ResolvedRoute | None:
        """The resolved route of a delivery that needs no DNS; None for direct delivery."""
        routing = self._active_policy.routing
        route = named_route(routing, waiting.route) if waiting.route else None
        route = route or routing.route(waiting.domain, waiting.tenant_id)
        if route.via is Via.DIRECT:
            return None
        way = self._routes.get(route.number)
        if way is None:
            way = self._routes[route.number] = self._way_of(route)
        return way

    def _way_of(self, route: Route) -> ResolvedRoute:
        if route.via is Via.CAPTURE:
            host, port = self._capture
            return ResolvedRoute(CAPTURE, NextHop(Via.CAPTURE, (mx.MailHost(0, host),), port))
        if route.via is Via.DISCARD:
            return ResolvedRoute(DISCARD, NextHop(Via.DISCARD))
        host, port = host_port(route.relay)
        credentials = None
        if route.username:
            credentials = Credentials(route.username, route.password.reveal(), route.auth_needs)
        # The operator names the host, so there is no insecure MX record (RFC 7672 §2.2.2).
        tls = DomainTls(level=route.tls, mx_security=MxSecurity.SECURE)
        return ResolvedRoute(route.relay, NextHop(Via.RELAY, (mx.MailHost(0, host),), port, tls, credentials))

    def _place(self, waiting: DueDelivery, way: ResolvedRoute) -> RoutedDelivery:
        source = ""
        if isinstance(way.hop, Unreachable) or way.hop.via is Via.DIRECT:
            source = self._active_policy.source_of(waiting.pool, waiting.message_id, way.site)
        place = destination(way.site, source, waiting.message_id, self.shares_of(way.site, source))
        return RoutedDelivery(place, way.hop)
