"""The journal's part for pausing, cancelling and resuming whole batches.

A pause is one row that every claim checks: after its commit no delivery of the batch is claimed. Then the unclaimed
deliveries are held page by page (``paused_due_at``), so that they take no part in paging, windows and rate limits. A
resume releases them and then deletes the row. A cancellation cancels every message that can be cancelled, and its row
stays for messages that are accepted later.

``settle`` works through these pages. It may be repeated and may run in several processes at once: a command that one
process did not finish is finished by another. ``accept`` and these commands are serialised by a lock on the batch
(share_batches).
"""

import asyncio
from typing import Literal

from cluster.journal.batches import PAGE, Batches, hold
from cluster.journal.database import Database, JournalPart, execute, rows
from cluster.journal.records import ScheduledSend, ScheduledStatus

MOST_LISTED = 1000
MOST_UNSETTLED = 100
LOCKED_S = 0.05
"""How long a resume waits before it retries held rows that another transaction has locked."""


class ScheduledSends(JournalPart):
    """Pauses, cancels and resumes batches; a batch has at most one entry."""

    def __init__(self, database: Database, batches: Batches) -> None:
        super().__init__(database)
        self._batches = batches

    async def schedule(self, tenant_id: str, batch_id: str, status: ScheduledStatus) -> bool:
        """Pause or cancel an existing batch of this tenant; on return this is done. False when the batch has a
        different entry."""
        async with self._database.transaction() as connection:
            await execute(connection, "own_batch", batch_id=batch_id)
            if not await execute(connection, "schedule", tenant_id=tenant_id, batch_id=batch_id, status=status):
                return False
        await self.settle(tenant_id, batch_id)
        return True

    async def reschedule(self, tenant_id: str, batch_id: str, status: Literal["pause", "cancel", "resume"]) -> bool:
        """Change the entry of a batch or (resume) end it; False when there is none."""
        async with self._database.transaction() as connection:
            await execute(connection, "own_batch", batch_id=batch_id)
            if not await execute(connection, "reschedule", tenant_id=tenant_id, batch_id=batch_id, status=status):
                return False
        await self.settle(tenant_id, batch_id)
        return True

    async def entries(self, tenant_id: str, batch_id: str | None = None) -> list[ScheduledSend]:
        """The entries of one batch or of all, newest batch first; at most ``MOST_LISTED``."""
        found = await self._database.rows("scheduled_sends", tenant_id=tenant_id, batch_id=batch_id, limit=MOST_LISTED)
        return [ScheduledSend(*row) for row in found]

    async def unsettled(self, age_s: float) -> list[tuple[str, str]]:
        """(tenant id, batch id) of commands that were given more than ``age_s`` ago and are not finished."""
        found = await self._database.rows("unsettled", age_s=age_s, limit=MOST_UNSETTLED)
        return [(tenant_id, batch_id) for tenant_id, batch_id in found]

    async def settle(self, tenant_id: str, batch_id: str) -> None:
        """Apply the batch's entry to its deliveries."""
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
        """Hold the deliveries that are not claimed; on return no claim that began before the pause is under way."""
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
                released = await execute(connection, "release_paused", batch_id=batch_id, limit=PAGE)
            if not released:
                if not await self._database.rows("anything_held", batch_id=batch_id):
                    return
                await asyncio.sleep(LOCKED_S)
