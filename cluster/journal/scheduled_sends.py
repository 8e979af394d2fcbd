"""The journal's part for pausing, cancelling and resuming whole batches.

A pause is one row, which the claim looks at: from its commit on, nothing of the batch is claimed. Then, page by page,
what waits is put aside (``paused_due_at``), so that it takes no part in paging, windows and rate limits. A resume puts
it back and then forgets the row. A cancellation cancels what can be, and stays for what is accepted later.

``settle`` does these pages; it may be repeated, and run by several at once: what a process began and did not end
is ended by another. ``accept`` and these commands see each other through a lock on the batch (share_batches).
"""

import asyncio
from typing import Literal

from cluster.journal.batches import PAGE, Batches, hold
from cluster.journal.database import Database, JournalPart, execute, rows
from cluster.journal.records import ScheduledSend, ScheduledStatus

MOST_LISTED = 1000
MOST_UNSETTLED = 100
LOCKED_S = 0.05
"""How long to wait for those who have rows locked that are to be let go."""


class ScheduledSends(JournalPart):
    """One entry a batch, at most."""

    def __init__(self, database: Database, batches: Batches) -> None:
        super().__init__(database)
        self._batches = batches

    async def schedule(self, tenant_id: str, batch_id: str, status: ScheduledStatus) -> bool:
        """Pause or cancel an existing batch of this tenant; on return it is. False: it is scheduled otherwise."""
        async with self._database.transaction() as connection:
            await execute(connection, "own_batch", batch_id=batch_id)
            if not await execute(connection, "schedule", tenant_id=tenant_id, batch_id=batch_id, status=status):
                return False
        await self.settle(tenant_id, batch_id)
        return True

    async def reschedule(self, tenant_id: str, batch_id: str, status: Literal["pause", "cancel", "resume"]) -> bool:
        """Change what is scheduled for a batch, or (resume) forget it; False when nothing is."""
        async with self._database.transaction() as connection:
            await execute(connection, "own_batch", batch_id=batch_id)
            if not await execute(connection, "reschedule", tenant_id=tenant_id, batch_id=batch_id, status=status):
                return False
        await self.settle(tenant_id, batch_id)
        return True

    async def entries(self, tenant_id: str, batch_id: str | None = None) -> list[ScheduledSend]:
        """What is scheduled, newest batch first: for one batch, or for all."""
        found = await self._database.rows("scheduled_sends", tenant_id=tenant_id, batch_id=batch_id, limit=MOST_LISTED)
        return [ScheduledSend(*row) for row in found]

    async def unsettled(self, age_s: float) -> list[tuple[str, str]]:
        """(tenant, batch) of what was commanded more than ``age_s`` ago and is not ended."""
        found = await self._database.rows("unsettled", age_s=age_s, limit=MOST_UNSETTLED)
        return [(tenant_id, batch_id) for tenant_id, batch_id in found]

    async def settle(self, tenant_id: str, batch_id: str) -> None:
        """Make the batch's deliveries what its entry says."""
        while entry := await self._database.row("scheduled", batch_id=batch_id):
            status, changed_at = entry
            if status == "cancel":
                await self._batches.cancel_all(tenant_id, batch_id)
            elif status == "pause":
                await self._hold_all(tenant_id, batch_id)
            else:
                await self._let_all_go(batch_id)
                await self._database.execute("forget_schedule", batch_id=batch_id)
                continue
            await self._database.execute("mark_settled", batch_id=batch_id, status=status, changed_at=changed_at)

    async def _hold_all(self, tenant_id: str, batch_id: str) -> None:
        """Put aside what is not claimed; on return no claim that began before the pause is under way."""
        after = ""
        while True:
            async with self._database.transaction() as connection:
                if not await execute(connection, "still_scheduled", batch_id=batch_id, status="pause"):
                    return
                page = await rows(connection, "messages_of_batch", batch_id=batch_id, after=after, limit=PAGE)
                message_ids = [message_id for message_id, _ in page]
                await hold(connection, await rows(connection, "lock_idle", message_ids=message_ids))
                locked = await rows(connection, "not_held", message_ids=message_ids)
            for (message_id,) in locked:
                async with self._database.transaction() as connection:
                    if not await execute(connection, "still_scheduled", batch_id=batch_id, status="pause"):
                        return
                    states = await rows(connection, "lock_states", tenant_id=tenant_id, message_id=message_id)
                    await hold(connection, [(message_id, recipient_no) for recipient_no, *_ in states])
            if len(page) < PAGE:
                return
            after = page[-1][0]

    async def _let_all_go(self, batch_id: str) -> None:
        while True:
            async with self._database.transaction() as connection:
                if not await execute(connection, "still_scheduled", batch_id=batch_id, status="resume"):
                    return
                released = await execute(connection, "let_go", batch_id=batch_id, limit=PAGE)
            if not released:
                if not await self._database.rows("anything_held", batch_id=batch_id):
                    return
                await asyncio.sleep(LOCKED_S)
