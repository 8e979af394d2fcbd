"""/api/admin/sites and /actions: the state of sites, and the actions on them."""

from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from api.admin.naming import NameFinder
from api.admin.placing import ListSources
from api.admin.site_views import SiteView, lane_of, site_views
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name
from cluster.journal.journal import Journal
from cluster.journal.site_actions import SiteAction
from cluster.policy.routes.domains import spelled_names
from cluster.policy.routes.sites import literal
from cluster.routing.deliverers import Deliverers
from cluster.routing.parked import Parked

MOST_SITES = 1000
MOST_ACTIONS = 1000


class SiteList(Struct, frozen=True, kw_only=True):
    """Sites, the deepest first."""

    sites: list[SiteView]
    silent: tuple[str, ...]
    """Delivery actors that did not answer: their deliveries in memory are missing."""
    idle: tuple[str, ...] = ()
    """When nothing is found: some known sites that match and have no deliveries."""
    near: tuple[str, ...] = ()
    """When no known site matches: known sites with similar names."""


class ActionList(Struct, frozen=True):
    """What was done, the newest first."""

    actions: list[SiteAction]


class SiteCalls:
    """The routes of this module."""

    def __init__(
        self, journal: Journal, deliverers: Deliverers, parked: Parked, sources: ListSources, names: NameFinder
    ) -> None:
        self._journal = journal
        self._deliverers = deliverers
        self._parked = parked
        self._sources = sources
        self._names = names

    def handlers(self) -> list[HTTPRouteHandler]:
        listing = get(
            "/sites",
            responses=answers(400, 401, 503),
            summary="Sites, deepest first",
            example=Example(query={"limit": 20}),
        )
        actions = get(
            "/actions",
            responses=answers(400, 401, 503),
            summary="What automation and operators did to sites",
            example=Example(query={"limit": 20}),
        )
        return [listing(self.listing), actions(self.actions)]

    async def listing(
        self,
        pattern: Annotated[
            str | None, QueryParameter(description="Part of a name, or a whole one with * and ?")
        ] = None,
        domain: Annotated[str | None, QueryParameter(description="Only the site of this domain's mail")] = None,
        source: Annotated[str | None, QueryParameter(description="Only what is sent from this source")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_SITES)] = 200,
    ) -> SiteList:
        _check_names(pattern=pattern, domain=domain, source=source)
        only = await self._names.site_of(domain) if domain is not None else ""
        pattern = spelled_names(pattern or "") or only
        states, silent = await self._deliverers.sites(literal(pattern), limit)
        parked = await self._parked.in_lanes([lane_of(state) for state in states], literal(pattern))
        suspensions = await self._journal.suspensions.active()
        views = site_views(states, parked, suspensions, pattern, source or "", await self._sources())
        if only:
            views = [view for view in views if view.site == only]
        idle, near = await self._names.like(pattern) if pattern and not views else ((), ())
        return SiteList(sites=views[:limit], silent=silent, idle=idle, near=near)

    async def actions(
        self,
        site: Annotated[
            str | None, QueryParameter(description="A site's name, or an unambiguous beginning of it")
        ] = None,
        domain: Annotated[str | None, QueryParameter(description="One whose mail goes to the site")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_ACTIONS)] = 100,
    ) -> ActionList:
        _check_names(site=site, domain=domain)
        named = await self._names.place(site, domain)
        return ActionList(await self._journal.site_actions.latest(named, limit))


def _check_names(**names: str | None) -> None:
    faults: list[Fault] = []
    for where, name in names.items():
        check_name(name, where, faults)
    if faults:
        raise Invalid(faults)
