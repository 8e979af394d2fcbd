"""API keys of any tenant, for operators: also the first key of a tenant."""

from collections.abc import Callable
from datetime import UTC, datetime

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody
from msgspec import structs

from api.admin.changing import delete, post
from api.admin.naming import NameFinder
from api.http import help_texts
from api.http.errors import answers
from api.http.examples import API_KEY_ID, TENANT, Example
from api.http.existing import KEY, existing, missing
from api.http.refusals import Conflict
from api.keys.requests import NewKeyBody, NewKeyRequest, checked_key
from api.keys.views import MadeTenantsKey, TenantsKey, TenantsKeys, made_tenants_key, tenants_key
from cluster.access.scopes import SCOPES
from cluster.journal.api_keys import MOST_KEYS, TooManyKeys
from cluster.journal.journal import Journal
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.granting import add_key


class TenantsKeyCalls:
    """The routes of this module. A tenant is named by its id or its name, or an unambiguous beginning of either."""

    def __init__(
        self,
        journal: Journal,
        directory: TenantDirectory,
        names: NameFinder,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._names = names
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        of_tenant = "/tenants/{tenant:str}/keys"
        create = post(
            of_tenant,
            status_code=201,
            dto=NewKeyBody,
            return_dto=None,
            responses=answers(400, 401, 404, 408, 409, 413, 415, 422, 503),
            summary="Make an API key for a tenant; the answer alone shows its secret",
            example=Example(path={"tenant": TENANT}, body={"name": "first"}),
        )
        listing = get(
            of_tenant,
            responses=answers(400, 401, 404, 503),
            summary="The API keys of a tenant",
            example=Example(path={"tenant": TENANT}),
        )
        one = Example(path={"id": API_KEY_ID})
        known = answers(400, 401, 404, 503)
        show = get("/keys/{id:str}", responses=known, summary="An API key of any tenant", example=one)
        revoke = delete(
            "/keys/{id:str}",
            status_code=200,
            responses=known,
            summary="Revoke an API key of any tenant",
            example=one,
        )
        return [create(self.create), listing(self.listing), show(self.show), revoke(self.revoke)]

    async def create(self, tenant: FromPath[str], data: JSONBody[NewKeyRequest]) -> MadeTenantsKey:
        tenant_id = await self._names.tenant_of_path(tenant)
        asked = checked_key(data, SCOPES, self._clock())
        try:
            new = await add_key(self._journal, tenant_id, **structs.asdict(asked))
        except TooManyKeys:
            raise Conflict(f"A tenant has at most {MOST_KEYS} keys", help=help_texts.REVOKE_KEY) from None
        return made_tenants_key(new.record, new.secret)

    async def listing(self, tenant: FromPath[str]) -> TenantsKeys:
        keys = await self._journal.api_keys.of_tenant(await self._names.tenant_of_path(tenant))
        return TenantsKeys([tenants_key(key) for key in keys])

    async def show(self, id: FromPath[str]) -> TenantsKey:
        return tenants_key(await existing(KEY, id, self._journal.api_keys.find))

    async def revoke(self, id: FromPath[str]) -> TenantsKey:
        key = await existing(KEY, id, self._journal.api_keys.find)
        if not await self._journal.api_keys.revoke(key):
            raise missing(KEY)
        self._directory.changed_here(key.tenant_id)
        return tenants_key(key)
