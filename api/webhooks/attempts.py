"""GET /v3/user/webhooks/{id}/deliveries: the posts to an endpoint of seven days, with their answers."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from litestar import get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from analytics.attempts import AttemptsWanted
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import WEBHOOK_ID, Example
from api.http.existing import WEBHOOK, existing
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.http.sharing import FairShare
from api.webhooks.parts import WebhookParts
from cluster.events import WebhookAttempt
from cluster.times import milliseconds

MOST = 200
USUAL = 50
MAX_WAIT_S = 30.0
TOO_MANY = "Too many readers of posts at once; try again later"


class PostedRequest(Struct, frozen=True):
    """What was posted: header fields without secrets, and the first 4 KB of the body."""

    headers: str
    body: str
    bytes: int


class PostAnswer(Struct, frozen=True):
    """What came back. ``status`` is None, and ``error`` says why, where nothing did."""

    status: int | None
    headers: str
    body: str
    error: str


class PostView(Struct, frozen=True):
    """A post."""

    id: str
    at: datetime
    url: str
    attempt: int
    """1 for the first post of these events."""
    event_ids: list[str]
    duration_ms: int
    request: PostedRequest
    answer: PostAnswer


class PostPage(Struct, frozen=True):
    """Posts, the latest first. ``next`` is where the next page begins; None: there is none."""

    deliveries: list[PostView]
    next: str | None


class AttemptCalls:
    """The route."""

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._turns = FairShare(1, 1, MAX_WAIT_S, TOO_MANY)

    def routes(self) -> RouteGroup:
        return resource(
            "/v3/user/webhooks/{id:str}/deliveries",
            get(
                responses=answers(400, 401, 403, 404, 503),
                summary="The posts to an endpoint of seven days, the latest first",
                example=Example(path={"id": WEBHOOK_ID}),
            )(self.page),
            tag="webhooks",
        )

    async def page(
        self,
        request: ApiRequest,
        id: FromPath[str],
        limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
        after: Annotated[str | None, QueryParameter(max_length=100)] = None,
        outcome: Annotated[Literal["taken", "failed"] | None, QueryParameter()] = None,
        event_id: Annotated[str | None, QueryParameter(max_length=100)] = None,
    ) -> PostPage:
        tenant_id = request.auth.tenant_id
        endpoint = await existing(WEBHOOK, id, lambda id: self._parts.journal.webhooks.of(tenant_id, id))
        before_ms, before_id = _place(after)
        wanted = AttemptsWanted(
            tenant_id=tenant_id,
            webhook_id=endpoint.id,
            limit=limit,
            before_ms=before_ms,
            before_id=before_id,
            has_failed=None if outcome is None else outcome == "failed",
            event_id=event_id,
        )
        async with self._turns.hold(tenant_id, 1):
            found: list[WebhookAttempt] = await self._parts.ask("recorder", "attempts", wanted)
        last = f"{milliseconds(found[-1].at)}-{found[-1].id}" if len(found) == limit else None
        return PostPage([_shown(one) for one in found], last)


def _place(text: str | None) -> tuple[int | None, str]:
    """Raises Invalid."""
    if text is None:
        return None, ""
    at, _, id = text.partition("-")
    if not (at.isascii() and at.isdigit() and len(at) < 16 and id):
        raise Invalid([Fault("Take next of an answer as it is", "after")])
    return int(at), id


def _shown(one: WebhookAttempt) -> PostView:
    return PostView(
        one.id,
        datetime.fromtimestamp(one.at, UTC),
        one.url,
        one.attempt,
        list(one.event_ids),
        one.duration_ms,
        PostedRequest(one.request_headers, one.request_body, one.request_bytes),
        PostAnswer(one.status or None, one.answer_headers, one.answer_body, one.error),
    )
