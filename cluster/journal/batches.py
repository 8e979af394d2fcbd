"""The journal's part for batches: counts of their messages by status, and the cancellation of a batch.

A cancellation works page by page. Each page has its own transaction, which skips locked rows.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

from msgspec import Struct, structs
from psycopg import AsyncConnection

from cluster.ids import new_id
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.ending import CANCELLED, Ended, append_dropped, tally
from cluster.journal.records import BatchCounts, ScheduledStatus
from cluster.policy.lifecycle import FINISHED, Status

LOOKED_AT = 5000
"""Messages of a batch whose deliveries are looked up one by one: some 30 ms."""
SAMPLED = 20_000
"""Deliveries of the queue, about, in which those of a larger batch are looked for."""
PAGE = 2000
"""Messages in one transaction: some 50 ms of work."""


class LeftOfBatch(Struct, frozen=True):
    """Unfinished deliveries of a batch that go the same way and wait for the same."""

    domain: str
    pool: str
    route: str
    lane: str | None
    """The destination that they are parked for."""
    waits_for: Literal["turn", "deferred", "scheduled", "paused"]
    count: int
    last_due_at: datetime
    """Of deferred and scheduled ones: when the last of them is due."""
    message_ids: Sequence[str]
    """Some of their messages: which source sends one depends on its id."""


class BatchLeft(Struct, frozen=True, kw_only=True):
    """What is unfinished of a batch."""

    groups: Sequence[LeftOfBatch]
    seen: int | None = None
    """By how many deliveries a sample of the queue tells it; None: they are all counted."""


class Batches(JournalPart):
    """Creates, counts and cancels batches."""

    async def create(self, tenant_id: str) -> str:
        """Create a batch; returns its id."""
        batch_id = new_id("bat_")
        await self._database.execute("create_batch", id=batch_id, tenant_id=tenant_id)
        return batch_id

    async def latest(self, tenant_id: str, before: str, limit: int) -> list[tuple[str, datetime]]:
        """A tenant's batches with ids below ``before`` ("" is from the newest on), newest first, and when each was
        made."""
        found = await self._database.rows("latest_batches", tenant_id=tenant_id, before=before or "~", limit=limit)
        return [(id, made_at) for id, made_at in found]

    async def tenant_of(self, batch_id: str) -> str | None:
        """The tenant of a batch; None when there is no such batch. For callers that may see every tenant's."""
        row = await self._database.row("tenant_of_batch", batch_id=batch_id)
        return row[0] if row else None

    async def exists(self, tenant_id: str, batch_id: str) -> bool:
        row = await self._database.row("batch_exists", tenant_id=tenant_id, batch_id=batch_id)
        assert row is not None
        return bool(row[0])

    async def counts(self, tenant_id: str, batch_id: str) -> BatchCounts | None:
        """The state of a batch of this tenant, None when there is no such batch; the counts sum to the total."""
        async with self._database.transaction() as connection:
            # One snapshot for all three statements; otherwise the counts would not sum.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            batch = await rows(connection, "batch", tenant_id=tenant_id, batch_id=batch_id)
            if not batch:
                return None
            tallies = await rows(connection, "batch_tallies", batch_id=batch_id)
            held = await rows(connection, "batch_held", batch_id=batch_id)
        created_at, awaits_reports = batch[0]
        return batch_state(batch_id, created_at, tallies, held, awaits_reports=awaits_reports)

    async def left(self, tenant_id: str, batch_id: str, messages: int) -> BatchLeft:
        """What is unfinished of a batch of so many messages. Of a large one in a long queue this is found by a sample
        of the queue, and scaled up; it takes some 100 ms at most."""
        if messages <= LOOKED_AT:
            found = await self._database.rows("batch_left", tenant_id=tenant_id, batch_id=batch_id, most=LOOKED_AT)
            return BatchLeft(groups=[LeftOfBatch(*row) for row in found])
        (queued,) = await self._database.row("backlog") or (0,)
        percent = min(100.0, 100.0 * SAMPLED / max(1, queued))
        found = await self._database.rows("batch_left_sampled", batch_id=batch_id, percent=percent)
        groups = [LeftOfBatch(*row) for row in found]
        if percent == 100.0:
            return BatchLeft(groups=groups)
        factor = 100.0 / percent
        scaled = [structs.replace(group, count=round(group.count * factor)) for group in groups]
        return BatchLeft(groups=scaled, seen=sum(group.count for group in groups))

    async def cancel(self, tenant_id: str, batch_id: str) -> int | None:
        """Cancel every message of a batch none of whose recipients was claimed. No message that is in the batch now can
        be retried afterwards. Returns how many were cancelled, None when there is no such batch."""
        async with self._database.transaction() as connection:
            # Waits for retries that are under way, so that the deliveries they queue are found.
            await execute(connection, "own_batch", batch_id=batch_id)
            if not await execute(connection, "mark_cancelled", tenant_id=tenant_id, batch_id=batch_id):
                return None
        return await self.cancel_all(tenant_id, batch_id)

    async def cancel_all(self, tenant_id: str, batch_id: str) -> int:
        """Cancel every message of a batch none of whose recipients was claimed; returns how many."""
        cancelled, after = 0, ""
        while True:
            async with self._database.transaction() as connection:
                page = await rows(connection, "messages_of_batch", batch_id=batch_id, after=after, limit=PAGE)
                done, locked = await self._cancel_idle(connection, page)
            cancelled += done
            for row in locked:
                # Another transaction had it locked: a claim, or a scheduler's page. Wait for this one message.
                async with self._database.transaction() as connection:
                    await rows(connection, "lock_states", tenant_id=tenant_id, message_id=row[0])
                    done, _ = await self._cancel_idle(connection, [row])
                cancelled += done
            if len(page) < PAGE:
                return cancelled
            after = page[-1][0]

    async def _cancel_idle(self, connection: AsyncConnection[Row], page: list[Row]) -> tuple[int, list[Row]]:
        """Cancel the messages of ``page`` (message id, categories) that can be cancelled. Returns how many, and the
        rows of unclaimed messages that another transaction has locked."""
        message_ids = [message_id for message_id, _ in page]
        idle = await rows(connection, "lock_idle", message_ids=message_ids)
        mine: dict[str, int] = {}
        for message_id, *_ in idle:
            mine[message_id] = mine.get(message_id, 0) + 1
        left = await rows(connection, "left_of", message_ids=message_ids)
        whole = {message_id for message_id, count, _ in left if mine.get(message_id) == count}
        unclaimed = {message_id for message_id, _, claimed in left if not claimed} - whole
        if whole:
            at = datetime.now(UTC)
            await execute(connection, "cancel_messages", message_ids=sorted(whole), at=at)
            categories: dict[str, list[str]] = dict(page)
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, categories[message_id])
                for message_id, _, recipient, tenant_id, batch_id in idle
                if message_id in whole
            ]
            await append_dropped(connection, ended, CANCELLED, at)
            await tally(connection, self._database.shard, [(idle[0][4], Status.CANCELLED, len(whole))], at)
        return len(whole), [row for row in page if row[0] in unclaimed]


def batch_state(
    batch_id: str, created_at: datetime, tallies: list[Row], held: list[Row], *, awaits_reports: bool
) -> BatchCounts:
    """A batch's counts from its tallies (status or None for accepted, messages, last change) and from the messages
    that actors hold now (status, messages). Accepted messages that are in neither are queued."""
    counts = dict.fromkeys(Status, 0)
    total, last_at = 0, created_at
    for status, messages, at in tallies:
        if status is None:
            total = messages
        else:
            counts[Status(status)] = messages
            last_at = max(last_at, at)
    unfinished = total - sum(counts[status] for status in FINISHED)
    left = unfinished
    for status, messages in held:
        # A message with several recipients may be held for one and queued for another: never count past the total.
        counts[Status(status)] = min(messages, left)
        left -= counts[Status(status)]
    counts[Status.QUEUED] = left
    return BatchCounts(
        id=batch_id,
        created_at=created_at,
        total=total,
        by_status=counts,
        completed_at=last_at if total and not unfinished and not awaits_reports else None,
    )


async def scheduled_of(
    connection: AsyncConnection[Row], batch_ids: Collection[str | None]
) -> dict[str, ScheduledStatus]:
    """The scheduled status of each batch that has one. It cannot change until the transaction ends."""
    known = sorted(batch_id for batch_id in batch_ids if batch_id is not None)
    if not known:
        return {}
    await execute(connection, "share_batches", batch_ids=known)
    return dict(await rows(connection, "scheduled_of", batch_ids=known))


async def hold(connection: AsyncConnection[Row], deliveries: Sequence[Sequence[Any]]) -> int:
    """Hold deliveries (message id, recipient number, …) of a paused batch; returns how many."""
    return await execute(
        connection,
        "hold",
        message_ids=[message_id for message_id, *_ in deliveries],
        recipient_nos=[recipient_no for _, recipient_no, *_ in deliveries],
    )


async def commanded(
    connection: AsyncConnection[Row], batch_id: str | None, accepted_at: datetime
) -> ScheduledStatus | None:
    """The command that applies to a message of a batch, None for none. It cannot change until the transaction ends."""
    if batch_id is None:
        return None
    await execute(connection, "share_batches", batch_ids=[batch_id])
    ((commanded,),) = await rows(connection, "commanded_of_batch", batch_id=batch_id, accepted_at=accepted_at)
    return cast(ScheduledStatus | None, commanded)
