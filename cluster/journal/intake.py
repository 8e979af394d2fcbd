"""The journal's part for intake: committing accepted requests. A 202 follows the return of ``accept``."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from cluster.events import MOST_TOGETHER, ProcessedTogether, encode_together
from cluster.ids import new_ids
from cluster.journal.batches import hold, scheduled_of
from cluster.journal.database import Database, DayMissing, JournalPart, Row, execute
from cluster.journal.day_tables import day_of
from cluster.journal.ending import CANCELLED, Ended, TallyChange, append_dropped, tally
from cluster.journal.idempotency_keys import claim
from cluster.journal.partitions import make_days
from cluster.journal.records import NewMessage, NewRequest
from cluster.journal.tenant_load import count_usage
from cluster.policy.lifecycle import Status
from cluster.suppression.address import unusual

log = logging.getLogger(__name__)


class Acceptance(JournalPart):
    """Commits accepted requests, many in one transaction."""

    def __init__(self, database: Database, offer_grace_s: float) -> None:
        """``offer_grace_s`` is how long the scheduler leaves a newly accepted delivery to its direct offer."""
        super().__init__(database)
        self._offer_grace = timedelta(seconds=offer_grace_s)

    async def accept(self, requests: Sequence[NewRequest]) -> Collection[str]:
        """Commit these requests together: on return they are on disk, but for those whose idempotency key is taken.
        Returns the ids of the latter.

        Messages of a paused batch are held, those of a cancelled batch are cancelled at once.

        Raises Rejected when one of the requests has data that Postgres does not accept (none is committed), and
        Unavailable when it cannot commit.
        """
        try:
            return await self._accept(requests)
        except DayMissing as missing:
            made = await make_days(self._database, [day_of(request.id) for request in requests])
            log.warning("partitions were not made ahead made=%s reason=%r", made, missing.reason)
            return await self._accept(requests)

    async def _accept(self, requests: Sequence[NewRequest]) -> Collection[str]:
        if all(map(_stands_alone, requests)):
            await self._database.execute("accept", **_columns(requests, self._offer_grace))
            return ()
        async with self._database.transaction() as connection:
            taken = await claim(connection, requests)
            requests = [request for request in requests if request.id not in taken]
            if not requests:
                return taken
            scheduled = await scheduled_of(connection, {request.batch_id for request in requests})
            refused = {batch_id for batch_id, status in scheduled.items() if status == "cancel"}
            paused = [r for r in requests if r.batch_id in scheduled and r.batch_id not in refused]
            for request in requests:
                for sha256, content in request.attachments.items():
                    await execute(
                        connection,
                        "keep_attachment",
                        day=day_of(request.id),
                        tenant_id=request.tenant_id,
                        sha256=sha256,
                        content=content,
                    )
            await execute(connection, "accept", **_columns(requests, self._offer_grace, refused))
            if paused:
                await hold(
                    connection, [(m.id, n) for r in paused for m in r.messages for n in range(_deliveries_of(m))]
                )
            for request in requests:
                await _finish_sandboxed(connection, request)
            changes = _accepted(requests)
            for request in [r for r in requests if r.batch_id in refused]:
                changes += await _finish_cancelled(connection, request)
            await tally(connection, self._database.shard, changes)
            await count_usage(connection, self._database.shard, requests)
        return taken


async def _finish_cancelled(connection: AsyncConnection[Row], request: NewRequest) -> list[TallyChange]:
    """Cancel the messages of a request that was accepted into a cancelled batch; returns the changes to tally."""
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
    await append_dropped(connection, ended, CANCELLED, datetime.now(UTC))
    return [(request.batch_id, Status.CANCELLED, len(messages))]


def _accepted(requests: Sequence[NewRequest]) -> list[TallyChange]:
    changes: list[TallyChange] = []
    for request in requests:
        if request.batch_id is not None:
            changes.append((request.batch_id, None, len(request.messages)))
            sandboxed = sum(message.sandbox for message in request.messages)
            if sandboxed:
                changes.append((request.batch_id, Status.SANDBOX, sandboxed))
    return changes


async def _finish_sandboxed(connection: AsyncConnection[Row], request: NewRequest) -> None:
    sandboxed = [message.id for message in request.messages if message.sandbox]
    if sandboxed:
        await execute(
            connection, "finish_sandboxed", tenant_id=request.tenant_id, message_ids=sandboxed, at=request.created_at
        )


def _stands_alone(request: NewRequest) -> bool:
    """Whether the statement ``accept`` alone commits the request."""
    return (
        request.batch_id is None
        and not request.attachments
        and request.idempotency is None
        and not request.uses_quota
        and not any(message.sandbox for message in request.messages)
    )


def _columns(requests: Sequence[NewRequest], grace: timedelta, refused: Collection[str] = ()) -> dict[str, Any]:
    """The parameters of the statement ``accept``. Messages of ``refused`` batches are not queued."""
    messages = [message for request in requests for message in request.messages]
    # By delivery: the number of its request, its message, and its recipient.
    queued = [
        (number, message)
        for number, request in enumerate(requests, 1)
        if request.batch_id not in refused
        for message in request.messages
        if not message.sandbox
    ]
    queued_requests = [number for number, message in queued for _ in message.recipients]
    queued_messages = [message for _, message in queued for _ in message.recipients]
    recipients = [recipient for _, message in queued for recipient in message.recipients]
    emails = [recipient.email for recipient in recipients]
    return {
        "ids": [request.id for request in requests],
        "tenant_ids": [request.tenant_id for request in requests],
        "batch_ids": [request.batch_id for request in requests],
        "created_ats": [request.created_at for request in requests],
        "template_ids": [request.template_id for request in requests],
        "key_ids": [request.key_id for request in requests],
        "categories": [_array(request.categories) for request in requests],
        "contents": [request.content for request in requests],
        "requests_told": [request.told for request in requests],
        "pools": [request.pool for request in requests],
        "group_ids": [request.group_id for request in requests],
        "bypasses": [request.bypass for request in requests],
        "events": [row for request in requests for row in processed(request)],
        "message_requests": [number for number, request in enumerate(requests, 1) for _ in request.messages],
        "message_ids": [message.id for message in messages],
        "send_ats": [message.send_at for message in messages],
        "from_emails": [message.from_email for message in messages],
        "to_emails": [_array(message.to_emails) for message in messages],
        "subjects": [message.subject for message in messages],
        "personals": [message.personalization for message in messages],
        # Of the arrays of messages the shorter one is filled up with NULL.
        "messages_told": told if any(told := [message.told for message in messages]) else [],
        "grace": grace,
        "delivery_requests": queued_requests,
        "delivery_messages": [message.id for message in queued_messages],
        "recipient_nos": [number for _, message in queued for number in range(len(message.recipients))],
        "domains": [recipient.domain for recipient in recipients],
        "recipients": emails,
        # Of the arrays of deliveries the shorter one is filled up with NULL.
        "addresses": [] if "".join(emails).isascii() else [unusual(email) for email in emails],
        "due_ats": [message.send_at for message in queued_messages],
        "expires_ats": [message.expires_at for message in queued_messages],
        "sole_recipient": [len(message.recipients) == 1 for message in queued_messages],
    }


def processed(request: NewRequest) -> list[bytes]:
    """The rows of the event log with a "processed" event for every recipient. Each row has the shared values once. A
    sandboxed message is not delivered, so it has no event."""
    messages = [message for message in request.messages if not message.sandbox]
    message_ids = [message.id for message in messages for _ in message.recipients]
    recipients = [recipient.email for message in messages for recipient in message.recipients]
    ids = new_ids("evt_", len(recipients))
    at = request.created_at.timestamp()
    return [
        encode_together(
            ProcessedTogether(
                at=at,
                tenant_id=request.tenant_id,
                batch_id=request.batch_id,
                categories=request.categories,
                ids=ids[start : start + MOST_TOGETHER],
                message_ids=message_ids[start : start + MOST_TOGETHER],
                recipients=recipients[start : start + MOST_TOGETHER],
                reason=request.remark,
            )
        )
        for start in range(0, len(recipients), MOST_TOGETHER)
    ]


def _deliveries_of(message: NewMessage) -> int:
    return 0 if message.sandbox else len(message.recipients)


def _array(texts: Iterable[str]) -> str:
    """An array of texts in Postgres' text format, the only one in which it can be an item of another array."""
    return "{" + ",".join(['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]) + "}"
