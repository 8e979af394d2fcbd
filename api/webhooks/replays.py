"""/v3/user/webhooks/{id}/replay: events of the past, sent again to an endpoint with the same ids."""

from datetime import UTC, datetime

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from api.http import dates, help_texts
from api.http.body import ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import REPLAY_ID, WEBHOOK_ID, Example
from api.http.existing import REPLAY, WEBHOOK, existing
from api.http.refusals import Conflict, Fault, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.webhooks.checking import check_events
from api.webhooks.parts import WebhookParts
from cluster.ids import new_id
from cluster.journal.webhook_replays import MOST_PENDING, Replay, ReplayFilter
from cluster.webhooks.endpoints import ALL, Endpoint

BUSY = f"An endpoint has at most {MOST_PENDING} replays that are not finished"


class ReplayFields(Struct, frozen=True, rename={"from_": "from"}):
    """Which events: of a time (ISO-8601, or seconds since the epoch), of some kinds, of one message."""

    from_: datetime | float | None = None
    to: datetime | float | None = None
    event_types: list[str] | None = None
    message_id: str | None = None


class ReplayBody(TypedBody[ReplayFields]):
    decoder = msgspec.json.Decoder(ReplayFields)


class ReplayView(Struct, frozen=True, kw_only=True):
    """A replay. ``events``: found so far, of those that the endpoint wants."""

    id: str
    status: str
    """pending, done, or failed."""
    error: str = ""
    """Why it failed."""
    events: int
    created_at: datetime
    finished_at: datetime | None


class ReplayList(Struct, frozen=True):
    """The latest replays of an endpoint, the newest first."""

    replays: list[ReplayView]


class ReplayCalls:
    """The routes of this module."""

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._journal = parts.journal

    def routes(self) -> RouteGroup:
        example = Example(path={"id": WEBHOOK_ID})
        return resource(
            "/v3/user/webhooks/{id:str}/replay",
            post(
                status_code=202,
                dto=ReplayBody,
                return_dto=None,
                responses=answers(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
                summary="Send events of the past to an endpoint again, with the same ids",
                example=Example(path=example.path, body={"from": "2026-05-01T00:00:00Z", "event_types": ["bounce"]}),
            )(self.begin),
            get(responses=answers(400, 401, 403, 404, 503), summary="The latest replays", example=example)(self.latest),
            get(
                "/{replay_id:str}",
                responses=answers(400, 401, 403, 404, 503),
                summary="How far a replay is",
                example=Example(path={"id": WEBHOOK_ID, "replay_id": REPLAY_ID}),
            )(self.show),
            tag="webhooks",
        )

    async def begin(self, request: ApiRequest, id: FromPath[str], data: JSONBody[ReplayFields]) -> ReplayView:
        endpoint = await self._found(request, id)
        faults = Faults()
        if data.event_types is not None:
            check_events(data.event_types, "event_types", faults)
        first, last = _ms(data.from_, "from", faults), _ms(data.to, "to", faults)
        if first is None and data.message_id is None and not faults:
            faults.append(Fault("Give from, or message_id", "from"))
        if first is not None and last is not None and last < first:
            faults.append(Fault("It is before from", "to"))
        if faults:
            raise Invalid(faults)
        now = self._parts.now()
        filters = ReplayFilter(
            first_ms=first,
            last_ms=last if last is not None else round(now.timestamp() * 1000),
            events=() if data.event_types is None or ALL in data.event_types else tuple(data.event_types),
            message_id=data.message_id,
        )
        replay_id = new_id("rpl_")
        if not await self._journal.webhook_replays.add(endpoint.tenant_id, endpoint.id, replay_id, filters, now):
            raise Conflict(BUSY, help=help_texts.REPLAYS)
        return ReplayView(id=replay_id, status="pending", events=0, created_at=now, finished_at=None)

    async def latest(self, request: ApiRequest, id: FromPath[str]) -> ReplayList:
        endpoint = await self._found(request, id)
        found = await self._journal.webhook_replays.latest(endpoint.tenant_id, endpoint.id)
        return ReplayList([_shown(one) for one in found])

    async def show(self, request: ApiRequest, id: FromPath[str], replay_id: FromPath[str]) -> ReplayView:
        endpoint = await self._found(request, id)
        found = await existing(
            REPLAY,
            replay_id,
            lambda replay_id: self._journal.webhook_replays.of(endpoint.tenant_id, endpoint.id, replay_id),
        )
        return _shown(found)

    async def _found(self, request: ApiRequest, id: str) -> Endpoint:
        return await existing(WEBHOOK, id, lambda id: self._journal.webhooks.of(request.auth.tenant_id, id))


def _shown(replay: Replay) -> ReplayView:
    return ReplayView(
        id=replay.id,
        status="pending" if replay.finished_at is None else "failed" if replay.error else "done",
        error=replay.error,
        events=replay.events,
        created_at=replay.created_at,
        finished_at=replay.finished_at,
    )


def _ms(at: datetime | float | None, where: str, faults: list[Fault]) -> int | None:
    """Milliseconds since the epoch; a time without a zone is UTC."""
    if at is None:
        return None
    try:
        moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
        return round(dates.zoned(moment).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        faults.append(Fault("This is not a time", where))
        return None
