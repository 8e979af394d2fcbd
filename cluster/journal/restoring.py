"""The journal's part for a restore: what the backup has unfinished, and what it does not have. Nothing else uses the
journal meanwhile."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from cluster.journal.database import JournalPart
from cluster.journal.day_tables import span
from cluster.journal.ending import finish, tally
from cluster.journal.records import Outcome

START = ("", -1)
"""Before the first delivery."""


class UnfinishedCopy(Struct, frozen=True):
    """A delivery that was unfinished when the backup was made."""

    message_id: str
    recipient_no: int
    recipient: str
    tenant_id: str
    sole_recipient: bool
    is_scheduled: bool
    """Its message may not be sent yet."""


class Restoring(JournalPart):
    """Reads and prepares a restored journal."""

    async def unfinished(self, after: tuple[str, int], limit: int) -> list[UnfinishedCopy]:
        """The next unfinished deliveries after (message id, recipient number), in that order."""
        found = await self._database.rows("unfinished_page", message_id=after[0], recipient_no=after[1], limit=limit)
        return [UnfinishedCopy(*row) for row in found]

    async def count_unfinished(self) -> int:
        return await self._number("count_unfinished")

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """End deliveries whose events ClickHouse has."""
        at = datetime.now(UTC)
        async with self._database.transaction() as connection:
            finished = await finish(connection, outcomes, at)
            await tally(connection, self._database.shard, finished.changes, at)

    async def prolong(self, by: timedelta) -> None:
        """Let unfinished deliveries be tried for that much longer."""
        await self._database.execute("prolong_unfinished", seconds=by.total_seconds())

    async def become_another(self) -> None:
        """The journal that the backup was made of may still be in use."""
        await self._database.execute("become_another")

    async def known(self, messages: Sequence[tuple[str, str]]) -> set[str]:
        """Those of these messages (tenant id, message id) that the journal has."""
        found = await self._database.rows(
            "known_messages",
            tenant_ids=[tenant_id for tenant_id, _ in messages],
            message_ids=[message_id for _, message_id in messages],
            **span(message_id for _, message_id in messages),
        )
        return {message_id for (message_id,) in found}

    async def transaction_epoch(self) -> int:
        """The upper 32 bits of transaction numbers (xid8)."""
        return await self._number("transaction_epoch")

    async def _number(self, name: str) -> int:
        row = await self._database.row(name)
        assert row is not None
        return int(row[0])
