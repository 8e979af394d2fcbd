"""/api/admin/tenants/{tenant}/recipients/erasejob: erases recipients of any tenant, for operators."""

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from api.admin.changing import post
from api.admin.naming import NameFinder
from api.http.errors import answers
from api.http.examples import ERASE_JOB_ID, TENANT, Example
from api.recipients import FIELD, AcceptedJob, Erase, EraseBody, ErasureState, requested, state_of
from cluster.journal.journal import Journal


class Erasing:
    """The routes of this module. A tenant is named as in the routes of its keys."""

    def __init__(self, journal: Journal, names: NameFinder) -> None:
        self._journal = journal
        self._names = names

    def handlers(self) -> list[HTTPRouteHandler]:
        path = "/tenants/{tenant:str}/recipients/erasejob"
        return [
            post(
                path,
                status_code=202,
                dto=EraseBody,
                return_dto=None,
                responses=answers(400, 401, 404, 408, 413, 415, 422, 503),
                summary="Erase what there is about recipients of a tenant, in the background",
                example=Example(path={"tenant": TENANT}, body={FIELD: ["ada@example.com"]}),
            )(self.erase),
            get(
                f"{path}/{{id:str}}",
                responses=answers(400, 401, 404, 503),
                summary="Whether an erasure of recipients of a tenant is done",
                example=Example(path={"tenant": TENANT, "id": ERASE_JOB_ID}),
            )(self.show),
        ]

    async def erase(self, tenant: FromPath[str], data: JSONBody[Erase]) -> AcceptedJob:
        return await requested(self._journal, await self._names.tenant_of_path(tenant), data)

    async def show(self, tenant: FromPath[str], id: FromPath[str]) -> ErasureState:
        return await state_of(self._journal, await self._names.tenant_of_path(tenant), id)
