"""Describes routes and sources for operators. It uses the same router as deliveries do.

It looks up the DNS and the domain's policies like a delivery; it changes nothing.
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime

from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery
from cluster.lookup.resolver import Resolver
from cluster.policy.limits.retry import tried_until
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import Ring
from cluster.policy.routes.next_hop import NextHop, Unreachable
from cluster.policy.routes.rerouting import fixed_sites
from cluster.policy.routes.routing import Route, Routing, Source, Via
from cluster.policy.tls.mta_sts import StsMode
from cluster.policy.tls.policy import DomainTls, MxSecurity
from cluster.policy.tls.route import along, relay_level
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import Router, TlsOf
from cluster.routing.views import (
    MxHost,
    PoolShare,
    RouteDescription,
    SiteOfDomain,
    SourceChoice,
    SourceState,
    TlsView,
    WarmUpUse,
)

HOSTS_SHOWN = 20
MOST_WARM_UPS = 10_000

RingOf = Callable[[], Ring]
"""The live delivery actors that are not leaving, and what is assigned to them."""


class Describing:
    """The descriptions of one process. Its collaborators are the process's active policy, its router, and the ring that
    it knows."""

    def __init__(
        self,
        journal: Journal,
        active_policy: ActivePolicy,
        router: Router,
        resolver: Resolver,
        *,
        ring: RingOf,
        tls_of: TlsOf,
    ) -> None:
        """``tls_of`` returns what a domain publishes about TLS."""
        self._journal = journal
        self._active_policy = active_policy
        self._router = router
        self._resolver = resolver
        self._ring = ring
        self._tls_of = tls_of

    async def site_of(self, domain: str) -> str:
        """The site of a domain's mail, by the routes for all tenants."""
        return (await self.find_site(domain)).site

    async def find_site(self, domain: str) -> SiteOfDomain:
        """The site of a domain's mail, and the reason if mail cannot be sent there."""
        placed = await self._router.place(_a_delivery(domain, "", ""))
        problem = placed.hop.reason if isinstance(placed.hop, Unreachable) else ""
        return SiteOfDomain(site=placed.destination.site, problem=problem)

    async def tried_until(self, waiting: DueDelivery, send_at: datetime, expires_at: datetime) -> datetime:
        """The time until which a deferred delivery is retried, from its send time, the end of its own lifetime, and the
        limits of its destination."""
        place = (await self._router.place(waiting)).destination
        limits = self._active_policy.limits(place.site, place.source, waiting.domain)
        default_s = self._active_policy.default_lifetime_s
        return tried_until(expires_at, send_at, shaped_s=limits.lifetime_s, default_s=default_s)

    def named_sites(self) -> set[str]:
        """The sites that need no DNS: the sink, the discard, and the relays."""
        return fixed_sites(self._active_policy.routing)

    async def route(self, domain: str, tenant_id: str, pool: str) -> RouteDescription:
        """The route of mail for a domain (A-labels, lower case)."""
        placed = await self._router.place(_a_delivery(domain, tenant_id, pool))
        place, hop, routing = placed.destination, placed.hop, self._active_policy.routing
        route = routing.route(domain, tenant_id)
        hosts = self._active_policy.hosts_of(place.site)
        shaping = self._active_policy.shaping.explain(
            place.site, source=place.source, domain=domain, tenant_id=tenant_id, hosts=hosts
        )
        return RouteDescription(
            domain=domain,
            via=_via(hop, place.site),
            mx=await self._hosts(hop),
            site=place.site,
            hosts_site=hosts,
            pool=routing.pool(pool) if routing.pools else "",
            sources=self._choices(place, routing, pool),
            destination=str(place),
            owner=self._owner(place),
            shaping=tuple(along(route, shaping)),
            tls=await self._tls(domain, place, hop, route),
            problem=hop.reason if isinstance(hop, Unreachable) else "",
        )

    async def sources(self) -> list[SourceState]:
        """Every source of the active routing. Raises Unavailable."""
        routing, day, members = self._active_policy.routing, self._active_policy.today(), self._ring().members
        waiting = routing.waiting_pools(self._active_policy.absent)
        granted = {(use.source, use.site): use.granted for use in await self._journal.warm_up.usage(day, MOST_WARM_UPS)}
        return [
            SourceState(
                name=source.name,
                addresses=tuple(address for address in (source.address, source.address6) if address),
                helo=source.helo_name,
                actors=tuple(sorted(member.name for member in members if source.name in member.sources)),
                passed_over=source.name in self._active_policy.absent,
                pools=tuple(
                    PoolShare(pool=pool, weight=weights[source.name])
                    for pool, weights in routing.pools.items()
                    if source.name in weights
                ),
                waiting_pools=tuple(pool for pool in waiting if source.name in routing.pools[pool]),
                warm_up_day=_warm_up_day(source, day),
                warm_up=tuple(
                    WarmUpUse(site=site, granted=count, cap=cap)
                    for (name, site), count in granted.items()
                    if name == source.name and (cap := routing.cap(name, site, day)) is not None
                ),
            )
            for source in routing.sources.values()
        ]

    async def _hosts(self, hop: NextHop | Unreachable) -> tuple[MxHost, ...]:
        if isinstance(hop, Unreachable) or hop.via is not Via.DIRECT:
            return ()
        hosts = hop.hosts[:HOSTS_SHOWN]
        found = await asyncio.gather(*(self._resolver.mx_addresses(host.name) for host in hosts))
        return tuple(
            MxHost(
                preference=host.preference,
                host=host.name,
                addresses=some.addresses if isinstance(some, mx.Addresses) else (),
            )
            for host, some in zip(hosts, found, strict=True)
        )

    def _choices(self, place: Destination, routing: Routing, pool: str) -> tuple[SourceChoice, ...]:
        """The sources of the pool, by falling weight; empty where no source is chosen."""
        weights = routing.pools.get(routing.pool(pool), {}) if place.source else {}
        return tuple(
            SourceChoice(source=name, weight=weight, owner=self._owner(self._share_of(place.site, name)))
            for name, weight in sorted(weights.items(), key=lambda choice: (-choice[1], choice[0]))
        )

    def _share_of(self, site: str, source: str) -> Destination:
        """The first share of a source → site."""
        return Destination(site, source, shares=self._router.shares_of(site, source))

    def _owner(self, place: Destination) -> str:
        return self._ring().owner(place) or ""

    async def _tls(self, domain: str, place: Destination, hop: NextHop | Unreachable, route: Route) -> TlsView | None:
        if isinstance(hop, Unreachable) or hop.via in (Via.CAPTURE, Via.DISCARD):
            return None
        if hop.via is Via.RELAY:
            return TlsView(level=relay_level(route))
        level = self._active_policy.limits(place.site, place.source, domain).tls
        return _tls_view(await self._tls_of(domain, level))


def _a_delivery(domain: str, tenant_id: str, pool: str) -> DueDelivery:
    return DueDelivery("", 0, tenant_id, domain, pool)


def _via(hop: NextHop | Unreachable, site: str) -> str:
    if isinstance(hop, Unreachable):
        return Via.DIRECT
    return f"{hop.via} {site}" if hop.via is Via.RELAY else hop.via


def _tls_view(tls: DomainTls) -> TlsView:
    dane = {
        MxSecurity.INSECURE: "",
        MxSecurity.SECURE: "the MX records are secure: TLSA records of the hosts are followed",
        MxSecurity.UNKNOWN: "whether the MX records are secure cannot be told now",
    }
    return TlsView(
        level=tls.level,
        mta_sts_mode="" if tls.mode is StsMode.NONE else tls.mode,
        mta_sts_mx=tls.mx,
        dane=dane[tls.mx_security],
    )


def _warm_up_day(source: Source, day: date) -> int:
    """The day of a source's warm-up plan, from 1; 0 before it begins, after it ends, and without a plan."""
    plan = source.warm_up
    return (day - plan.started).days + 1 if plan is not None and plan.started <= day < plan.ends() else 0
