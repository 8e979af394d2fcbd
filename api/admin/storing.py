"""/api/admin/storage: what takes how much of the disk, when it goes, what the disk will be, and deleting earlier.

``postray storage prune`` calls POST until it is done.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from analytics.client import ClickHouseUnavailable
from analytics.storage import StoredPartition
from api.admin.asking import ask
from api.admin.changing import post
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Journal, TookTooLong
from cluster.journal.storage import StoredTable
from cluster.peers import Call
from cluster.policy.retention import Retention
from cluster.policy.storage import Outlook, Pruned, StoredDay, prunable, stored_days
from cluster.settings import RetentionSettings

MOST_TENANTS = 100
MOST_COUNTED = 10_000
RETENTION = RetentionSettings()


class TenantShare(Struct, frozen=True, kw_only=True):
    """What a tenant's messages take in the journal, with their bodies and attachments: an estimate."""

    tenant_id: str
    bytes: int


class StorageView(Struct, frozen=True, kw_only=True):
    """What is stored. All sizes are in bytes."""

    outlook: Outlook
    """The whole, and what it will be at the present rate."""
    retention: RetentionSettings
    journal: list[StoredTable]
    """The tables of Postgres, the largest first."""
    wal_bytes: int | None
    """Of Postgres' write-ahead log; null where that cannot be told."""
    clickhouse: list[StoredPartition]
    """The partitions of the tables of ClickHouse."""
    clickhouse_problem: str
    """Why ``clickhouse`` is empty; else empty."""
    tenants: list[TenantShare]
    """Those with the most, the largest first; estimated from a sample of the rows."""
    tenants_problem: str
    """Why ``tenants`` is empty; else empty."""


class PrunePlan(Struct, frozen=True, kw_only=True):
    """What would go."""

    before: date
    days: list[StoredDay]
    """The partitions that would be rewritten. Of one that ends later, the days before go."""
    bytes: int
    """Of all of them: what stays of them is not known before."""
    unfinished: int
    """Messages of these days that are unfinished, and stay with all that they need; at most ``most_counted`` are
    counted."""
    most_counted: int = MOST_COUNTED


class WantedPrune(Struct, frozen=True, kw_only=True):
    """What to delete: a new name begins it."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$")]
    before: date
    """Bodies and records of all days (UTC) before this one."""


class WantedPruneBody(TypedBody[WantedPrune]):
    decoder = msgspec.json.Decoder(WantedPrune)


class StorageCalls:
    """The routes of this module."""

    def __init__(
        self,
        journal: Journal,
        call: Call,
        retention: RetentionSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._call = call
        self._retention = retention

    def handlers(self) -> list[HTTPRouteHandler]:
        show = get(
            "/storage",
            responses=answers(401, 503),
            summary="What takes how much of the disk, when it goes, and what the disk will be",
        )
        plan = get(
            "/storage/prune",
            responses=answers(400, 401, 503),
            summary="What would go if bodies and records of the days before a day were deleted now",
            example=Example(query={"before": "2026-11-01"}),
        )
        prune = post(
            "/storage/prune",
            status_code=200,
            dto=WantedPruneBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Delete bodies and records of the days before a day now, or say how far it is",
            example=Example(body={"name": "prune-1", "before": "2026-11-01"}),
        )
        return [show(self.show), plan(self.plan), prune(self.prune)]

    async def show(self) -> StorageView:
        outlook: Outlook = await ask(self._call, "scheduler", "storage")
        clickhouse: list[StoredPartition] = []
        clickhouse_problem = tenants_problem = ""
        try:
            clickhouse = await ask(self._call, "recorder", "stored")
        except (ClickHouseUnavailable, Overloaded) as error:
            clickhouse_problem = str(error)
        shares: dict[str, int] = {}
        try:
            shares = await self._journal.storage.shares()
        except TookTooLong:
            tenants_problem = "telling the shares of tenants took too long"
        largest = sorted(shares.items(), key=lambda share: -share[1])[:MOST_TENANTS]
        return StorageView(
            outlook=outlook,
            retention=self._retention,
            journal=await self._journal.storage.tables(),
            wal_bytes=await self._journal.storage.wal_bytes(),
            clickhouse=clickhouse,
            clickhouse_problem=clickhouse_problem,
            tenants=[TenantShare(tenant_id=tenant_id, bytes=bytes) for tenant_id, bytes in largest],
            tenants_problem=tenants_problem,
        )

    async def plan(
        self, before: Annotated[date, QueryParameter(description="The first day (UTC) of which nothing goes")]
    ) -> PrunePlan:
        self._check(before)
        partitions = await self._journal.partitions.all()
        sizes = await self._journal.partitions.sizes()
        names = prunable(partitions, before)
        gone = {table: [one for one in some if one.name in names] for table, some in partitions.items()}
        kept = Retention(bodies_days=self._retention.bodies_days, messages_days=self._retention.messages_days)
        days = stored_days(gone, sizes, kept)
        return PrunePlan(
            before=before,
            days=days,
            bytes=sum(day.bytes for day in days),
            unfinished=await self._journal.storage.unfinished_before(before, MOST_COUNTED),
        )

    async def prune(self, data: JSONBody[WantedPrune]) -> Pruned:
        self._check(data.before)
        pruned: Pruned = await ask(self._call, "scheduler", "prune", data.name, data.before)
        return pruned

    def _check(self, before: date) -> None:
        if before > self._clock().date():
            raise Invalid([Fault("Must not be after today (UTC): mail of today is still being accepted", "before")])
