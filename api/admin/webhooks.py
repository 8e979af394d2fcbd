"""/api/admin/webhooks: the endpoints of all tenants and how they answer, for operators.

A URL may hold what only its owner should know, in its path or its query: without ``urls`` it is cut to scheme and host.
Operators switch endpoints and never change them; secrets are not shown.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from msgspec import Struct
from msgspec.structs import asdict, replace

from analytics.attempts import AttemptsWanted
from api.admin.changing import post
from api.admin.naming import NameFinder
from api.http.errors import answers
from api.http.examples import WEBHOOK_ID, Example
from api.http.existing import ANY_WEBHOOK, existing
from api.http.refusals import Fault, Invalid
from api.webhooks.parts import WebhookParts
from api.webhooks.views import EndpointView, shown
from cluster.events import WebhookAttempt
from cluster.ids import is_id
from cluster.intake.backpressure import Overloaded
from cluster.journal.webhooks import Standing
from cluster.webhooks.endpoints import Endpoint, origin

MOST = 500
USUAL = 100
ATTEMPTS = 10

Status = Literal["active", "failing", "disabled", "paused", "off"]
"""``status`` of an endpoint."""
WithUrls = Annotated[bool, QueryParameter(description="URLs as they are; else scheme and host alone")]


class TenantsEndpoint(EndpointView, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint for operators."""

    tenant_id: str


class AllEndpoints(Struct, frozen=True):
    """Endpoints by id. ``next`` is ``after`` of the next page; None: there is none."""

    webhooks: list[TenantsEndpoint]
    next: str | None


class AttemptSummary(Struct, frozen=True):
    """A post. ``status`` is None, and ``error`` says why, where there was no answer."""

    at: datetime
    attempt: int
    """1 for the first post of these events."""
    events: int
    status: int | None
    error: str
    duration_ms: int


class EndpointInDetail(TenantsEndpoint, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint with its last posts."""

    attempts: list[AttemptSummary] | None
    """The latest first; None while the event store is away."""


class WebhookOverview:
    """The routes of this module."""

    def __init__(self, parts: WebhookParts, names: NameFinder) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._names = names

    def handlers(self) -> list[HTTPRouteHandler]:
        one, of_one = "/webhooks/{id:str}", answers(400, 401, 404, 503)
        example = Example(path={"id": WEBHOOK_ID})
        switches: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("enable", "Enable an endpoint, and post what waits for it", self.enable),
            ("disable", "Disable an endpoint: nothing is kept for it until it is enabled", self.disable),
            ("pause", "Let the events of an endpoint wait", self.pause),
            ("resume", "Post what waits for an endpoint", self.resume),
        )
        return [
            get(
                "/webhooks",
                responses=answers(400, 401, 404, 503),
                summary="The endpoints that events are posted to, of all tenants or of one, with how they answer",
                example=Example(query={"status": "failing"}),
            )(self.listing),
            get(one, responses=of_one, summary="An endpoint of any tenant, and its last posts", example=example)(
                self.show
            ),
            *(
                post(f"{one}/{action}", status_code=200, responses=of_one, summary=summary, example=example)(handler)
                for action, summary, handler in switches
            ),
        ]

    async def listing(
        self,
        tenant: Annotated[
            str | None, QueryParameter(max_length=100, description="Its id or its name, or the beginning of one")
        ] = None,
        status: Annotated[
            Status | None, QueryParameter(description="Only these; a page may be empty although there is a next one")
        ] = None,
        urls: WithUrls = False,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST, description="Endpoints on a page")] = USUAL,
        after: Annotated[str, QueryParameter(max_length=100, description="next of the last page")] = "",
    ) -> AllEndpoints:
        if after and not is_id("wh_", after):
            raise Invalid([Fault("after is what an answer gave as next", "after")])
        tenant_id = None if tenant is None else await self._names.tenant_of_path(tenant)
        found = await self._journal.webhooks.page(tenant_id, after, limit + 1)
        page = found[:limit]
        standings = await self._journal.webhooks.standings([one.id for one in page])
        views = [_view(one, standings.get(one.id, Standing()), urls) for one in page]
        return AllEndpoints(
            [TenantsEndpoint(**one) for one in views if status in (None, one["status"])],
            page[-1].id if len(found) > limit else None,
        )

    async def show(self, id: FromPath[str], urls: WithUrls = False) -> EndpointInDetail:
        endpoint = await self._found(id)
        wanted = AttemptsWanted(tenant_id=endpoint.tenant_id, webhook_id=endpoint.id, limit=ATTEMPTS)
        try:
            latest = [_summary(one) for one in await self._parts.ask("recorder", "attempts", wanted)]
        except Overloaded:
            return EndpointInDetail(**await self._now(endpoint, urls), attempts=None)
        return EndpointInDetail(**await self._now(endpoint, urls), attempts=latest)

    async def enable(self, id: FromPath[str], urls: WithUrls = False) -> TenantsEndpoint:
        enabled = await self._parts.change(await self._found(id), lambda one: replace(one, is_enabled=True))
        await self._journal.webhooks.revive(enabled.id)
        return TenantsEndpoint(**await self._now(enabled, urls))

    async def disable(self, id: FromPath[str], urls: WithUrls = False) -> TenantsEndpoint:
        disabled = await self._parts.change(await self._found(id), lambda one: replace(one, is_enabled=False))
        return TenantsEndpoint(**await self._now(disabled, urls))

    async def pause(self, id: FromPath[str], urls: WithUrls = False) -> TenantsEndpoint:
        paused = await self._parts.change(await self._found(id), lambda one: replace(one, is_paused=True))
        return TenantsEndpoint(**await self._now(paused, urls))

    async def resume(self, id: FromPath[str], urls: WithUrls = False) -> TenantsEndpoint:
        resumed = await self._parts.change(await self._found(id), lambda one: replace(one, is_paused=False))
        return TenantsEndpoint(**await self._now(resumed, urls))

    async def _found(self, id: str) -> Endpoint:
        return await existing(ANY_WEBHOOK, id, self._journal.webhooks.find)

    async def _now(self, endpoint: Endpoint, with_url: bool) -> dict[str, Any]:
        standings = await self._journal.webhooks.standings([endpoint.id])
        return _view(endpoint, standings.get(endpoint.id, Standing()), with_url)


def _view(endpoint: Endpoint, standing: Standing, with_url: bool) -> dict[str, Any]:
    """The fields of a TenantsEndpoint."""
    fields = asdict(shown(endpoint, standing))
    return fields | {"tenant_id": endpoint.tenant_id, "url": endpoint.url if with_url else origin(endpoint.url)}


def _summary(one: WebhookAttempt) -> AttemptSummary:
    return AttemptSummary(
        datetime.fromtimestamp(one.at, UTC),
        one.attempt,
        len(one.event_ids),
        one.status or None,
        one.error,
        one.duration_ms,
    )
