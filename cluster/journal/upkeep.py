"""The journal's part that keeps the files of the hot tables small, while mail flows.

Nothing here takes a lock that intake, claims or outcomes wait for, but for one: vacuum cuts off the end of a file under
an exclusive lock. It takes that lock only when no other transaction uses the table, and releases it when one
waits.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

from cluster.journal.database import Database, JournalPart, Row, execute, rows
from cluster.journal.sessions import session_lock
from cluster.policy.upkeep import HOT, HotTable

LOCK = 0x55504B50
"""The advisory lock of the session that sees to the tables: one at a time."""
LONGEST_VACUUM_S = 600
LONGEST_REBUILD_S = 60
"""A rebuilt index comes into use when every transaction that began before has ended. Vacuum waits meanwhile."""
MOST_REWRITTEN = 250
"""Rows in one transaction, which are locked for some 100 ms."""
MOST_TIMES = 100
"""A page has room for fewer rows of the queue."""
PAGE_BYTES = 8192


class TableUpkeep(JournalPart):
    """One caller at a time works; see ``working``."""

    async def measure(self) -> list[HotTable]:
        """The hot tables as they are."""
        return await self._measured(list(HOT))

    async def measure_one(self, table: str) -> HotTable:
        (found,) = await self._measured([table])
        return found

    async def _measured(self, tables: Sequence[str]) -> list[HotTable]:
        found = await self._database.rows("hot_tables", tables=tables)
        return [
            HotTable(
                name=name,
                rows=live,
                bytes=bytes_,
                index_bytes=index_bytes,
                chunks=chunks,
                chunk_bytes=chunk_bytes,
            )
            for name, live, bytes_, index_bytes, chunks, chunk_bytes in found
        ]

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Working | None"]:
        """The work on the tables; None while another process is at it. Raises Unavailable."""
        async with self._database.connection() as connection, session_lock(connection, LOCK) as is_ours:
            yield Working(connection, self._database) if is_ours else None


class Working:
    """What may be done with a hot table."""

    def __init__(self, connection: AsyncConnection[Row], database: Database) -> None:
        self._connection = connection
        self._database = database

    async def vacuum(self, table: str) -> None:
        """Remove dead rows, and give back the end of the file. Where autovacuum is at it, it gives way. Raises
        Unavailable."""
        # A page with rows that indexes still name is not empty, and with few such pages vacuum leaves them so.
        await self._run(f"VACUUM (INDEX_CLEANUP ON, PARALLEL 0) {table}", LONGEST_VACUUM_S)

    async def rebuild(self, table: str) -> None:
        """Build all indexes of a table anew, and swap them. Raises Unavailable, also when it takes too long: what is
        left then is removed by ``remove_left_overs``."""
        await self._run(f"REINDEX TABLE CONCURRENTLY {table}", LONGEST_REBUILD_S)

    async def remove_left_overs(self) -> int:
        """Drop half-built indexes of a rebuild that was interrupted; returns how many. Raises Unavailable."""
        found = await rows(self._connection, "left_over_indexes", tables=list(HOT))
        for (name,) in found:
            await self._run(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", LONGEST_REBUILD_S)
        return len(found)

    async def leave_pages(self, first: int, behind: int) -> int | None:
        """Move deliveries out of the pages from ``first`` to before ``behind``, and of all later ones, into pages with
        room; returns how many, ``MOST_REWRITTEN`` at most, and None when no earlier page had room. Only those are moved
        that no other process is about to touch. Call it after ``vacuum``, which has the first pages used first. Raises
        Unavailable."""
        place = f"({first},0)"
        async with self._database.transaction() as connection:
            found = await rows(connection, "at_the_end", first=place, behind=f"({behind},0)", limit=MOST_REWRITTEN)
            keys = {"message_ids": [id for id, _ in found], "recipient_nos": [number for _, number in found]}
            for _ in range(MOST_TIMES):
                if not found or not await execute(connection, "rewrite", first=place, **keys):
                    return len(found)
        return None

    async def _run(self, statement: str, longest_s: int) -> None:
        """A statement that no transaction may hold."""
        await self._connection.execute(f"SET statement_timeout TO '{longest_s}s'".encode())
        try:
            await self._connection.execute(statement.encode(), prepare=False)
        finally:
            await self._connection.execute(b"SET statement_timeout TO DEFAULT")


def pages_behind(table: HotTable) -> range:
    """The pages of a table behind those that its rows need."""
    needed = -(-table.needs // PAGE_BYTES)
    return range(needed, table.bytes // PAGE_BYTES)
