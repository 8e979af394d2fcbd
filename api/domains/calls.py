"""/v3/whitelabel/domains: a tenant's sender domains, in SendGrid's shapes."""

from typing import Annotated

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from api.domains import bodies
from api.domains.bodies import DomainBody, DomainChange, DomainChangeBody, DomainRequest
from api.domains.views import Domain, Validation, domain_view, validation
from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import DOMAIN_ID, Example
from api.http.existing import number_id
from api.http.refusals import NotFound
from api.http.routes import RouteGroup, resource
from cluster.policy.routes.domains import spelled_names
from cluster.tenancy.domains.domain import SenderDomain
from cluster.tenancy.domains.managing import DomainManager, Gone

MOST_LISTED = 500
LISTED = 50
CHANGED = answers(400, 401, 403, 404, 408, 413, 415, 422, 503)


class DomainCalls:
    """The routes of this module."""

    def __init__(self, manager: DomainManager) -> None:
        self._manager = manager

    def routes(self) -> RouteGroup:
        one = Example(path={"id": DOMAIN_ID})
        listing = get(responses=answers(400, 401, 403, 503), summary="List sender domains")
        add = post(
            status_code=201,
            dto=DomainBody,
            return_dto=None,
            responses=answers(400, 401, 403, 408, 409, 413, 415, 422, 503),
            summary="Add a sender domain; the answer has the records to publish",
            example=Example(body={"domain": "news.example.com", "subdomain": "bounces"}),
        )
        default = get(
            "/default",
            responses=answers(400, 401, 403, 404, 503),
            summary="The default sender domain, else the oldest verified one",
        )
        show = get("/{id:str}", responses=answers(400, 401, 403, 404, 503), summary="A sender domain", example=one)
        change = patch(
            "/{id:str}",
            dto=DomainChangeBody,
            return_dto=None,
            responses=CHANGED,
            summary="Change a sender domain",
            example=Example(path={"id": DOMAIN_ID}, body={"default": True}),
        )
        remove = delete(
            "/{id:str}",
            status_code=204,
            responses=answers(400, 401, 403, 404, 503),
            summary="Remove a sender domain; its queued mail fails",
            example=one,
        )
        validate = post(
            "/{id:str}/validate",
            status_code=200,
            responses=answers(400, 401, 403, 404, 503),
            summary="Look the records of a sender domain up now",
            example=one,
        )
        return resource(
            "/v3/whitelabel/domains",
            listing(self.listing),
            add(self.add),
            default(self.default),
            show(self.show),
            change(self.change),
            remove(self.remove),
            validate(self.validate),
            tag="domains",
        )

    async def listing(
        self,
        request: ApiRequest,
        domain: Annotated[str, QueryParameter(description="A part of the name")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED)] = LISTED,
        offset: Annotated[int, QueryParameter(ge=0, le=2**31 - 1)] = 0,
    ) -> list[Domain]:
        found = await self._manager.stored.of_tenant(
            request.auth.tenant_id, part=spelled_names(domain), limit=limit, offset=offset
        )
        return [self._view(one) for one in found]

    async def add(self, request: ApiRequest, data: JSONBody[DomainRequest]) -> Domain:
        return self._view(await bodies.add(self._manager, request.auth.tenant_id, data))

    async def default(
        self, request: ApiRequest, domain: Annotated[str, QueryParameter(description="Only if it has this name")] = ""
    ) -> Domain:
        found = await self._manager.stored.default(request.auth.tenant_id, spelled_names(domain))
        if found is None:
            raise NotFound("No such domain is the default", help=help_texts.DOMAIN_DEFAULT)
        return self._view(found)

    async def show(self, request: ApiRequest, id: FromPath[str]) -> Domain:
        return self._view(await self._found(request, id))

    async def change(self, request: ApiRequest, id: FromPath[str], data: JSONBody[DomainChange]) -> Domain:
        if not await bodies.change(self._manager, await self._found(request, id), data):
            raise missing()
        return self._view(await self._found(request, id))

    async def remove(self, request: ApiRequest, id: FromPath[str]) -> None:
        found = await self._found(request, id)
        if not await self._manager.stored.remove(found.id, found.tenant_id):
            raise missing()

    async def validate(self, request: ApiRequest, id: FromPath[str]) -> Validation:
        found = await self._found(request, id)
        try:
            looked_at = await self._manager.verify(found)
        except Gone:
            raise missing() from None
        return validation(looked_at, self._manager.publishing(), self._manager.now())

    async def _found(self, request: ApiRequest, id: str) -> SenderDomain:
        number = number_id(id)
        found = await self._manager.stored.find(number, request.auth.tenant_id) if number is not None else None
        if found is None:
            raise missing()
        return found

    def _view(self, domain: SenderDomain) -> Domain:
        return domain_view(domain, self._manager.publishing(), self._manager.now())


def missing(help: str = help_texts.DOMAIN) -> NotFound:
    return NotFound("The domain does not exist", help=help)
