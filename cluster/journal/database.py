"""The connection to Postgres: a pool, the statements by name, and the two errors of a statement.

Callers see ``Unavailable`` (the same call may succeed later) and ``Rejected`` (Postgres will never accept this data).
``DayMissing`` is for the intake alone, which makes the day. Any other error is a defect and is not converted.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from cluster.journal.arrays import ADAPTERS
from cluster.journal.fence import Fence, Fenced
from cluster.journal.silences import Silences
from cluster.journal.statements import QUERIES
from cluster.metrics import Counter, Gauge, Histogram

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
T = TypeVar("T")

PLANNING = {"plan_cache_mode": "force_generic_plan"} | dict.fromkeys(
    ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off"
)
"""Every statement is planned once and looks up each of its rows in an index. With default settings, a batch that is
planned while the queue is small reads the whole queue, and keeps this plan while the queue grows, until autovacuum
runs. Small claims, which are usual under low load, would be planned again each time."""

LOST_PEERS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # In milliseconds: while an answer is not acknowledged, no keepalives are sent.
    "tcp_user_timeout": "11000",
}
"""Postgres ends the session of a machine without power after 11 s, instead of 15 minutes or two hours. With it go
its locks and its transaction, which would hold up starts, the event log and vacuum."""

IN_UTC = {"TimeZone": "'UTC'"}
"""All times that Postgres returns are in UTC, whatever its own zone. psycopg reads them in a third of the time that
another zone takes."""

UNUSED_S = 60.0
"""A connection that a pool did not need for so long is closed: each is a process of Postgres, of 3 to 5 MB."""
LONGEST_SEARCH_S = 20.0
"""The timeout of a statement that searches a tenant's messages."""


class Unavailable(Exception):
    """Postgres cannot be reached, or cannot commit now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TookTooLong(Unavailable):
    """A search ran into its timeout and was cancelled to protect other work."""


class Rejected(Exception):
    """Postgres does not accept this data; a retry would fail too."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DayMissing(Exception):
    """A row is of a day that has no partition yet (cluster/journal/partitions.py)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Database:
    """A pool of connections in autocommit, and single statements by name over it."""

    waiting = Gauge(
        "postray_journal_calls_waiting",
        "Calls that wait for a connection to Postgres.",
        lambda database: database._pool.get_stats().get("requests_waiting", 0),
    )
    seconds = Histogram(
        "postray_journal_call_seconds",
        "Time of a call of Postgres, a statement or a transaction, with the wait for a connection.",
        (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
    )
    failures = Counter("postray_journal_failures_total", "Calls of Postgres that failed since it was away or too slow.")

    def __init__(
        self,
        dsn: str,
        *,
        application: str,
        connections: int = 4,
        max_wait_s: float = 5.0,
        fence: Fence | None = None,
        silences: Silences | None = None,
    ) -> None:
        """``application`` is this process's unique name in the cluster: it names the connections and is the shard of
        the tallies. ``max_wait_s`` is how long a call waits for a free connection before it raises Unavailable.
        ``fence`` is that of a process there is one of in a cluster. ``silences`` are told when Postgres does not
        answer.
        """
        self.shard = application
        self._fence = fence
        self._silences = silences if silences is not None else Silences()
        self._max_wait_s = max_wait_s
        self._pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=max_wait_s,
            open=False,
            reconnect_timeout=max_wait_s,
            max_idle=UNUSED_S,
            configure=self._configure,
            kwargs={"autocommit": True, "application_name": application, "connect_timeout": 5, "context": ADAPTERS},
        )

    async def open(self) -> None:
        """Connect. Raises Unavailable."""
        async with failures_named():
            await self._pool.open(wait=True, timeout=self._max_wait_s)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Row]]:
        began = perf_counter()
        try:
            async with failures_named(), self._pool.connection() as connection:
                yield connection
        except Unavailable as error:
            self.failures += 1
            if not isinstance(error, TookTooLong):
                self._silences.failed(perf_counter() - began, time.time())
            raise
        finally:
            self.seconds.observe(perf_counter() - began)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[Row]]:
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def searching(self) -> AsyncIterator[AsyncConnection[Row]]:
        """A transaction for statements that read many rows: they are planned for their parameters with the default
        settings. Raises TookTooLong when one takes longer than ``LONGEST_SEARCH_S``."""
        async with self.transaction() as connection:
            statements = "; ".join(f"SET LOCAL {name} TO DEFAULT" for name in PLANNING)
            statements += f"; SET LOCAL statement_timeout TO '{LONGEST_SEARCH_S:g}s'"
            await connection.execute(statements.encode(), prepare=False)  # several at once cannot be prepared
            try:
                yield connection
            except errors.QueryCanceled as error:
                raise TookTooLong(str(error)) from error

    async def confirm(self) -> None:
        """Raises Unavailable when this process is fenced, or when it cannot be known."""
        async with self.connection() as connection:
            if self._fence is not None:
                await self._fence.check(connection)

    async def _configure(self, connection: AsyncConnection[Row]) -> None:
        settings = PLANNING | LOST_PEERS | IN_UTC
        await connection.execute("; ".join(f"SET {name} TO {value}" for name, value in settings.items()).encode())
        if self._fence is not None:
            await self._fence.admit(connection)

    async def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        return await self._answered(rows, name, parameters)

    async def row(self, name: str, /, **parameters: Any) -> Row | None:
        found = await self.rows(name, **parameters)
        return found[0] if found else None

    async def execute(self, name: str, /, **parameters: Any) -> int:
        """Run a named statement; returns the number of rows it changed."""
        return await self._answered(execute, name, parameters)

    async def _answered(self, run: Callable[..., Awaitable[T]], name: str, parameters: Mapping[str, Any]) -> T:
        """The result of a single statement, which takes long only where Postgres does not answer."""
        began = perf_counter()
        async with self.connection() as connection:
            found = await run(connection, name, **parameters)
        self._silences.answered(perf_counter() - began, time.time())
        return found


class JournalPart:
    """A part of the journal, over the database that all parts share."""

    def __init__(self, database: Database) -> None:
        self._database = database


async def rows(connection: AsyncConnection[Row], name: str, /, **parameters: Any) -> list[Row]:
    """The rows of a named statement, on a connection that the caller holds."""
    return await fetch(connection, QUERIES[name], parameters)


async def fetch(connection: AsyncConnection[Row], query: str, parameters: Mapping[str, Any]) -> list[Row]:
    cursor = await connection.execute(query.encode(), parameters, binary=True)
    return await cursor.fetchall()


async def execute(connection: AsyncConnection[Row], name: str, /, **parameters: Any) -> int:
    """Run a named statement on a connection that the caller holds; returns the number of rows it changed."""
    cursor = await connection.execute(QUERIES[name].encode(), parameters)
    return cursor.rowcount


@asynccontextmanager
async def failures_named() -> AsyncIterator[None]:
    """Convert the errors of Postgres to those of the journal."""
    try:
        yield
    except errors.CheckViolation as error:
        # No constraint has this name: the row is within no partition.
        if error.diag.constraint_name is None:
            raise DayMissing(str(error)) from error
        raise Rejected(str(error)) from error
    except (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded) as error:
        raise Rejected(str(error)) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(str(error)) from error
    except (PoolTimeout, PoolClosed, TooManyRequests, OSError, Fenced) as error:
        raise Unavailable(str(error)) from error


async def wait_until_reachable(dsn: str, timeout_s: float) -> None:
    """Return as soon as Postgres answers; raises Unavailable when it does not within ``timeout_s``."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            async with failures_named(), await AsyncConnection.connect(dsn, connect_timeout=5):
                return
        except Unavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
