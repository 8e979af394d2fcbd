"""/api/admin/queue/ages: how old what waits is, by the domain that it goes to."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from api.admin.naming import NameFinder
from api.admin.searching import after_of, mark_of
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name
from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueMark

PART = 50_000
"""The most deliveries that one call counts: some 50 ms of Postgres."""
AGES_MIN = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
"""As Postfix's qshape has them: each column is twice as old as the one before; the last has all that is older."""


class DomainAges(Struct, frozen=True, kw_only=True):
    """What waits for a domain."""

    domain: str
    total: int
    tried: int
    """Those of them that were tried before."""
    by_age: list[int]
    """Up to each of ``ages_min``, and beyond the last."""


class QueueAgesPart(Struct, frozen=True, kw_only=True):
    """One part of the queue; the parts of all answers are to be summed."""

    ages_min: tuple[int, ...]
    """Minutes since acceptance."""
    domains: list[DomainAges]
    next: str | None
    """``after`` of the next call; null after the last part."""


class QueueAgesCalls:
    """The route of this module."""

    def __init__(
        self, journal: Journal, names: NameFinder, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._journal = journal
        self._names = names
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        route = get(
            "/queue/ages",
            responses=answers(400, 401, 503),
            summary="How old what waits in a part of the queue is, by domain",
            example=Example(query={}),
        )
        return [route(self.show)]

    async def show(
        self,
        tenant: Annotated[str | None, QueryParameter(description="Only of this tenant: its id or its name")] = None,
        after: Annotated[str, QueryParameter(description="next of the answer before")] = "",
    ) -> QueueAgesPart:
        faults: list[Fault] = []
        check_name(tenant, "tenant", faults)
        mark = mark_of(after) if after else QueueMark()
        if mark is None:
            faults.append(Fault("after is what an answer gave as next", "after"))
        if faults or mark is None:
            raise Invalid(faults)
        tenant_id = None if tenant is None else await self._names.tenant(tenant)
        now = self._clock()
        bounds = [now - timedelta(minutes=minutes) for minutes in reversed(AGES_MIN)]
        part = await self._journal.queue_control.ages_of_part(bounds, tenant_id, mark, PART)
        by_age: dict[str, list[int]] = defaultdict(lambda: [0] * (len(AGES_MIN) + 1))
        tried: dict[str, int] = defaultdict(int)
        for one in part.found:
            by_age[one.domain][len(AGES_MIN) - one.age] += one.count
            tried[one.domain] += one.tried
        return QueueAgesPart(
            ages_min=AGES_MIN,
            domains=[
                DomainAges(domain=domain, total=sum(ages), tried=tried[domain], by_age=ages)
                for domain, ages in by_age.items()
            ],
            next=after_of(part.next),
        )
