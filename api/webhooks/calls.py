"""/v3/user/webhooks: endpoints in postray's own shape. Those of SendGrid's settings are shown here too."""

from datetime import timedelta

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import WEBHOOK_ID, Example
from api.http.existing import WEBHOOK, existing
from api.http.refusals import Conflict, Fault, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.webhooks.bodies import EndpointBody, EndpointFields, NewSecret, NewSecretBody
from api.webhooks.checking import check_events, check_filter, check_keys, check_name, check_url
from api.webhooks.parts import TestAnswer, WebhookParts
from api.webhooks.views import Endpoints, EndpointView, shown
from cluster.ids import new_id
from cluster.journal.webhooks import Standing
from cluster.message.addresses import is_address
from cluster.webhooks.endpoints import Dialect, Endpoint
from cluster.webhooks.signing import new_secret

LONGEST_FORMER_S = 7 * 86_400
OF_SENDGRID = "An endpoint of SendGrid's settings is changed there: PATCH /v3/user/webhooks/event/settings/{id}"


class WebhookCalls:
    """The routes of this module."""

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._journal = parts.journal

    def routes(self) -> RouteGroup:
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        of_one, one = (400, 401, 403, 404, 503), "/{id:str}"
        example = Example(path={"id": WEBHOOK_ID})
        fields = {"url": "https://hooks.example.com/events", "enabled_events": ["delivered", "bounce"], "batch": True}
        return resource(
            "/v3/user/webhooks",
            post(
                status_code=201,
                dto=EndpointBody,
                return_dto=None,
                responses=answers(*with_body),
                summary="Have events posted to a URL; the answer alone shows the secret that signs them",
                example=Example(body=fields),
            )(self.create),
            get(responses=answers(401, 403, 503), summary="The endpoints that events are posted to")(self.listing),
            get(one, responses=answers(*of_one), summary="An endpoint, and how it answers", example=example)(self.show),
            patch(
                one,
                dto=EndpointBody,
                return_dto=None,
                responses=answers(*with_body, 404, 409),
                summary="Change the fields of an endpoint that are given",
                example=Example(path=example.path, body={"enabled_events": ["*"]}),
            )(self.change),
            delete(
                one,
                status_code=204,
                responses=answers(*of_one),
                summary="Remove an endpoint, and what it is owed",
                example=example,
            )(self.remove),
            post(
                f"{one}/rotate",
                status_code=200,
                dto=NewSecretBody,
                return_dto=None,
                responses=answers(*with_body, 404, 409),
                summary="Make a new secret; for a while, posts are signed with both",
                example=Example(path=example.path, body={"keep_former_s": 3600}),
            )(self.rotate),
            post(
                f"{one}/pause",
                status_code=200,
                responses=answers(*of_one),
                summary="Let events wait, until they are resumed",
                example=example,
            )(self.pause),
            post(
                f"{one}/resume",
                status_code=200,
                responses=answers(*of_one),
                summary="Post what waits",
                example=example,
            )(self.resume),
            post(
                f"{one}/test",
                status_code=200,
                responses=answers(*of_one),
                summary="Post examples now, and show the answer",
                example=example,
            )(self.test),
            tag="webhooks",
        )

    async def create(self, request: ApiRequest, data: JSONBody[EndpointFields]) -> EndpointView:
        if data.url is UNSET:
            raise Invalid([Fault("The URL is required", "url")])
        now, secret = self._parts.now(), new_secret()
        blank = Endpoint(
            id=new_id("wh_"),
            tenant_id=request.auth.tenant_id,
            dialect=Dialect.POSTRAY,
            url="",
            sealed_secret=self._parts.vault.seal(secret.encode()),
            created_at=now,
            updated_at=now,
        )
        endpoint = _changed(await self._checked(request, data, is_new=True), blank)
        await self._parts.add(endpoint)
        return shown(endpoint, Standing(), secret)

    async def listing(self, request: ApiRequest) -> Endpoints:
        found = await self._journal.webhooks.of_tenant(request.auth.tenant_id)
        standings = await self._journal.webhooks.standings([one.id for one in found])
        return Endpoints([shown(one, standings.get(one.id, Standing())) for one in found])

    async def show(self, request: ApiRequest, id: FromPath[str]) -> EndpointView:
        return await self._shown(await self._found(request, id))

    async def change(self, request: ApiRequest, id: FromPath[str], data: JSONBody[EndpointFields]) -> EndpointView:
        before = await self._found(request, id)
        if before.dialect is not Dialect.POSTRAY:
            raise Conflict(OF_SENDGRID, help=help_texts.WEBHOOKS)
        fields = await self._checked(request, data, is_new=False)
        after = await self._parts.change(before, lambda endpoint: _changed(fields, endpoint))
        if data.enabled is True or data.url is not UNSET:
            await self._journal.webhooks.revive(after.id)
        return await self._shown(after)

    async def remove(self, request: ApiRequest, id: FromPath[str]) -> None:
        endpoint = await self._found(request, id)
        await self._parts.remove(endpoint)

    async def rotate(self, request: ApiRequest, id: FromPath[str], data: JSONBody[NewSecret]) -> EndpointView:
        before = await self._found(request, id)
        if before.dialect is not Dialect.POSTRAY:
            raise Conflict(OF_SENDGRID, help=help_texts.WEBHOOKS)
        if not 0 <= data.keep_former_s <= LONGEST_FORMER_S:
            raise Invalid([Fault(f"0 to {LONGEST_FORMER_S} seconds", "keep_former_s")])
        now, secret = self._parts.now(), new_secret()
        sealed = self._parts.vault.seal(secret.encode())

        def rotated(endpoint: Endpoint) -> Endpoint:
            return replace(
                endpoint,
                sealed_secret=sealed,
                sealed_former=endpoint.sealed_secret if data.keep_former_s else None,
                former_until=now + timedelta(seconds=data.keep_former_s) if data.keep_former_s else None,
            )

        return await self._shown(await self._parts.change(before, rotated), secret)

    async def pause(self, request: ApiRequest, id: FromPath[str]) -> EndpointView:
        return await self._paused(request, id, True)

    async def resume(self, request: ApiRequest, id: FromPath[str]) -> EndpointView:
        return await self._paused(request, id, False)

    async def test(self, request: ApiRequest, id: FromPath[str]) -> TestAnswer:
        return await self._parts.tested(await self._found(request, id))

    async def _checked(self, request: ApiRequest, data: EndpointFields, *, is_new: bool) -> EndpointFields:
        """Raises Invalid with all faults."""
        faults = Faults()
        if data.url is not UNSET:
            check_url(data.url, "url", self._parts.networks, faults)
        if data.enabled_events is not UNSET or is_new:
            events = None if data.enabled_events is UNSET else data.enabled_events
            check_events(events, "enabled_events", faults)
        if data.name is not UNSET:
            check_name(data.name, "name", faults)
        if data.categories is not UNSET:
            check_filter(data.categories, "categories", faults)
        if isinstance(data.notify_email, str) and data.notify_email and not is_address(data.notify_email):
            faults.append(Fault("This is not an email address", "notify_email"))
        if data.api_key_ids:
            check_filter(data.api_key_ids, "api_key_ids", faults)
            known = {key.id for key in await self._journal.api_keys.of_tenant(request.auth.tenant_id)}
            check_keys(data.api_key_ids, known, "api_key_ids", faults)
        if faults:
            raise Invalid(faults)
        return data

    async def _found(self, request: ApiRequest, id: str) -> Endpoint:
        return await existing(WEBHOOK, id, lambda id: self._journal.webhooks.of(request.auth.tenant_id, id))

    async def _paused(self, request: ApiRequest, id: str, is_paused: bool) -> EndpointView:
        before = await self._found(request, id)
        return await self._shown(
            await self._parts.change(before, lambda endpoint: replace(endpoint, is_paused=is_paused))
        )

    async def _shown(self, endpoint: Endpoint, secret: str | UnsetType = UNSET) -> EndpointView:
        standings = await self._journal.webhooks.standings([endpoint.id])
        return shown(endpoint, standings.get(endpoint.id, Standing()), secret)


def _changed(data: EndpointFields, endpoint: Endpoint) -> Endpoint:
    """The endpoint with the fields that are given."""
    given = {
        "url": data.url,
        "name": data.name,
        "is_batch": data.batch,
        "is_standard": data.standard,
        "is_enabled": data.enabled,
        "notify_email": data.notify_email,
        "events": UNSET if data.enabled_events is UNSET else frozenset(data.enabled_events),
        "categories": UNSET if data.categories is UNSET else frozenset(data.categories),
        "key_ids": UNSET if data.api_key_ids is UNSET else frozenset(data.api_key_ids),
    }
    return replace(endpoint, **{name: value for name, value in given.items() if value is not UNSET})
