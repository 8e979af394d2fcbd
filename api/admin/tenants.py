"""/api/admin/tenants: operators make, list, rename, suspend, resume and delete tenants.

A suspended tenant may not send; what it has queued waits until it is resumed. A deleted tenant is gone for all requests
at once, and its data is erased in the background.
"""

from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Struct, UnsetType

from api.admin.changing import delete, patch, post
from api.http import help_texts
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import TENANT_ID, Example
from api.http.existing import TENANT, existing, missing
from api.http.refusals import Conflict, Fault, Invalid
from api.http.texts import check_name
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.journal.tenants import Deletion, NameTaken, TenantRecord
from cluster.routing.deliverers import Deliverers
from cluster.tenancy.directory import TenantDirectory

LONGEST_NAME = 100
MOST_LISTED = 1000

TAKEN = "Another tenant has this name"


class TenantName(Struct, frozen=True, kw_only=True):
    """The name of a tenant, by which operators find it. No two tenants have the same."""

    name: str


class TenantChange(Struct, frozen=True, kw_only=True):
    """What an operator changes of a tenant; what is left out stays."""

    name: str | UnsetType = UNSET
    pause_over_rates: bool | UnsetType | None = UNSET
    """Whether the tenant is suspended when its bounces or complaints pass their limit; null: as the settings say."""


class TenantList(Struct, frozen=True, kw_only=True):
    """Tenants in the order in which they were made."""

    tenants: list[TenantRecord]
    next: str | None
    """``after`` of the next page; null on the last one."""


class TenantNameBody(TypedBody[TenantName]):
    decoder = msgspec.json.Decoder(TenantName)


class TenantChangeBody(TypedBody[TenantChange]):
    decoder = msgspec.json.Decoder(TenantChange)


class TenantCalls:
    """The routes of this module."""

    def __init__(self, journal: Journal, directory: TenantDirectory, deliverers: Deliverers) -> None:
        self._tenants = journal.tenants
        self._directory = directory
        self._deliverers = deliverers

    def handlers(self) -> list[HTTPRouteHandler]:
        path = {"id": TENANT_ID}
        named = (400, 401, 408, 409, 413, 415, 422, 503)
        create = post(
            "/tenants",
            status_code=201,
            dto=TenantNameBody,
            return_dto=None,
            example=Example(body={"name": "globex"}),
            responses=answers(*named),
            summary="Make a tenant",
        )
        change = patch(
            "/tenants/{id:str}",
            dto=TenantChangeBody,
            return_dto=None,
            example=Example(path=path, body={"name": "acme-europe", "pause_over_rates": True}),
            responses=answers(*named, 404),
            summary="Rename a tenant, or set whether it is paused when its mail bounces too often",
        )
        listing = get(
            "/tenants", example=Example(query={"limit": 50}), responses=answers(400, 401, 503), summary="List tenants"
        )
        one = get(
            "/tenants/{id:str}", example=Example(path=path), responses=answers(401, 404, 503), summary="Show a tenant"
        )
        suspend = post(
            "/tenants/{id:str}/suspend",
            status_code=200,
            example=Example(path=path),
            responses=answers(401, 404, 503),
            summary="Suspend a tenant: it may not send, and its queued mail waits",
        )
        resume = post(
            "/tenants/{id:str}/resume",
            status_code=200,
            example=Example(path=path),
            responses=answers(401, 404, 503),
            summary="End a tenant's suspension: its queued mail goes on",
        )
        remove = delete(
            "/tenants/{id:str}",
            example=Example(path=path),
            responses=answers(401, 404, 409, 503),
            summary="Delete a suspended tenant without unfinished mail, and erase its data",
        )
        return [
            create(self.create),
            listing(self.listing),
            one(self.one),
            change(self.change),
            suspend(self.suspend),
            resume(self.resume),
            remove(self.remove),
        ]

    async def create(self, data: JSONBody[TenantName]) -> TenantRecord:
        name = _checked(data.name)
        try:
            id = await self._tenants.create(name)
        except NameTaken:
            raise Conflict(TAKEN, "name", help_texts.TENANT_NAME) from None
        return await existing(TENANT, id, self._tenants.record)

    async def listing(
        self,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="Tenants on a page")] = 100,
        after: Annotated[str, QueryParameter(description="next of the page before")] = "",
        name: Annotated[str | None, QueryParameter(description="Only the one with this name")] = None,
    ) -> TenantList:
        faults: list[Fault] = []
        check_name(name, "name", faults)
        if after and not is_id(TENANT.prefix, after):
            faults.append(Fault("after is what an answer gave as next", "after"))
        if faults:
            raise Invalid(faults)
        found = await self._tenants.page(after, limit + 1, name)
        return TenantList(tenants=found[:limit], next=found[limit - 1].id if len(found) > limit else None)

    async def one(self, id: FromPath[str]) -> TenantRecord:
        return await existing(TENANT, id, self._tenants.record)

    async def change(self, id: FromPath[str], data: JSONBody[TenantChange]) -> TenantRecord:
        changed = None
        if data.name is not UNSET:
            name = _checked(data.name)
            try:
                changed = await existing(TENANT, id, lambda id: self._tenants.rename(id, name))
            except NameTaken:
                raise Conflict(TAKEN, "name", help_texts.TENANT_NAME) from None
        if data.pause_over_rates is not UNSET:
            pause = data.pause_over_rates
            changed = await existing(TENANT, id, lambda id: self._tenants.set_pausing(id, pause))
        if changed is None:
            raise Invalid([Fault("name or pause_over_rates is missing")])
        self._directory.changed_here(id)
        return changed

    async def suspend(self, id: FromPath[str]) -> TenantRecord:
        suspended = await existing(TENANT, id, self._tenants.suspend)
        await self._follow(id)
        return suspended

    async def resume(self, id: FromPath[str]) -> TenantRecord:
        resumed = await existing(TENANT, id, self._tenants.resume)
        await self._follow(id)
        return resumed

    async def remove(self, id: FromPath[str]) -> None:
        deletion = await self._tenants.delete(id) if is_id(TENANT.prefix, id) else None
        match deletion:
            case None:
                raise missing(TENANT)
            case Deletion.NOT_SUSPENDED:
                raise Conflict("The tenant is not suspended", help=help_texts.SUSPEND_FIRST)
            case Deletion.UNFINISHED:
                raise Conflict("Mail of the tenant is not finished", help=help_texts.FINISH_FIRST)
        self._directory.changed_here(id)

    async def _follow(self, id: str) -> None:
        """Apply a change here and at the delivery actors now; the other processes find it within 5 s."""
        self._directory.changed_here(id)
        await self._deliverers.follow()


def _checked(name: str) -> str:
    """The name without white space around it. Raises Invalid."""
    faults: list[Fault] = []
    name = name.strip()
    check_name(name, "name", faults, longest=LONGEST_NAME)
    if not name.isprintable():
        faults.append(Fault("A name has printable characters only", "name"))
    if name.startswith(TENANT.prefix):
        faults.append(Fault(f"A name does not begin with {TENANT.prefix}: that is an id", "name"))
    if faults:
        raise Invalid(faults)
    return name
