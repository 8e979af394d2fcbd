"""The journal's part for clients: messages, batches, and cancelling."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from cluster.ids import new_id
from cluster.journal.database import Database, Row, execute, fetch, rows
from cluster.journal.intake import tally
from cluster.journal.records import (
    BatchCounts,
    Cancellation,
    MessageFilter,
    MessagePage,
    MessageRow,
    without_bodies,
    without_data,
)
from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import FINISHED, UNFINISHED, Status
from cluster.policy.routes.domains import stored_spellings

COUNT_BOUND = 10_000
WHOLE_BYTES = 64 * 1024
"""Of a message in a list, what it and its request hold. Where that is more, only what a list shows is kept of it, one
message after the other: a page of the largest would be two gigabytes."""

ONE_MESSAGE = QUERIES["messages"].replace("{where}", "m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s")

CONDITIONS = {
    "to_email": "EXISTS (SELECT FROM unnest(m.to_emails) AS t (email)"
    ' WHERE lower(t.email COLLATE "C") = ANY (%(to_email)s::text[]))',
    "from_email": 'lower(m.from_email COLLATE "C") = ANY (%(from_email)s::text[])',
    "subject": "strpos(lower(m.subject), lower(%(subject)s)) > 0",
    "batch_id": "m.batch_id = %(batch_id)s",
    "template_id": "r.template_id = %(template_id)s",
    "category": "%(category)s = ANY (r.categories)",
    "start": "m.created_at >= %(start)s",
    "end": "m.created_at < %(end)s",
    "after": "m.id < %(after)s",
}


class Reading(Database):
    """What clients ask of the journal."""

    async def message(self, tenant_id: str, message_id: str) -> MessageRow | None:
        """A message of this tenant."""
        key = {"tenant_id": tenant_id, "message_id": message_id, "limit": 1, "offset": 0, "whole": 2**31 - 1}
        async with self._connection() as connection:
            found = await fetch(connection, ONE_MESSAGE, key)
        return _message(found[0]) if found else None

    async def messages(self, filter: MessageFilter, limit: int, offset: int) -> MessagePage:
        """A page of the tenant's messages, newest first; of long ones without bodies, files and data of templates.

        Raises TookTooLong, Unavailable.
        """
        where, parameters = _where(filter)
        # The one statement put together at run time: from the fixed conditions above, values only as parameters.
        page = QUERIES["messages"].replace("{where}", where)
        count = QUERIES["count_messages"].replace("{where}", where)
        async with self._searching() as connection:
            found = await fetch(
                connection, page, {**parameters, "limit": limit, "offset": offset, "whole": WHOLE_BYTES}
            )
            for index, row in enumerate(found):
                if row[6] is None:
                    texts = await rows(connection, "texts", tenant_id=filter.tenant_id, message_id=row[0])
                    found[index] = (*row[:6], *await asyncio.to_thread(_shortened, *texts[0]), *row[8:])
            ((total,),) = await fetch(connection, count, {**parameters, "bound": COUNT_BOUND + 1})
        return MessagePage(
            messages=[_message(row) for row in found],
            total=min(total, COUNT_BOUND),
            total_is_exact=total <= COUNT_BOUND,
        )

    async def create_batch(self, tenant_id: str) -> str:
        """A new batch's id."""
        batch_id = new_id("bat_")
        await self._execute("create_batch", id=batch_id, tenant_id=tenant_id)
        return batch_id

    async def batch_exists(self, tenant_id: str, batch_id: str) -> bool:
        row = await self._row("batch_exists", tenant_id=tenant_id, batch_id=batch_id)
        assert row is not None
        return bool(row[0])

    async def batch_counts(self, tenant_id: str, batch_id: str) -> BatchCounts | None:
        """How a batch of this tenant stands; the counts sum to the total."""
        async with self._transaction() as connection:
            # One snapshot for all three statements, or the counts would not sum.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            batch = await rows(connection, "batch", tenant_id=tenant_id, batch_id=batch_id)
            if not batch:
                return None
            tallies = await rows(connection, "batch_tallies", batch_id=batch_id)
            held = await rows(connection, "batch_held", batch_id=batch_id)
        return batch_state(batch_id, batch[0][0], tallies, held)

    async def cancel(self, tenant_id: str, message_id: str, events: bytes) -> Cancellation | None:
        """Cancel a message none of whose recipients was claimed or is finished: it will never be sent."""
        async with self._transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            deliveries = await rows(connection, "lock_deliveries", **key)
            held = {Status(status) for _, _, status, _, _ in deliveries}
            if not deliveries or held - {Status.QUEUED, Status.PROCESSING}:
                ((status,),) = await rows(connection, "status_of", **key)
                return Cancellation(cancelled=False, status=Status(status)) if status else None
            at = datetime.now(UTC)
            await execute(connection, "cancel_message", at=at, **key)
            if events:
                await execute(connection, "append_log", batches=[events])
            if (batch_id := deliveries[0][4]) is not None:
                await tally(connection, self.shard, [(batch_id, "cancelled", 1)], at)
        return Cancellation(cancelled=True, status=Status.CANCELLED)


def batch_state(batch_id: str, created_at: datetime, tallies: list[Row], held: list[Row]) -> BatchCounts:
    """A batch's counts from its tallies (status or None for accepted, messages, last change) and from the messages
    that actors hold now (status, messages): what was accepted and is in neither waits in the queue."""
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
        # A message of several recipients may be held by one and wait for another: never count past the total.
        counts[Status(status)] = min(messages, left)
        left -= counts[Status(status)]
    counts[Status.QUEUED] = left
    return BatchCounts(
        id=batch_id,
        created_at=created_at,
        total=total,
        by_status=counts,
        completed_at=last_at if total and not unfinished else None,
    )


def _where(filter: MessageFilter) -> tuple[str, dict[str, Any]]:
    conditions = ["m.tenant_id = %(tenant_id)s"]
    parameters: dict[str, Any] = {"tenant_id": filter.tenant_id}
    for name, condition in CONDITIONS.items():
        value = getattr(filter, name)
        if value is not None:
            conditions.append(condition)
            parameters[name] = stored_spellings(value) if name.endswith("_email") else value
    if filter.status in UNFINISHED:
        conditions.append("o.message_id IS NULL AND q.status = %(status)s::delivery_status")
        parameters["status"] = filter.status.value
    elif filter.status is not None:
        conditions.append("o.status = %(status)s::delivery_status")
        parameters["status"] = filter.status.value
        if filter.status not in (Status.DELIVERED, Status.SENT):
            # The index of these has the others only, and must be told.
            conditions.append("o.status NOT IN ('delivered', 'sent')")
    return " AND ".join(conditions), parameters


def _shortened(content: bytes, personal: bytes) -> tuple[bytes, bytes]:
    return without_bodies(content), without_data(personal)


def _message(row: Row) -> MessageRow:
    return MessageRow(
        id=row[0],
        tenant_id=row[1],
        request_id=row[2],
        batch_id=row[3],
        created_at=row[4],
        send_at=row[5],
        content=row[6],
        personal=row[7],
        status=Status(row[8]),
        retry_count=row[9],
        next_retry_at=row[10],
        finished_at=row[11],
        error_message=row[12],
    )
