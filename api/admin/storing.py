"""GET /api/admin/storage: what takes how much of the disk, when it goes, and what the disk will be."""

import asyncio
from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from analytics.client import ClickHouseUnavailable
from analytics.storage import StoredPartition
from api.http.errors import answers
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Journal, TookTooLong
from cluster.journal.storage import StoredTable
from cluster.peers import Call, PeerGone
from cluster.policy.storage import Outlook
from cluster.settings import RetentionSettings

ANSWER_S = 45.0
MOST_TENANTS = 100
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


class StorageCalls:
    """The route of this module."""

    def __init__(self, journal: Journal, call: Call, retention: RetentionSettings) -> None:
        self._journal = journal
        self._call = call
        self._retention = retention

    def handlers(self) -> list[HTTPRouteHandler]:
        show = get(
            "/storage",
            responses=answers(401, 503),
            summary="What takes how much of the disk, when it goes, and what the disk will be",
        )
        return [show(self.show)]

    async def show(self) -> StorageView:
        outlook: Outlook = await self._ask("scheduler", "storage")
        clickhouse: list[StoredPartition] = []
        clickhouse_problem = tenants_problem = ""
        try:
            clickhouse = await self._ask("recorder", "stored")
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

    async def _ask(self, actor: str, method: str) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._call(actor, method)
        except (PeerGone, TimeoutError) as error:
            raise Overloaded(f"The {actor} does not answer now; try again later") from error
