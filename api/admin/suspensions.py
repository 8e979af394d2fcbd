"""/api/admin/suspensions: suspends a site, a tenant, or a tenant at a site.

A suspension is a row that every delivery actor follows. It survives restarts and ends at its time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from api.admin.changing import delete, post
from api.admin.naming import NameFinder
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name, check_text
from cluster.journal.journal import Journal
from cluster.journal.suspensions import Suspension
from cluster.routing.deliverers import Deliverers

LONGEST_SUSPENSION_S = 366 * 86_400.0
LONGEST_REASON = 1000


class SuspensionList(Struct, frozen=True):
    """Suspensions; an empty site is every site, an empty tenant every tenant."""

    suspensions: list[Suspension]


class Resumed(Struct, frozen=True, kw_only=True):
    """What a resume has ended."""

    suspensions: list[Suspension]
    still: list[Suspension]
    """Wider suspensions that still apply to what was resumed."""


class NewSuspension(Struct, frozen=True, kw_only=True):
    """What to suspend: a site, a tenant, or one at the other."""

    site: str | None = None
    """Its name, or an unambiguous prefix of it."""
    domain: str | None = None
    """Instead of the site: a domain whose mail goes there."""
    all: bool = False
    """Instead of the site: every site."""
    tenant_id: str | None = None
    """Its id or its name, or an unambiguous prefix."""
    for_s: float = 3600.0
    """Seconds; at most a year."""
    reason: str = ""


class SuspensionBody(TypedBody[NewSuspension]):
    decoder = msgspec.json.Decoder(NewSuspension)


class SuspensionCalls:
    """The routes of this module."""

    def __init__(
        self,
        journal: Journal,
        deliverers: Deliverers,
        names: NameFinder,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._deliverers = deliverers
        self._names = names
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        listing = get("/suspensions", responses=answers(401, 503), summary="What is suspended now")
        suspend = post(
            "/suspensions",
            status_code=201,
            dto=SuspensionBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Suspend a site, a tenant, or one at the other",
            example=Example(body={"domain": "example.com", "for_s": 1800, "reason": "The site asked for a pause"}),
        )
        resume = delete(
            "/suspensions",
            status_code=200,
            responses=answers(400, 401, 503),
            summary="End all suspensions of a site or a tenant",
            example=Example(query={"domain": "example.com"}),
        )
        return [listing(self.listing), suspend(self.suspend), resume(self.resume)]

    async def listing(self) -> SuspensionList:
        return SuspensionList(await self._journal.suspensions.active())

    async def suspend(self, data: JSONBody[NewSuspension]) -> Suspension:
        faults: list[Fault] = []
        _check_place(data.site, data.domain, data.all, data.tenant_id, faults)
        check_text(data.reason, "reason", faults, longest=LONGEST_REASON)
        if not 0 < data.for_s <= LONGEST_SUSPENSION_S:
            faults.append(Fault("A suspension lasts from more than nothing to a year", "for_s"))
        if faults:
            raise Invalid(faults)
        site = await self._names.place(data.site, data.domain) or ""
        tenant_id = await self._names.tenant(data.tenant_id) if data.tenant_id is not None else ""
        now = self._clock()
        made = Suspension(
            site=site,
            tenant_id=tenant_id,
            until=now + timedelta(seconds=data.for_s),
            reason=data.reason,
            made_by="operator",
            created_at=now,
        )
        await self._journal.suspensions.suspend(made.site, made.tenant_id, made.until, made.reason, "operator")
        await self._deliverers.follow()
        return made

    async def resume(
        self,
        site: Annotated[
            str | None, QueryParameter(description="A site's name, or an unambiguous beginning of it")
        ] = None,
        domain: Annotated[str | None, QueryParameter(description="One whose mail goes to the site")] = None,
        all: Annotated[bool, QueryParameter(description="Every suspension")] = False,
        tenant_id: Annotated[str | None, QueryParameter(description="A tenant's id or name, or a beginning")] = None,
    ) -> Resumed:
        faults: list[Fault] = []
        _check_place(site, domain, all, tenant_id, faults)
        if faults:
            raise Invalid(faults)
        place = await self._names.place(site, domain)
        tenant = await self._names.tenant(tenant_id) if tenant_id is not None else None
        ended = await self._journal.suspensions.resume(place, tenant, "operator")
        await self._deliverers.follow()
        return Resumed(
            suspensions=ended,
            still=[
                suspension
                for suspension in await self._journal.suspensions.active()
                if suspension.site in ("", place) and (tenant is None or suspension.tenant_id in ("", tenant))
            ],
        )


def _check_place(site: str | None, domain: str | None, all: bool, tenant_id: str | None, faults: list[Fault]) -> None:
    check_name(site, "site", faults)
    check_name(domain, "domain", faults)
    check_name(tenant_id, "tenant_id", faults, longest=100)
    if not all and site is None and domain is None and tenant_id is None:
        faults.append(Fault("Name a site or a domain, a tenant, or both; or all", "site"))
    if (site is not None, domain is not None, all).count(True) > 1:
        faults.append(Fault("Only one of site, domain and all", "site"))
