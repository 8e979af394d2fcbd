"""The journal's part for intake: committing accepted requests. A 202 follows the return of ``accept``."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from cluster.journal.database import Database, Row, copy, execute, rows
from cluster.journal.records import Ended, NewRequest, ScheduledStatus, Tell

REQUEST_COLUMNS = {
    "id": "text",
    "tenant_id": "text",
    "created_at": "timestamptz",
    "template_id": "text",
    "categories": "text[]",
    "content": "bytea",
    "pool": "text",
}
MESSAGE_COLUMNS = {
    "tenant_id": "text",
    "id": "text",
    "request_id": "text",
    "batch_id": "text",
    "created_at": "timestamptz",
    "send_at": "timestamptz",
    "from_email": "text",
    "to_emails": "text[]",
    "subject": "text",
    "personal": "bytea",
}
DELIVERY_COLUMNS = {
    "message_id": "text",
    "recipient_no": "int4",
    "tenant_id": "text",
    "batch_id": "text",
    "domain": "text",
    "recipient": "text",
    "due_at": "timestamptz",
    "expires_at": "timestamptz",
    "alone": "bool",
    "pool": "text",
}


class Acceptance(Database):
    """Many requests, one commit."""

    async def accept(self, requests: Sequence[NewRequest], tell: Tell = lambda _: b"") -> None:
        """Commit these requests together: on return they are on disk.

        What belongs to a paused batch is put aside with it; what belongs to a cancelled one is cancelled at once, and
        ``tell`` says so to the log.

        Raises Rejected when one of the requests holds data that Postgres will not take (none is committed),
        Unavailable when it cannot commit.
        """
        async with self._transaction() as connection:
            scheduled = await _scheduled(connection, {request.batch_id for request in requests})
            refused = {batch_id for batch_id, status in scheduled.items() if status == "cancel"}
            paused = [r for r in requests if r.batch_id in scheduled and r.batch_id not in refused]
            for request in requests:
                for sha256, content in request.attachments.items():
                    await execute(connection, "keep_attachment", sha256=sha256, content=content)
            await copy(connection, "requests", REQUEST_COLUMNS, [_request_line(r) for r in requests])
            await copy(connection, "messages", MESSAGE_COLUMNS, [line for r in requests for line in _message_lines(r)])
            deliveries = [
                line for r in requests if r.batch_id not in refused for line in _delivery_lines(r, self._offer_grace)
            ]
            if deliveries:
                await copy(connection, "deliveries", DELIVERY_COLUMNS, deliveries)
            if paused:
                await hold(connection, [line for r in paused for line in _delivery_lines(r, self._offer_grace)])
            for request in requests:
                await _finish_sandboxed(connection, request)
            if batches := [r.events for r in requests if r.events]:
                await execute(connection, "append_log", batches=batches)
            changes = _accepted(requests)
            for request in [r for r in requests if r.batch_id in refused]:
                changes += await _finish_cancelled(connection, request, tell)
            await tally(connection, self.shard, changes)

    async def backlog(self) -> int:
        """Deliveries in the queue: in constant time, and behind by some seconds at most."""
        row = await self._row("backlog")
        assert row is not None
        return int(row[0])

    async def count_backlog(self) -> None:
        """Have the backlog estimated anew, from a sample of bounded size; Postgres forgets it when it crashes."""
        await self._execute("count_backlog")


async def tally(
    connection: AsyncConnection[Row],
    shard: str,
    changes: Iterable[tuple[str, str | None, int]],
    at: datetime | None = None,
) -> None:
    """Add (batch id, status or None for accepted, messages) to the tallies of batches."""
    summed: Counter[tuple[str, str | None]] = Counter()
    for batch_id, status, messages in changes:
        summed[batch_id, status] += messages
    if summed:
        await execute(
            connection,
            "tally",
            shard=shard,
            at=at or datetime.now(UTC),
            batch_ids=[batch_id for batch_id, _ in summed],
            statuses=[status for _, status in summed],
            messages=list(summed.values()),
        )


async def _scheduled(connection: AsyncConnection[Row], batch_ids: Collection[str | None]) -> dict[str, ScheduledStatus]:
    """What is scheduled for batches; nobody changes it until the transaction ends."""
    known = sorted(batch_id for batch_id in batch_ids if batch_id is not None)
    if not known:
        return {}
    await execute(connection, "share_batches", batch_ids=known)
    return dict(await rows(connection, "scheduled_of", batch_ids=known))


async def paused_batches(connection: AsyncConnection[Row], batch_ids: Collection[str | None]) -> set[str]:
    """Those of the batches that are paused, and stay so (or not) until the transaction ends."""
    scheduled = await _scheduled(connection, batch_ids)
    return {batch_id for batch_id, status in scheduled.items() if status == "pause"}


async def hold(connection: AsyncConnection[Row], deliveries: Sequence[Sequence[Any]]) -> int:
    """Put deliveries (message id, recipient number, …) of a paused batch aside."""
    return await execute(
        connection,
        "hold",
        message_ids=[message_id for message_id, *_ in deliveries],
        recipient_nos=[recipient_no for _, recipient_no, *_ in deliveries],
    )


async def _finish_cancelled(
    connection: AsyncConnection[Row], request: NewRequest, tell: Tell
) -> list[tuple[str, str | None, int]]:
    """Cancel what was accepted into a cancelled batch; returns the changes to tally."""
    assert request.batch_id is not None
    messages = [message for message in request.messages if not message.sandbox]
    if not messages:
        return []
    await execute(
        connection,
        "cancel_accepted",
        tenant_id=request.tenant_id,
        message_ids=[message.id for message in messages],
        at=request.created_at,
    )
    ended = [
        Ended(request.tenant_id, message.id, recipient.email, request.batch_id, request.categories)
        for message in messages
        for recipient in message.recipients
    ]
    if events := tell(ended):
        await execute(connection, "append_log", batches=[events])
    return [(request.batch_id, "cancelled", len(messages))]


def _accepted(requests: Sequence[NewRequest]) -> list[tuple[str, str | None, int]]:
    changes: list[tuple[str, str | None, int]] = []
    for request in requests:
        if request.batch_id is not None:
            changes.append((request.batch_id, None, len(request.messages)))
            sandboxed = sum(message.sandbox for message in request.messages)
            if sandboxed:
                changes.append((request.batch_id, "sandbox", sandboxed))
    return changes


async def _finish_sandboxed(connection: AsyncConnection[Row], request: NewRequest) -> None:
    sandboxed = [message.id for message in request.messages if message.sandbox]
    if sandboxed:
        await execute(
            connection, "finish_sandboxed", tenant_id=request.tenant_id, message_ids=sandboxed, at=request.created_at
        )


def _request_line(request: NewRequest) -> tuple[Any, ...]:
    return (
        request.id,
        request.tenant_id,
        request.created_at,
        request.template_id,
        list(request.categories),
        request.content,
        request.pool,
    )


def _message_lines(request: NewRequest) -> Iterable[tuple[Any, ...]]:
    for message in request.messages:
        yield (
            request.tenant_id,
            message.id,
            request.id,
            request.batch_id,
            request.created_at,
            message.send_at,
            message.from_email,
            list(message.to_emails),
            message.subject,
            message.personal,
        )


def _delivery_lines(request: NewRequest, grace: timedelta) -> Iterable[tuple[Any, ...]]:
    soon = request.created_at + grace
    for message in request.messages:
        if message.sandbox:
            continue
        alone = len(message.recipients) == 1
        for number, recipient in enumerate(message.recipients):
            yield (
                message.id,
                number,
                request.tenant_id,
                request.batch_id,
                recipient.domain,
                recipient.email,
                message.send_at or soon,
                message.expires_at,
                alone,
                request.pool,
            )
