"""GET /v3/events: a tenant's events in the order of the log, to pull instead of to be posted."""

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from analytics.feed import MOST, START, FeedFilter, FeedPage, parsed
from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.http.sharing import FairShare
from api.webhooks.checking import check_events
from api.webhooks.parts import WebhookParts
from cluster.webhooks.bodies import own
from cluster.webhooks.owing import owed_event

MAX_WAIT_S = 30.0
TOO_MANY = "Too many readers of events at once; try again later"
USUAL = 100


class EventPage(Struct, frozen=True):
    """Events in the order in which they came. ``next`` is where the next page begins, also when this one is empty."""

    events: list[dict[str, Any]]
    next: str
    has_more: bool
    """Whether there may be more by now."""


class Feed:
    """The route."""

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._turns = FairShare(1, 1, MAX_WAIT_S, TOO_MANY)  # the recorder reads with its only thread

    def routes(self) -> RouteGroup:
        return resource(
            "/v3/events",
            get(
                responses=answers(400, 401, 403, 503),
                summary="The events after a position, in the order in which they came",
                description="Each event is as it is posted to endpoints. Keep `next`, and give it as `after`.",
                example=Example(query={"limit": 100}),
            )(self.page),
            tag="webhooks",
        )

    async def page(
        self,
        request: ApiRequest,
        after: Annotated[str, QueryParameter(max_length=200)] = START,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
        event_types: Annotated[list[str] | None, QueryParameter(max_items=20)] = None,
        message_id: Annotated[str | None, QueryParameter(max_length=100)] = None,
    ) -> EventPage:
        faults = Faults()
        if event_types is not None:
            check_events(event_types, "event_types", faults)
        try:
            parsed(after)
        except ValueError:
            faults.append(Fault("This is no position of the feed", "after", help_texts.POSITION))
        if faults:
            raise Invalid(faults)
        names = () if event_types is None or "*" in event_types else tuple(event_types)
        wanted = FeedFilter(tenant_id=request.auth.tenant_id, events=names, message_id=message_id)
        async with self._turns.hold(request.auth.tenant_id, 1):
            page: FeedPage = await self._parts.ask("recorder", "feed", wanted, after, limit)
        messages = await self._parts.journal.webhook_owing.messages(one.event for one in page.events)
        owed = [owed_event(one.sequence, one.event, messages.get(one.event.message_id)) for one in page.events]
        events: list[dict[str, Any]] = msgspec.json.decode(own.body(owed, is_array=True))
        return EventPage(events, page.position, page.is_full)
