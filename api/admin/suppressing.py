"""/api/admin/tenants/{tenant}/suppressions/{list}: the suppression lists of any tenant, for operators."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from api.admin.changing import delete, post
from api.admin.naming import NameFinder
from api.http import help_texts
from api.http.body import ApiRequest
from api.http.emails import addresses
from api.http.errors import answers
from api.http.examples import IMPORT_ID, TENANT, Example
from api.http.refusals import NotFound
from api.suppressions.exporting import PAGE, exported
from api.suppressions.importing import ImportJob, UploadOperation, import_job, received
from api.suppressions.lists import LISTS, LONGEST_PART, MOST_OF_PAGE, SHAPES, Addition, AdditionBody
from cluster.journal.journal import Journal
from cluster.journal.suppressions import Wanted, new_entries
from cluster.suppression.lists import SuppressionList


class Listed(Struct, frozen=True):
    """An address on a list."""

    email: str
    created_at: datetime
    reason: str
    status: str
    ip: str


class Changed(Struct, frozen=True):
    """How many entries were added or removed."""

    changed: int


class Suppressing:
    """The routes of this module. A tenant is named as in the routes of its keys."""

    def __init__(self, journal: Journal, names: NameFinder) -> None:
        self._journal = journal
        self._names = names

    def handlers(self) -> list[HTTPRouteHandler]:
        path = "/tenants/{tenant:str}/suppressions/{list:str}"
        of_list = {"tenant": TENANT, "list": "bounces"}
        known = answers(400, 401, 404, 503)
        file = ResponseSpec(str, description="The file", media_type="text/csv", generate_examples=False)
        return [
            get(
                path,
                responses=known,
                summary="A suppression list of a tenant, the newest first",
                example=Example(path=of_list, query={"limit": 10}),
            )(self.listing),
            post(
                path,
                status_code=200,
                dto=AdditionBody,
                return_dto=None,
                responses=answers(400, 401, 404, 408, 413, 415, 422, 503),
                summary="Put addresses on a suppression list of a tenant",
                example=Example(path=of_list, body={"emails": ["ada@example.com"]}),
            )(self.add),
            delete(
                path,
                status_code=200,
                responses=known,
                summary="Remove an address from a suppression list of a tenant",
                example=Example(path=of_list, query={"email": "bob@example.com"}),
            )(self.remove),
            get(
                f"{path}/export",
                responses={200: file, **known},
                summary="A suppression list of a tenant as a CSV file",
                example=Example(path=of_list),
            )(self.export),
            post(
                f"{path}/import",
                status_code=202,
                operation_class=UploadOperation,
                responses=answers(400, 401, 404, 408, 409, 413, 415, 503),
                summary="Put the addresses of a CSV file on a suppression list of a tenant, in the background",
                example=Example(path=of_list),
            )(self.upload),
            get(
                f"{path}/import/{{id:str}}",
                responses=known,
                summary="How far an import is, and which lines were faulty",
                example=Example(path={**of_list, "id": IMPORT_ID}),
            )(self.progress),
        ]

    async def listing(
        self,
        tenant: FromPath[str],
        list: FromPath[str],
        email: Annotated[str, QueryParameter(max_length=LONGEST_PART)] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_OF_PAGE)] = MOST_OF_PAGE,
    ) -> "Sequence[Listed]":
        found = await self._journal.suppressions.page(
            await self._names.tenant_of_path(tenant), _list(list), Wanted(part=email, limit=limit)
        )
        return [Listed(one.email, one.created_at, one.reason, one.status, one.ip) for one in found]

    async def add(self, tenant: FromPath[str], list: FromPath[str], data: JSONBody[Addition]) -> Changed:
        tenant_id, named = await self._names.tenant_of_path(tenant), _list(list)
        entries = new_entries(tenant_id, named, addresses(data.emails, "emails"), datetime.now(UTC))
        return Changed(await self._journal.suppressions.add(entries))

    async def remove(
        self,
        tenant: FromPath[str],
        list: FromPath[str],
        email: Annotated[str, QueryParameter(min_length=1, max_length=LONGEST_PART)],
    ) -> Changed:
        tenant_id = await self._names.tenant_of_path(tenant)
        return Changed(await self._journal.suppressions.lift(tenant_id, _list(list), addresses([email], "email")))

    async def export(self, tenant: FromPath[str], list: FromPath[str]) -> Stream:
        tenant_id, named = await self._names.tenant_of_path(tenant), _list(list)
        columns = ("email", *(name for name in SHAPES[named].__struct_fields__ if name != "email"))
        return await exported(self._journal, tenant_id, named, Wanted(limit=PAGE), columns)

    async def upload(self, request: ApiRequest, tenant: FromPath[str], list: FromPath[str]) -> ImportJob:
        return await received(self._journal, request, await self._names.tenant_of_path(tenant), _list(list))

    async def progress(self, tenant: FromPath[str], list: FromPath[str], id: FromPath[str]) -> ImportJob:
        return await import_job(self._journal, await self._names.tenant_of_path(tenant), _list(list), id)


def _list(name: str) -> SuppressionList:
    """Raises NotFound."""
    if name not in LISTS:
        raise NotFound(f"The lists are {', '.join(LISTS)}", help=help_texts.SUPPRESSIONS)
    return SuppressionList(name)
