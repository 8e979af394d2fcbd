"""/api/admin/domains: the sender domains of all tenants."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from api.admin.changing import delete, patch, post
from api.domains import bodies
from api.domains.bodies import DomainChange, DomainChangeBody, DomainRequest
from api.domains.calls import LISTED, MOST_LISTED, missing
from api.domains.views import Domain, domain_view
from api.http import help_texts
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import DOMAIN_ID, Example
from api.http.existing import number_id
from api.http.refusals import Conflict, Fault, Invalid
from api.http.texts import check_name
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.policy.routes.domains import a_labels, spelled_names
from cluster.tenancy.domains.domain import SenderDomain
from cluster.tenancy.domains.managing import DomainManager, Gone

CHANGED = answers(400, 401, 404, 408, 409, 413, 415, 422, 503)
ONE = Example(path={"id": DOMAIN_ID})


class TenantDomainRequest(DomainRequest, frozen=True, kw_only=True):
    """The domain to add, and whose it is."""

    tenant: str = ""
    """The tenant's id or its name."""


class TenantDomainBody(TypedBody[TenantDomainRequest]):
    decoder = msgspec.json.Decoder(TenantDomainRequest)


class DomainAdministration:
    """The routes of this module. A path names a domain by its id or its name."""

    def __init__(self, journal: Journal, manager: DomainManager) -> None:
        self._journal = journal
        self._manager = manager

    def handlers(self) -> list[HTTPRouteHandler]:
        listing = get("/domains", responses=answers(400, 401, 404, 503), summary="Sender domains of all tenants")
        add = post(
            "/domains",
            status_code=201,
            dto=TenantDomainBody,
            return_dto=None,
            responses=CHANGED,
            summary="Add a sender domain for a tenant",
            example=Example(body={"tenant": "acme", "domain": "offers.example.com"}),
        )
        show = get("/domains/{id:str}", responses=answers(400, 401, 404, 409, 503), summary="A domain", example=ONE)
        change = patch(
            "/domains/{id:str}",
            dto=DomainChangeBody,
            return_dto=None,
            responses=CHANGED,
            summary="Change a sender domain of any tenant",
            example=Example(path={"id": DOMAIN_ID}, body={"include_subdomains": True}),
        )
        remove = delete(
            "/domains/{id:str}",
            status_code=204,
            responses=answers(400, 401, 404, 409, 503),
            summary="Remove a sender domain of any tenant; its queued mail fails",
            example=ONE,
        )
        verify = post(
            "/domains/{id:str}/verify",
            status_code=200,
            responses=answers(400, 401, 404, 409, 503),
            summary="Look the records of a sender domain up now, each with what was found",
            example=ONE,
        )
        rotate = post(
            "/domains/{id:str}/rotate",
            status_code=200,
            responses=answers(400, 401, 404, 409, 503),
            summary="Give a sender domain new keys; they sign once their records are published",
            example=ONE,
        )
        return [
            listing(self.listing),
            add(self.add),
            show(self.show),
            change(self.change),
            remove(self.remove),
            verify(self.verify),
            rotate(self.rotate),
        ]

    async def listing(
        self,
        tenant: Annotated[str | None, QueryParameter(description="The id or the name of a tenant")] = None,
        domain: Annotated[str, QueryParameter(description="A part of the name")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED)] = LISTED,
        offset: Annotated[int, QueryParameter(ge=0, le=2**31 - 1)] = 0,
    ) -> list[Domain]:
        tenant_id = None if tenant is None else await self._tenant(tenant)
        found = await self._manager.stored.of_tenant(tenant_id, part=spelled_names(domain), limit=limit, offset=offset)
        return [self._view(one) for one in found]

    async def add(self, data: JSONBody[TenantDomainRequest]) -> Domain:
        return self._view(await bodies.add(self._manager, await self._tenant(data.tenant), data))

    async def show(self, id: FromPath[str]) -> Domain:
        return self._view(await self._found(id))

    async def change(self, id: FromPath[str], data: JSONBody[DomainChange]) -> Domain:
        found = await self._found(id)
        if not await bodies.change(self._manager, found, data):
            raise missing(help_texts.DOMAINS)
        return self._view(await self._found(str(found.id)))

    async def remove(self, id: FromPath[str]) -> None:
        found = await self._found(id)
        if not await self._manager.stored.remove(found.id, None):
            raise missing(help_texts.DOMAINS)

    async def verify(self, id: FromPath[str]) -> Domain:
        found = await self._found(id)
        try:
            return self._view(await self._manager.verify(found))
        except Gone:
            raise missing(help_texts.DOMAINS) from None

    async def rotate(self, id: FromPath[str]) -> Domain:
        found = await self._found(id)
        try:
            return self._view(await self._manager.rotate(found))
        except Gone:
            raise missing(help_texts.DOMAINS) from None

    async def _tenant(self, named: str) -> str:
        """The id of a tenant that is named by its id or its name. Raises Invalid."""
        faults: list[Fault] = []
        check_name(named, "tenant", faults)
        if faults:
            raise Invalid(faults)
        found = named if is_id("tnt_", named) else await self._journal.tenants.named(named)
        if found is None or await self._journal.tenants.find(found) is None:
            raise Invalid([Fault(f"There is no tenant {named[:80]!r}", "tenant", help_texts.TENANTS)])
        return found

    async def _found(self, named: str) -> SenderDomain:
        """The domain that a path names by its id or its name. Raises NotFound, and Conflict when several tenants have
        it, as older versions allowed."""
        if (number := number_id(named)) is not None:
            found = await self._manager.stored.find(number, None)
            if found is None:
                raise missing(help_texts.DOMAINS)
            return found
        name = a_labels(named.strip()) if "\0" not in named else None
        alike = await self._manager.stored.named(name) if name else []
        if not alike:
            raise missing(help_texts.DOMAINS)
        if len(alike) > 1:
            ids = ", ".join(f"{one.id} ({one.tenant_id})" for one in alike)
            raise Conflict(f"Several tenants have {name}: name it by its id, one of {ids}", help=help_texts.DOMAINS)
        return alike[0]

    def _view(self, domain: SenderDomain) -> Domain:
        return domain_view(domain, self._manager.publishing(), self._manager.now())
