"""/sites and /site: the sites with mail, and one: what it waits for, how it went, its limits with their rules, what
hosts said, what was done to it, its dialogues live, and suspending it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Stream

from analytics.history import History
from api.admin.routes import Admin
from api.admin.suspensions import NewSuspension
from api.admin.tracing import TracedLine
from api.console.commands import Commands
from api.console.history import site_curves, what_bound
from api.console.live import Live, event
from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest, form
from api.console.tenants import Tenants
from api.http.refusals import Fault, Invalid
from cluster.intake.backpressure import Overloaded
from cluster.policy.limits.shaping import Setting

SITES_SHOWN = 200
ACTIONS_SHOWN = 30
TRACED_S = 600.0
SINCE = {"1 h": 3600, "6 h": 21_600, "24 h": 86_400, "7 d": 604_800}
"""For so long a page looks back."""
USUAL = "1 h"
PAST_ANSWER_S = 2.0
HOURS = (1, 4, 24, 168)
"""For so long a form suspends."""

LimitsOf = Callable[[str], Sequence[Setting]]
"""The limits in force at a site, each with the rule that gave it."""


class SitePages:
    """The routes of this module."""

    def __init__(
        self,
        pages: Pages,
        commands: Commands,
        admin: Admin,
        tenants: Tenants,
        limits_of: LimitsOf,
        live: Live,
        is_admitted: Callable[[ConsoleRequest], Awaitable[bool]],
    ) -> None:
        """``is_admitted`` tells whether the operator of a request is still logged in."""
        self._pages = pages
        self._commands = commands
        self._admin = admin
        self._tenants = tenants
        self._limits_of = limits_of
        self._live = live
        self._is_admitted = is_admitted

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get("/sites")(self.listing),
            get("/site")(self.one),
            get("/live/trace")(self.trace),
            post("/site/suspend")(self.suspend),
            post("/site/resume")(self.resume),
        ]

    async def listing(self, request: ConsoleRequest) -> Response[str]:
        pattern = request.query_params.get("pattern", "").strip()
        found = await self._admin.sites.listing(pattern=pattern or None, limit=SITES_SHOWN)
        return self._pages.page(
            request,
            "sites",
            session=request.auth,
            pattern=pattern,
            found=found,
            is_full=len(found.sites) == SITES_SHOWN,
        )

    async def one(self, request: ConsoleRequest) -> Response[str]:
        name = await self._admin.names.site(_named(request.query_params.get("name", "")))
        found = await self._admin.sites.listing(pattern=name, limit=SITES_SHOWN)
        standing = await self._admin.suspensions.listing()
        since = request.query_params.get("since", "")
        views = [view for view in found.sites if view.site == name]
        suspensions = [one for one in standing.suspensions if one.site in ("", name)]
        named = {one.tenant_id for view in views for one in view.turns} | {one.tenant_id for one in suspensions} - {""}
        past, missing = await self._past(name, SINCE.get(since, SINCE[USUAL]))
        return self._pages.page(
            request,
            "site",
            session=request.auth,
            name=name,
            views=views,
            names={id: await self._tenants.name_of(id) for id in named},
            binding={view.binds for view in views},
            silent=found.silent,
            limits=self._limits_of(name),
            actions=(await self._admin.sites.actions(site=name, limit=ACTIONS_SHOWN)).actions,
            suspensions=suspensions,
            hours=HOURS,
            curves=site_curves(past) if past is not None else [],
            bound=what_bound(past) if past is not None else [],
            missing=missing,
            spans=list(SINCE),
            since=since if since in SINCE else USUAL,
        )

    async def _past(self, name: str, since_s: int) -> tuple[History | None, str]:
        """What the flight recorder sampled of a site, or why that cannot be told."""
        try:
            async with asyncio.timeout(PAST_ANSWER_S):
                return await self._admin.histories.show(site=name, since_s=since_s), ""
        except (Overloaded, TimeoutError) as error:
            return None, str(error) or f"The samples were not read within {PAST_ANSWER_S:g} s"

    async def suspend(self, request: ConsoleRequest) -> Redirect:
        fields = await form(request)
        name, hours = _named(fields.get("name", "")), fields.get("hours", "")
        if hours not in map(str, HOURS):
            raise Invalid([Fault("Not one of the times of the form", "hours")])

        async def work() -> str:
            asked = NewSuspension(site=name, for_s=int(hours) * 3600.0, reason=fields.get("reason", "").strip())
            made = await self._admin.suspensions.suspend(asked)
            return f"{made.site} is suspended for {hours} h"

        return await self._commands.perform(request, "suspend site", name, work, query("/site", name=name))

    async def resume(self, request: ConsoleRequest) -> Redirect:
        name = _named((await form(request)).get("name", ""))

        async def work() -> str:
            resumed = await self._admin.suspensions.resume(site=name)
            still = f"; {len(resumed.still)} wider suspensions still hold" if resumed.still else ""
            return f"Ended {len(resumed.suspensions)} suspensions{still}"

        return await self._commands.perform(request, "resume site", name, work, query("/site", name=name))

    async def trace(self, request: ConsoleRequest) -> Stream:
        name = await self._admin.names.site(_named(request.query_params.get("name", "")))
        lines = await self._admin.tracing.listen(name, TRACED_S)
        return self._live.follow(_events(lines), partial(self._is_admitted, request))


async def _events(lines: AsyncIterator[Sequence[TracedLine]]) -> AsyncIterator[bytes]:
    async for some in lines:
        text = "\n".join(
            f"{line.at:%H:%M:%S.%f} {line.actor} {line.connection} {line.direction} {line.text}" for line in some
        )
        yield event("line", text)
    yield event("ended", "")


def _named(text: str) -> str:
    if not text.strip():
        raise Invalid([Fault("Name a site", "name")])
    return text.strip()
