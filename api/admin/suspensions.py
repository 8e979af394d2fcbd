"""/api/admin/suspensions: halting a site, a tenant, or one at the other.

A suspension is a row that every delivery actor follows; it is kept through restarts, and ends by itself.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from litestar.types import Guard
from msgspec import Struct

from api.admin.deliverers import Deliverers
from api.body import TypedBody
from api.errors import answers
from api.refusals import Fault, Invalid
from api.texts import check_text
from cluster.journal.operations import Suspension
from cluster.journal.store import Journal
from cluster.policy.domains import spelled_names

LONGEST_SUSPENSION_S = 366 * 86_400.0
LONGEST_REASON = 1000


class SuspensionList(Struct, frozen=True):
    """Suspensions; an empty site is every site, an empty tenant every tenant."""

    suspensions: list[Suspension]


class NewSuspension(Struct, frozen=True, kw_only=True):
    """What to suspend: a site, a tenant, or one at the other."""

    site: str = ""
    tenant_id: str = ""
    for_s: float = 3600.0
    """Seconds; at most a year."""
    reason: str = ""


class SuspensionBody(TypedBody[NewSuspension]):
    decoder = msgspec.json.Decoder(NewSuspension)


class Suspensions:
    """The three calls."""

    def __init__(
        self,
        guard: Guard,
        journal: Journal,
        deliverers: Deliverers,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._guard = guard
        self._journal = journal
        self._deliverers = deliverers
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        guards, tags = [self._guard], ["operating"]
        listing = get(
            "/api/admin/suspensions",
            guards=guards,
            responses=answers(401, 503),
            summary="What is suspended now",
            tags=tags,
        )
        suspend = post(
            "/api/admin/suspensions",
            status_code=201,
            dto=SuspensionBody,
            return_dto=None,
            guards=guards,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Suspend a site, a tenant, or one at the other",
            tags=tags,
        )
        resume = delete(
            "/api/admin/suspensions",
            status_code=200,
            guards=guards,
            responses=answers(400, 401, 503),
            summary="End all suspensions of a site or a tenant",
            tags=tags,
        )
        return [listing(self.listing), suspend(self.suspend), resume(self.resume)]

    async def listing(self) -> SuspensionList:
        return SuspensionList(await self._journal.suspensions())

    async def suspend(self, data: JSONBody[NewSuspension]) -> Suspension:
        faults: list[Fault] = []
        _check_place(data.site, data.tenant_id, faults)
        check_text(data.reason, "reason", faults, longest=LONGEST_REASON)
        if not 0 < data.for_s <= LONGEST_SUSPENSION_S:
            faults.append(Fault("A suspension lasts from more than nothing to a year", "for_s"))
        if faults:
            raise Invalid(faults)
        now = self._clock()
        made = Suspension(
            site=spelled_names(data.site),
            tenant_id=data.tenant_id,
            until=now + timedelta(seconds=data.for_s),
            reason=data.reason,
            made_by="operator",
            created_at=now,
        )
        await self._journal.suspend(made.site, made.tenant_id, made.until, made.reason, "operator")
        await self._deliverers.follow()
        return made

    async def resume(
        self,
        site: Annotated[str | None, QueryParameter(description="A site's name, whole")] = None,
        tenant_id: Annotated[str | None, QueryParameter(description="A tenant's id")] = None,
    ) -> SuspensionList:
        faults: list[Fault] = []
        _check_place(site or "", tenant_id or "", faults)
        if faults:
            raise Invalid(faults)
        ended = await self._journal.resume(spelled_names(site) if site else None, tenant_id or None, "operator")
        await self._deliverers.follow()
        return SuspensionList(ended)


def _check_place(site: str, tenant_id: str, faults: list[Fault]) -> None:
    check_text(site, "site", faults, longest=255)
    check_text(tenant_id, "tenant_id", faults, longest=100)
    if not site and not tenant_id:
        faults.append(Fault("Name a site, a tenant, or both", "site"))
