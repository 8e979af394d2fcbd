"""GET /api/admin/explain/{id}: collects the facts about a message from the journal, the actors and the event store."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from msgspec import structs

from analytics.history import HistoryWanted
from analytics.timeline import Timeline, events_of
from api.admin.explanation import Explained, HeldBy, MessageFacts, explain
from api.admin.histories import Histories
from api.admin.past import explain_then, sites_then
from api.admin.placing import ListSources
from api.admin.searching import SiteOf
from api.admin.site_views import SiteView, lane_of, site_views
from api.http.errors import answers
from api.http.examples import MESSAGE_ID, Example
from api.http.existing import MESSAGE, existing
from api.http.refusals import Fault, Invalid
from cluster.journal.fates import Fate, RecipientState
from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery, decode_personalization
from cluster.journal.suspensions import Suspension
from cluster.policy.lifecycle import FINISHED
from cluster.policy.routes.destinations import parse
from cluster.policy.routes.rerouting import DIRECT
from cluster.routing.deliverers import Deliverers
from cluster.routing.parked import Parked
from cluster.routing.site_state import SAMPLED_EVERY_S
from cluster.routing.views import SourceState

SITES_ASKED = 200
SITES_THEN = 5
"""Of a message with more sites, those of its first recipients are told."""
LOOK_BACK_S = 60
"""A sample may be missing: then the one before it tells."""

TriedUntil = Callable[[DueDelivery, datetime, datetime], Awaitable[datetime]]
"""Returns when the retries of a deferred delivery end, from its send time and the end of its own lifetime."""


class Explaining:
    """The route of this module."""

    def __init__(
        self,
        journal: Journal,
        deliverers: Deliverers,
        parked: Parked,
        *,
        timeline: Timeline,
        site_of: SiteOf,
        sources: ListSources,
        tried_until: TriedUntil,
        histories: Histories,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._deliverers = deliverers
        self._parked = parked
        self._timeline = timeline
        self._site_of = site_of
        self._sources_now = sources
        self._tried_until = tried_until
        self._histories = histories
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        route = get(
            "/explain/{id:str}",
            responses=answers(400, 401, 404, 503),
            summary="Where a message is, why, and what next",
            example=Example(path={"id": MESSAGE_ID}),
        )
        return [route(self.show)]

    async def show(
        self,
        id: FromPath[str],
        at: Annotated[
            datetime | None, QueryParameter(description="A moment of the past: how the message and its site were then")
        ] = None,
    ) -> Explained:
        if at is not None and at.tzinfo is None:
            raise Invalid([Fault("Needs a time zone, such as 2026-11-30T14:05:00Z", "at")])
        try:
            at = at and at.astimezone(UTC)
        except OverflowError:
            raise Invalid([Fault("In UTC this is no time of the years 1 to 9999", "at")]) from None
        fate = await existing(MESSAGE, id, self._journal.fates.find)
        facts = await self._facts(id, fate)
        explained = explain(facts)
        if at is None:
            return explained
        return structs.replace(explained, then=await self._then(facts, at))

    async def _then(self, facts: MessageFacts, at: datetime) -> tuple[str, ...]:
        if not facts.fate.created_at <= at <= facts.now:
            return tuple(explain_then(facts, at, {}, None))  # no sample is needed for what is said
        sites = sites_then(facts, at)[:SITES_THEN]
        # The samples of the moment, and the last ones before.
        since = int(at.timestamp()) - LOOK_BACK_S
        span = HistoryWanted(since=since, until=int(at.timestamp()) + 1, step_s=SAMPLED_EVERY_S)
        whole, *of_sites = await asyncio.gather(
            self._histories.of(span), *(self._histories.of(structs.replace(span, site=site)) for site in sites)
        )
        return tuple(explain_then(facts, at, dict(zip(sites, of_sites, strict=True)), whole))

    async def _facts(self, id: str, fate: Fate) -> MessageFacts:
        events = asyncio.create_task(events_of(self._timeline, fate.tenant_id, id))
        standings = await self._journal.fates.recipients(id)
        unfinished = [standing for standing in standings if standing.status not in FINISHED]
        held: dict[int, HeldBy] = {}
        silent: tuple[str, ...] = ()
        live: list[str] = []
        suspensions: list[Suspension] = []
        sources: list[SourceState] = []
        if unfinished:
            sources = await self._sources_now()
            live = await self._deliverers.names()
            by_actor, silent = await self._deliverers.held(id)
            held = {one.recipient_no: HeldBy(actor=name, held=one) for name, some in by_actor.items() for one in some}
            suspensions = await self._journal.suspensions.active()
        sites = await self._sites(unfinished, held)
        personalization = decode_personalization(fate.personalization)
        emails = [to.email for to in (*personalization.to, *personalization.cc, *personalization.bcc)]
        suppressed = await self._journal.suppressions.of_recipients(fate.tenant_id, emails, fate.group_id, fate.bypass)
        return MessageFacts(
            now=self._clock(),
            message_id=id,
            fate=fate,
            recipients=tuple(emails),
            suppressed=suppressed,
            standings=tuple(standings),
            held=held,
            sites=sites,
            tried_until=await self._ends(unfinished, id, fate),
            views=await self._views(sorted(set(sites.values()) - {""}), suspensions, sources),
            sources={source.name: source for source in sources},
            suspensions=tuple(suspensions),
            live=tuple(live),
            silent=silent,
            events=found.events if (found := await events) is not None else None,
        )

    async def _sites(self, unfinished: Sequence[RecipientState], held: Mapping[int, HeldBy]) -> dict[int, str]:
        """Its site: from the actor that holds it, otherwise from its lane, otherwise from the router."""
        sites: dict[int, str] = {}
        for standing in unfinished:
            by, lane = held.get(standing.recipient_no), parse(standing.lane or "")
            if by is not None:
                sites[standing.recipient_no] = by.held.site
            elif lane is not None:
                sites[standing.recipient_no] = lane.site
            elif standing.route not in ("", DIRECT):
                sites[standing.recipient_no] = standing.route
            else:
                sites[standing.recipient_no] = await self._site_of(standing.domain)
        return sites

    async def _ends(self, unfinished: Sequence[RecipientState], id: str, fate: Fate) -> dict[int, datetime]:
        send_at = fate.send_at or fate.created_at
        return {
            one.recipient_no: await self._tried_until(
                DueDelivery(id, one.recipient_no, fate.tenant_id, one.domain, one.pool, one.route),
                send_at,
                one.expires_at,
            )
            for one in unfinished
        }

    async def _views(
        self, sites: Sequence[str], suspensions: Sequence[Suspension], sources: Sequence[SourceState]
    ) -> dict[str, SiteView]:
        views: dict[str, SiteView] = {}
        for site in sites:
            states, _ = await self._deliverers.sites(site, SITES_ASKED)
            states = [state for state in states if state.site == site]
            parked = await self._parked.in_lanes([lane_of(state) for state in states], site)
            # With several sources, site_views has the deepest one first. That is the one to explain.
            for view in site_views(states, parked, suspensions, "", "", sources):
                if view.site == site:
                    views.setdefault(site, view)
        return views
