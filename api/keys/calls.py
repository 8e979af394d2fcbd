"""/v3/api_keys: a tenant's keys, in SendGrid v3's shape.

A key gives at most its own scopes. The last key of a tenant that may manage keys can neither be revoked nor lose that
scope here, so that a tenant does not lock itself out; operators may do both.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from litestar import delete, get, patch, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import structs

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import API_KEY_ID, Example
from api.http.existing import KEY, existing, missing
from api.http.refusals import Faults, Forbidden, Invalid
from api.http.routes import RouteGroup, resource
from api.keys.requests import (
    NewKeyBody,
    NewKeyRequest,
    RenameBody,
    RenameRequest,
    ReplaceBody,
    ReplaceRequest,
    check_name,
    check_scopes,
    checked_key,
)
from api.keys.views import KeyList, KeyView, MadeKey, ShownKey, listed, made, shown, view
from cluster.access.scopes import KEY_ADMIN
from cluster.journal.api_keys import MOST_KEYS, KeyRecord, LastAdminKey, TooManyKeys
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.granting import add_key

TOO_MANY = f"A tenant has at most {MOST_KEYS} keys"
LAST = f"It is the tenant's last key with {KEY_ADMIN}: make another one first"


class KeyCalls:
    """The routes of this module."""

    def __init__(
        self, journal: Journal, directory: TenantDirectory, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._clock = clock

    def routes(self) -> RouteGroup:
        one = "/{id:str}"
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        create = post(
            status_code=201,
            dto=NewKeyBody,
            return_dto=None,
            responses=answers(*with_body),
            summary="Make an API key; the answer alone shows its secret",
            example=Example(body={"name": "newsletter", "scopes": ["mail.send", "mail.schedule"]}),
        )
        listing = get(responses=answers(400, 401, 403, 503), summary="The API keys that are not revoked")
        path = {"id": API_KEY_ID}
        of_one = Example(path=path)
        show = get(one, responses=answers(400, 401, 403, 404, 503), summary="An API key", example=of_one)
        rename = patch(
            one,
            dto=RenameBody,
            return_dto=None,
            responses=answers(404, *with_body),
            summary="Rename an API key",
            example=Example(path=path, body={"name": "newsletter, old"}),
        )
        replace = put(
            one,
            dto=ReplaceBody,
            return_dto=None,
            responses=answers(404, *with_body),
            summary="Set the name and the scopes of an API key",
            example=Example(path=path, body={"name": "newsletter", "scopes": ["mail.send"]}),
        )
        revoke = delete(
            one,
            status_code=204,
            responses=answers(400, 401, 403, 404, 503),
            summary="Revoke an API key",
            example=of_one,
        )
        return resource(
            "/v3/api_keys",
            create(self.create),
            listing(self.listing),
            show(self.show),
            rename(self.rename),
            replace(self.replace),
            revoke(self.revoke),
            tag="keys",
        )

    async def create(self, request: ApiRequest, data: JSONBody[NewKeyRequest]) -> MadeKey:
        own = request.auth
        asked = checked_key(data, own.scopes, self._clock(), sandbox_only=own.sandbox)
        try:
            new = await add_key(self._journal, own.tenant_id, **structs.asdict(asked))
        except TooManyKeys:
            raise Forbidden(TOO_MANY, help=help_texts.REVOKE_ONE) from None
        return made(new.record, new.secret)

    async def listing(
        self, request: ApiRequest, limit: Annotated[int, QueryParameter(ge=1, le=MOST_KEYS)] = MOST_KEYS
    ) -> KeyList:
        own = request.auth
        return listed(await self._journal.api_keys.of_tenant(own.tenant_id, sandbox_only=own.sandbox, limit=limit))

    async def show(self, request: ApiRequest, id: FromPath[str]) -> ShownKey:
        return shown(await self._found(request.auth, id))

    async def rename(self, request: ApiRequest, id: FromPath[str], data: JSONBody[RenameRequest]) -> KeyView:
        faults = Faults()
        name = check_name(data.name, faults)
        if faults:
            raise Invalid(faults)
        return await self._change(request.auth, id, name, None)

    async def replace(self, request: ApiRequest, id: FromPath[str], data: JSONBody[ReplaceRequest]) -> KeyView:
        faults = Faults()
        name = check_name(data.name, faults)
        scopes = None if data.scopes is None else check_scopes(data.scopes, request.auth.scopes, faults)
        if faults:
            raise Invalid(faults)
        return await self._change(request.auth, id, name, scopes)

    async def revoke(self, request: ApiRequest, id: FromPath[str]) -> None:
        key = await self._found(request.auth, id)
        try:
            revoked = await self._journal.api_keys.revoke(key, keep_admin=True)
        except LastAdminKey:
            raise Forbidden(LAST, help=help_texts.ANOTHER_ADMIN) from None
        if not revoked:
            raise missing(KEY)
        self._directory.changed_here(key.tenant_id)

    async def _change(self, own: ApiKey, id: str, name: str, scopes: frozenset[str] | None) -> KeyView:
        key = await self._found(own, id)
        try:
            changed = await self._journal.api_keys.change(key, name=name, scopes=scopes, keep_admin=True)
        except LastAdminKey:
            raise Forbidden(LAST, "scopes", help_texts.ANOTHER_ADMIN) from None
        if changed is None:
            raise missing(KEY)
        self._directory.changed_here(key.tenant_id)
        return view(changed)

    async def _found(self, own: ApiKey, id: str) -> KeyRecord:
        """A key that the caller may see and change. Raises NotFound."""
        key = await existing(KEY, id, self._journal.api_keys.find)
        if key.tenant_id != own.tenant_id or (own.sandbox and not key.sandbox):
            raise missing(KEY)
        return key
