"""/api/admin/history: how it went, by the samples of the flight recorder, which the recorder reads."""

import logging
import math
import time
from collections.abc import Callable
from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec.structs import replace

from analytics.client import ClickHouseUnavailable
from analytics.history import History, HistoryWanted
from analytics.timeline import RECORDER
from api.admin.asking import ask
from api.admin.searching import SiteOf
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name
from cluster.intake.backpressure import Overloaded
from cluster.peers import Call
from cluster.policy.routes.domains import mail_domain, spelled_names
from cluster.routing.site_state import SAMPLED_EVERY_S

log = logging.getLogger(__name__)

LONGEST_S = 366 * 86_400
POINTS = 60
"""In an answer, about, where no step is given."""
MOST_POINTS = 1000
STEPS_S = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


class Histories:
    """The route of this module."""

    def __init__(self, call: Call, site_of: SiteOf, now: Callable[[], float] = time.time) -> None:
        """``now``: seconds since the epoch."""
        self._call = call
        self._site_of = site_of
        self._now = now

    def handlers(self) -> list[HTTPRouteHandler]:
        route = get(
            "/history",
            responses=answers(400, 401, 503),
            summary="How it went: a site, or the whole, by the samples of the flight recorder",
            example=Example(query={"site": "google.com", "since_s": 7200}),
        )
        return [route(self.show)]

    async def show(
        self,
        site: Annotated[
            str | None, QueryParameter(description="A site, or a domain whose mail goes to one; without it, the whole")
        ] = None,
        source: Annotated[str | None, QueryParameter(description="Only what is sent from this source")] = None,
        since_s: Annotated[int, QueryParameter(ge=1, le=LONGEST_S, description="The last so many seconds")] = 3600,
        step_s: Annotated[
            int | None,
            QueryParameter(ge=SAMPLED_EVERY_S, le=86_400, description="Seconds of a step; by default some 60 steps"),
        ] = None,
    ) -> History:
        faults: list[Fault] = []
        for where, name in (("site", site), ("source", source)):
            check_name(name, where, faults)
        step_s = step_s or next((step for step in STEPS_S if since_s <= step * POINTS), STEPS_S[-1])
        if since_s > step_s * MOST_POINTS:
            faults.append(Fault(f"makes more than {MOST_POINTS} steps of {since_s} s", "step_s"))
        if faults:
            raise Invalid(faults)
        until = math.ceil(self._now() + 1)
        since = (until - since_s) // step_s * step_s
        named = spelled_names(site) if site is not None else ""
        wanted = HistoryWanted(site=named, source=source, since=since, until=until, step_s=step_s)
        found = await self.of(wanted)
        if found.sites or (domain := mail_domain(named)) is None:
            return found
        of_domain = await self._site_of(domain)
        return found if of_domain == named else await self.of(replace(wanted, site=of_domain))

    async def of(self, wanted: HistoryWanted) -> History:
        """What the recorder answers. Raises Overloaded."""
        try:
            found: History = await ask(self._call, RECORDER, "history", wanted)
        except ClickHouseUnavailable as error:
            log.warning("no history reason=%r", error.reason)
            raise Overloaded("The samples cannot be read now; try again later") from error
        return found
