"""/api/admin/sites and /actions: how destinations are, and what was done to them."""

from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.types import Guard
from msgspec import Struct

from api.admin.deliverers import Deliverers
from api.admin.placing import ListSources
from api.admin.site_views import SiteView, lane_of, site_views
from api.errors import answers
from cluster.journal.operations import SiteAction
from cluster.journal.store import Journal
from cluster.policy.domains import spelled_names
from cluster.policy.site_names import literal

MOST_SITES = 1000
MOST_ACTIONS = 1000


class SiteList(Struct, frozen=True, kw_only=True):
    """Sites, the deepest first."""

    sites: list[SiteView]
    silent: tuple[str, ...]
    """Delivery actors that did not answer: what they have in memory is missing."""


class ActionList(Struct, frozen=True):
    """What was done, the newest first."""

    actions: list[SiteAction]


class Sites:
    """The two calls."""

    def __init__(
        self,
        guard: Guard,
        journal: Journal,
        deliverers: Deliverers,
        sources: ListSources,
    ) -> None:
        self._guard = guard
        self._journal = journal
        self._deliverers = deliverers
        self._sources = sources

    def handlers(self) -> list[HTTPRouteHandler]:
        guards, tags = [self._guard], ["operating"]
        listing = get(
            "/api/admin/sites",
            guards=guards,
            responses=answers(400, 401, 503),
            summary="Sites, deepest first",
            tags=tags,
        )
        actions = get(
            "/api/admin/actions",
            guards=guards,
            responses=answers(400, 401, 503),
            summary="What automation and operators did to sites",
            tags=tags,
        )
        return [listing(self.listing), actions(self.actions)]

    async def listing(
        self,
        pattern: Annotated[str, QueryParameter(description="Part of a name, or a whole one with * and ?")] = "",
        source: Annotated[str, QueryParameter(description="Only what is sent from this source")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_SITES)] = 200,
    ) -> SiteList:
        pattern = spelled_names(pattern)
        states, silent = await self._deliverers.sites(literal(pattern), limit)
        parked = await self._journal.parked(sorted({lane_of(state) for state in states}))
        suspensions = await self._journal.suspensions()
        views = site_views(states, parked, suspensions, pattern, source, await self._sources())
        return SiteList(sites=views[:limit], silent=silent)

    async def actions(
        self,
        site: Annotated[str | None, QueryParameter(description="A site's name, whole")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_ACTIONS)] = 100,
    ) -> ActionList:
        named = spelled_names(site) if site is not None else None
        return ActionList(await self._journal.site_actions(named, limit))
