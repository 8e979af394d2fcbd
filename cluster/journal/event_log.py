"""The journal's part for the event log. Each consumer has its own cursor."""

from psycopg import AsyncConnection

from cluster.events import Event, encode_batch
from cluster.journal.database import JournalPart, Row, execute
from cluster.journal.records import LogRow

MOST_BYTES = 16 * 1024**2


class EventLog(JournalPart):
    """The rows of the log stay until every consumer has passed them."""

    async def add_consumer(self, consumer: str) -> None:
        """Create a consumer's cursor before the oldest row of the log; does nothing when it exists."""
        await self._database.execute("add_consumer", consumer=consumer)

    async def after(self, consumer: str, limit: int, most_bytes: int = MOST_BYTES) -> list[LogRow]:
        """The next rows after the consumer's cursor, in order. Rows that a running transaction could still precede are
        left for later.

        At most ``limit`` rows. The page ends with the row that brings it to ``most_bytes``, so it exceeds that size by
        less than its last row.
        """
        found = await self._database.rows("log_after", consumer=consumer, limit=limit, most_bytes=most_bytes)
        return [LogRow(*row) for row in found]

    async def move_cursor(self, consumer: str, tx: int, id: int) -> None:
        """Mark everything up to (tx, id) as consumed. The cursor never moves back."""
        await self._database.execute("move_cursor", consumer=consumer, tx=tx, id=id)

    async def position(self, consumer: str) -> tuple[int, int]:
        """Where the consumer's cursor is: (tx, id) of the last row that it has passed; (0, 0) before the first."""
        row = await self._database.row("cursor", consumer=consumer)
        return (row[0], row[1]) if row else (0, 0)

    async def end(self) -> tuple[int, int]:
        """(tx, id) of the last row that is committed; (0, 0) when the log is empty."""
        row = await self._database.row("log_end")
        return (row[0], row[1]) if row else (0, 0)

    async def lags(self) -> dict[str, float]:
        """By consumer, for how many seconds the first row that it has not passed has been there; 0 when there is
        none."""
        return {consumer: max(0.0, lag_s) for consumer, lag_s in await self._database.rows("log_lags")}

    async def size(self) -> int:
        """The rows of the log; of a long one they are some seconds old."""
        row = await self._database.row("log_size")
        assert row is not None
        return int(row[0])

    async def trim(self) -> int:
        """Delete the rows that all consumers have passed; returns how many."""
        return await self._database.execute("trim_log")


async def append(connection: AsyncConnection[Row], events: list[Event]) -> None:
    """Write events in the transaction of the change that they report."""
    await execute(connection, "append_log", batches=[encode_batch(events)])
