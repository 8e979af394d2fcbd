"""Statements, locks and transactions of one connection whose caller changes tables while mail flows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, errors

from cluster.journal.database import Row

LOCK_MS = 50
"""How long a transaction waits for a lock on a table: others that come after it wait as long."""

Act = Callable[[AsyncConnection[Row]], Awaitable[None]]


async def run(connection: AsyncConnection[Row], statement: str) -> None:
    """Run a statement that names a table: names cannot be parameters. It is not kept prepared."""
    await connection.execute(statement.encode(), prepare=False)


async def value(connection: AsyncConnection[Row], query: str) -> Any:
    """The first value of the first row; None where there is no row. The query is not kept prepared."""
    cursor = await connection.execute(query.encode(), prepare=False)
    row = await cursor.fetchone()
    return row and row[0]


@asynccontextmanager
async def session_lock(connection: AsyncConnection[Row], number: int) -> AsyncIterator[bool]:
    """Whether the session has this advisory lock within the context; False where another has it. It waits for nothing
    and needs no transaction, whose snapshot would hold up vacuum and migrations."""
    if not await value(connection, f"SELECT pg_try_advisory_lock({number})"):
        yield False
        return
    try:
        yield True
    finally:
        if not connection.closed:
            await run(connection, f"SELECT pg_advisory_unlock({number})")


async def tried(connection: AsyncConnection[Row], act: Act, lock_ms: int = LOCK_MS) -> bool:
    """Run it in a transaction that waits for each of its locks so long at most; returns whether it got them all, and
    was committed."""
    try:
        async with connection.transaction():
            await run(connection, f"SET LOCAL lock_timeout = '{lock_ms}ms'")
            await act(connection)
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        return False
    return True
