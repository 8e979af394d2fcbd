"""The journal's part for the event log: consumers read on from a cursor of their own."""

from psycopg import AsyncConnection

from cluster.events import Event, encode_batch
from cluster.journal.database import JournalPart, Row, execute
from cluster.journal.records import LogRow

MOST_BYTES = 16 * 1024**2


class EventLog(JournalPart):
    """Facts wait here until every consumer has them."""

    async def add_consumer(self, consumer: str) -> None:
        """Give a consumer that has none a cursor, before the oldest row that the log still has."""
        await self._database.execute("add_consumer", consumer=consumer)

    async def after(self, consumer: str, limit: int, most_bytes: int = MOST_BYTES) -> list[LogRow]:
        """The next rows after the consumer's cursor, in order; none that a running transaction could precede.

        At most ``limit``, and no more once they are ``most_bytes``: a page is larger by less than its last row.
        """
        found = await self._database.rows("log_after", consumer=consumer, limit=limit, most_bytes=most_bytes)
        return [LogRow(*row) for row in found]

    async def move_cursor(self, consumer: str, tx: int, id: int) -> None:
        """Everything up to (tx, id) is with the consumer. Never moves back."""
        await self._database.execute("move_cursor", consumer=consumer, tx=tx, id=id)

    async def trim(self) -> int:
        """Delete what all consumers have passed; returns how many rows."""
        return await self._database.execute("trim_log")


async def append(connection: AsyncConnection[Row], events: list[Event]) -> None:
    """Write events with what they are about, in the transaction that does it."""
    await execute(connection, "append_log", batches=[encode_batch(events)])
