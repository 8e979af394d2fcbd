"""What a journal has in its tables, and a recorder that has read its log."""

from typing import Any

import psycopg

from cluster.journal.journal import Journal


async def sql(dsn: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement; returns its rows, if it has any."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []


class StoredJournal:
    """A journal and its database."""

    def __init__(self, journal: Journal, dsn: str) -> None:
        self.journal = journal
        self.dsn = dsn

    async def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return await sql(self.dsn, statement, *parameters)

    async def read_log(self) -> None:
        """The recorder reads all events."""
        for row in await self.journal.event_log.after("recorder", 1000, 10**9):
            await self.journal.event_log.move_cursor("recorder", row.tx, row.id)

    async def tables_with(self, text: str) -> set[str]:
        """The tables that have this text in any column, in any case, as text or as octets."""
        tables = await self.sql(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace"
        )
        found = set()
        for (table,) in tables:
            [(count,)] = await self.sql(
                f"SELECT count(*) FROM {table} t WHERE t::text ILIKE %s OR t::text ILIKE %s",
                f"%{text}%",
                f"%{text.encode().hex()}%",
            )
            if count:
                found.add(str(table))
        return found
