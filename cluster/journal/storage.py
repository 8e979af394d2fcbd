"""The journal's part for what takes how much of its disk: tables, the write-ahead log, shares of tenants, and the
hourly samples that a forecast is made of."""

from datetime import date, datetime, timedelta

from msgspec import Struct

from cluster.journal.database import JournalPart, fetch, rows
from cluster.journal.day_tables import MESSAGES
from cluster.policy.storage import Sample

SAMPLED_PAGES = 1000
"""Pages of a table that are read to tell the shares of tenants: 8 MB."""
SIZES = {
    "messages": "pg_column_size(personal) + pg_column_size(to_emails) + 250",
    "requests": "pg_column_size(content) + 150",
    "attachments": "octet_length(content)",
}
"""Of a row, in SQL: none reads what is stored out of line."""


class StoredTable(Struct, frozen=True, kw_only=True):
    """What a table takes, with its partitions. ``rows`` is an estimate."""

    name: str
    bytes: int
    """Of rows, with what is stored out of line."""
    index_bytes: int
    rows: int


class Storage(JournalPart):
    """Measures."""

    async def tables(self) -> list[StoredTable]:
        """What each table takes, the largest first."""
        return [
            StoredTable(name=name, bytes=bytes, index_bytes=index_bytes, rows=count)
            for name, bytes, index_bytes, count in await self._database.rows("relations")
        ]

    async def bytes(self) -> int:
        """Of the whole database, without the write-ahead log."""
        row = await self._database.row("journal_bytes")
        assert row is not None
        return int(row[0])

    async def wal_bytes(self) -> int | None:
        """Of the write-ahead log; None where the user of the journal may not know."""
        row = await self._database.row("may_see_wal")
        if row is None or not row[0]:
            return None
        row = await self._database.row("wal_bytes")
        return int(row[0]) if row is not None and row[0] is not None else 0

    async def shares(self) -> dict[str, int]:
        """Bytes of messages, requests and attachments by tenant: an estimate from a sample of pages of each. Raises
        TookTooLong."""
        totals: dict[str, int] = {}
        async with self._database.searching() as connection:
            for table, size in SIZES.items():
                [(pages,)] = await rows(connection, "pages", table=table)
                percent = min(100.0, 100.0 * SAMPLED_PAGES / max(pages, 1))
                found = await fetch(
                    connection,
                    f"SELECT tenant_id, sum({size})::bigint FROM {table} TABLESAMPLE SYSTEM (%(percent)s) GROUP BY 1",
                    {"percent": percent},
                )
                for tenant_id, bytes in found:
                    totals[tenant_id] = totals.get(tenant_id, 0) + round(bytes * 100.0 / percent)
        return totals

    async def unfinished_before(self, day: date, most: int) -> int:
        """How many messages of the days before this one are unfinished; counted to ``most``."""
        row = await self._database.row("unfinished_before", before=MESSAGES.first_value(day), most=most)
        assert row is not None
        return int(row[0])

    async def add_sample(self, sample: Sample) -> None:
        await self._database.execute(
            "add_sample", at=sample.at, stored_bytes=sample.stored_bytes, free_bytes=sample.free_bytes
        )

    async def samples(self, now: datetime, back: timedelta) -> list[Sample]:
        """The samples of the time before ``now``, the oldest first."""
        found = await self._database.rows("samples", since=now - back, now=now)
        return [Sample(at=at, stored_bytes=stored, free_bytes=free) for at, stored, free in found]

    async def last_sample_at(self, now: datetime) -> datetime | None:
        row = await self._database.row("last_sample", now=now)
        return None if row is None else row[0]
