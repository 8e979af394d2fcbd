"""/v3/user/webhooks/event: endpoints in the shape of SendGrid's settings, whose posts have SendGrid's dialect."""

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import SENDGRID_WEBHOOK_ID, Example
from api.http.existing import WEBHOOK, existing
from api.http.refusals import Fault, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.webhooks.checking import check_name, check_url
from api.webhooks.parts import TestAnswer, WebhookParts
from api.webhooks.sendgrid_bodies import (
    NO_SETTINGS,
    SWITCHES,
    AllSettings,
    PublicKey,
    SettingsBody,
    SettingsFields,
    SettingsView,
    SignatureBody,
    SignatureSwitch,
    TestBody,
    TestFields,
)
from cluster.ids import new_id
from cluster.webhooks.endpoints import ALL, EVENT_NAMES, Dialect, Endpoint
from cluster.webhooks.oauth import Credentials, opened
from cluster.webhooks.signing import new_key_pair

LONGEST_CREDENTIAL = 1000
ISO = "%Y-%m-%dT%H:%M:%SZ"


class SendGridSettings:
    """The routes of this module."""

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._journal = parts.journal

    def routes(self) -> RouteGroup:
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        of_one = (400, 401, 403, 404, 503)
        example = Example(path={"id": SENDGRID_WEBHOOK_ID})
        fields = {"enabled": True, "url": "https://hooks.example.com/sendgrid", "delivered": True, "bounce": True}
        return resource(
            "/v3/user/webhooks/event",
            post(
                "/settings",
                status_code=201,
                dto=SettingsBody,
                return_dto=None,
                responses=answers(*with_body),
                summary="Have events posted to a URL in SendGrid's dialect",
                example=Example(body=fields),
            )(self.create),
            get(
                "/settings",
                responses=answers(401, 403, 503),
                summary="The oldest endpoint of SendGrid's settings",
                description="For clients from before there could be several; switched off where there is none.",
            )(self.oldest),
            patch(
                "/settings",
                dto=SettingsBody,
                return_dto=None,
                responses=answers(*with_body),
                summary="Change the oldest endpoint of SendGrid's settings; it is made where there is none",
                example=Example(body=fields),
            )(self.change_oldest),
            get("/settings/all", responses=answers(401, 403, 503), summary="The endpoints of SendGrid's settings")(
                self.all
            ),
            get("/settings/{id:str}", responses=answers(*of_one), summary="An endpoint's settings", example=example)(
                self.show
            ),
            patch(
                "/settings/{id:str}",
                dto=SettingsBody,
                return_dto=None,
                responses=answers(*with_body, 404),
                summary="Change the settings of an endpoint that are given",
                example=Example(path=example.path, body={"open": True}),
            )(self.change),
            delete(
                "/settings/{id:str}",
                status_code=204,
                responses=answers(*of_one),
                summary="Remove an endpoint, and what it is owed",
                example=example,
            )(self.remove),
            get(
                "/settings/signed/{id:str}",
                responses=answers(*of_one),
                summary="The public key that verifies an endpoint's posts",
                example=example,
            )(self.public_key),
            patch(
                "/settings/signed/{id:str}",
                dto=SignatureBody,
                return_dto=None,
                responses=answers(*with_body, 404),
                summary="Sign an endpoint's posts, with a new key, or no longer",
                example=Example(path=example.path, body={"enabled": True}),
            )(self.sign),
            post(
                "/test",
                status_code=204,
                dto=TestBody,
                return_dto=None,
                responses=answers(*with_body, 404),
                summary="Post an example of each event to a URL",
                example=Example(body={"url": "https://hooks.example.com/sendgrid"}),
            )(self.test),
            tag="webhooks",
        )

    async def create(self, request: ApiRequest, data: JSONBody[SettingsFields]) -> SettingsView:
        now = self._parts.now()
        blank = Endpoint(
            id=new_id("wh_"),
            tenant_id=request.auth.tenant_id,
            dialect=Dialect.SENDGRID,
            url="",
            events=frozenset(),
            is_batch=True,
            is_enabled=False,
            created_at=now,
            updated_at=now,
        )
        endpoint = self._changed(self._checked(data, is_new=True), blank)
        await self._parts.add(endpoint)
        return self._view(endpoint)

    async def all(self, request: ApiRequest) -> AllSettings:
        return AllSettings(self._parts.settings.most_endpoints, [self._view(one) for one in await self._all(request)])

    async def oldest(self, request: ApiRequest) -> SettingsView:
        found = await self._all(request)
        return self._view(found[0]) if found else NO_SETTINGS

    async def change_oldest(self, request: ApiRequest, data: JSONBody[SettingsFields]) -> SettingsView:
        found = await self._all(request)
        return await self._change(found[0], data) if found else await self.create(request, data)

    async def show(self, request: ApiRequest, id: FromPath[str]) -> SettingsView:
        return self._view(await self._found(request, id))

    async def change(
        self,
        request: ApiRequest,
        id: FromPath[str],
        data: JSONBody[SettingsFields],
    ) -> SettingsView:
        return await self._change(await self._found(request, id), data)

    async def remove(self, request: ApiRequest, id: FromPath[str]) -> None:
        endpoint = await self._found(request, id)
        await self._parts.remove(endpoint)

    async def public_key(self, request: ApiRequest, id: FromPath[str]) -> PublicKey:
        endpoint = await self._found(request, id)
        return PublicKey(endpoint.id, endpoint.public_key)

    async def sign(self, request: ApiRequest, id: FromPath[str], data: JSONBody[SignatureSwitch]) -> PublicKey:
        before = await self._found(request, id)
        if data.enabled and before.sealed_secret is not None:
            return PublicKey(before.id, before.public_key)  # its receiver knows the key
        private, public = new_key_pair()
        sealed = self._parts.vault.seal(private)

        def switched(endpoint: Endpoint) -> Endpoint:
            if not data.enabled:
                return replace(endpoint, sealed_secret=None, public_key="")
            if endpoint.sealed_secret is not None:
                return endpoint
            return replace(endpoint, sealed_secret=sealed, public_key=public)

        after = await self._parts.change(before, switched)
        return PublicKey(after.id, after.public_key)

    async def test(self, request: ApiRequest, data: JSONBody[TestFields]) -> None:
        """Raises Invalid when the endpoint did not take the example."""
        faults = Faults()
        check_url(None if data.url is UNSET else data.url, "url", self._parts.networks, faults)
        if faults:
            raise Invalid(faults)
        assert data.url is not UNSET
        now = self._parts.now()
        endpoint = Endpoint(
            id=new_id("wh_"),
            tenant_id=request.auth.tenant_id,
            dialect=Dialect.SENDGRID,
            url="",
            created_at=now,
            updated_at=now,
        )
        if data.id:
            endpoint = await self._found(request, data.id)
        oauth = SettingsFields(
            oauth_client_id=data.oauth_client_id,
            oauth_client_secret=data.oauth_client_secret,
            oauth_token_url=data.oauth_token_url,
        )
        endpoint = self._changed(self._checked(oauth, is_new=False), endpoint)
        answer = await self._parts.tested(replace(endpoint, url=data.url))
        if answer.status is None or not 200 <= answer.status < 300:
            raise Invalid([Fault(_not_taken(answer), "url", help_texts.WEBHOOKS)])

    async def _all(self, request: ApiRequest) -> list[Endpoint]:
        found = await self._journal.webhooks.of_tenant(request.auth.tenant_id)
        return [one for one in found if one.dialect is Dialect.SENDGRID]

    async def _found(self, request: ApiRequest, id: str) -> Endpoint:
        async def find(id: str) -> Endpoint | None:
            found = await self._journal.webhooks.of(request.auth.tenant_id, id)
            return found if found is not None and found.dialect is Dialect.SENDGRID else None

        return await existing(WEBHOOK, id, find)

    async def _change(self, before: Endpoint, data: SettingsFields) -> SettingsView:
        fields = self._checked(data, is_new=False)
        after = await self._parts.change(before, lambda endpoint: self._changed(fields, endpoint))
        if data.enabled is True or data.url is not UNSET:
            await self._journal.webhooks.revive(after.id)
        return self._view(after)

    def _checked(self, data: SettingsFields, *, is_new: bool) -> SettingsFields:
        """Raises Invalid with all faults."""
        faults = Faults()
        if data.url is not UNSET or is_new:
            check_url(None if data.url is UNSET else data.url, "url", self._parts.networks, faults)
        if data.friendly_name:
            check_name(data.friendly_name, "friendly_name", faults)
        if data.oauth_token_url:
            check_url(data.oauth_token_url, "oauth_token_url", self._parts.networks, faults)
        if bool(data.oauth_client_id) != bool(data.oauth_token_url):
            name = "oauth_token_url" if data.oauth_client_id else "oauth_client_id"
            faults.append(Fault("oauth_client_id and oauth_token_url belong together", name))
        if data.oauth_client_secret and not data.oauth_client_id:
            faults.append(Fault("A secret belongs to an oauth_client_id", "oauth_client_id"))
        for field in ("oauth_client_id", "oauth_client_secret"):
            text = getattr(data, field)
            if text and (len(text) > LONGEST_CREDENTIAL or not text.isprintable()):
                faults.append(Fault(f"At most {LONGEST_CREDENTIAL} printable characters", field))
        if faults:
            raise Invalid(faults)
        return data

    def _changed(self, data: SettingsFields, endpoint: Endpoint) -> Endpoint:
        """The endpoint with the fields that are given."""
        events = set(EVENT_NAMES if ALL in endpoint.events else endpoint.events)
        for switch, names in SWITCHES.items():
            if (wanted := getattr(data, switch)) is not UNSET:
                events = events | set(names) if wanted else events - set(names)
        given = {
            "url": data.url,
            "is_enabled": data.enabled,
            "name": data.friendly_name if data.friendly_name is UNSET else data.friendly_name or "",
            "sealed_oauth": self._sealed_oauth(data, endpoint),
        }
        return replace(
            endpoint,
            events=frozenset(events),
            **{name: value for name, value in given.items() if value is not UNSET},
        )

    def _sealed_oauth(self, data: SettingsFields, endpoint: Endpoint) -> bytes | UnsetType | None:
        """What access tokens are asked for with. A secret that was given before is kept."""
        if data.oauth_client_id is UNSET or data.oauth_token_url is UNSET:
            return UNSET
        if not data.oauth_client_id or not data.oauth_token_url:
            return None
        secret = data.oauth_client_secret
        if not secret:
            secret = opened(endpoint.sealed_oauth, self._parts.vault).client_secret if endpoint.sealed_oauth else ""
        return Credentials(client_id=data.oauth_client_id, client_secret=secret, token_url=data.oauth_token_url).sealed(
            self._parts.vault
        )

    def _view(self, endpoint: Endpoint) -> SettingsView:
        oauth = opened(endpoint.sealed_oauth, self._parts.vault) if endpoint.sealed_oauth else None
        return SettingsView(
            id=endpoint.id,
            enabled=endpoint.is_enabled,
            url=endpoint.url,
            friendly_name=endpoint.name,
            oauth_client_id=oauth.client_id if oauth else None,
            oauth_token_url=oauth.token_url if oauth else None,
            public_key=endpoint.public_key,
            created_date=endpoint.created_at.strftime(ISO),
            updated_date=endpoint.updated_at.strftime(ISO),
            **{switch: endpoint.events.issuperset(names) for switch, names in SWITCHES.items()},
        )


def _not_taken(answer: TestAnswer) -> str:
    return f"The endpoint answered {answer.status}" if answer.status else f"The endpoint did not answer: {answer.error}"
