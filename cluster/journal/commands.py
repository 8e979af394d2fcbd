"""The journal's part for what clients command of messages: retry, fail, and cancel by the batch.

A command about one message locks the message, then its deliveries: the fold of a message with several recipients and
other commands wait for it, and a delivery that ends meanwhile is seen as it ended. Batches go by pages, each with a
transaction of its own that waits for nobody.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from psycopg import AsyncConnection

from cluster.journal.database import Database, Row, execute, rows
from cluster.journal.intake import hold, tally
from cluster.journal.records import Change, Ended, Recipient, ScheduledStatus, Tell
from cluster.policy.lifecycle import UNFINISHED, Status, fold

PAGE = 2000
"""Messages in one transaction: some 50 ms of work."""

HAS_IT = (Status.DELIVERED, Status.SENT)


class Commands(Database):
    """Retry, fail, cancel."""

    async def retry(
        self, tenant_id: str, message_id: str, recipients: Sequence[Recipient], lifetime_s: float
    ) -> Change | None:
        """Queue a message that is stuck, failed or bounced, once more; None when there is no such message.

        ``recipients`` are all of the message's, in order: of a finished message the journal has them only in its
        encoded part. It undoes no other command: a send time still to come is kept, what belongs to a paused batch is
        put aside with it. Not done in a cancelled batch, while an SMTP transaction may be under way, nor in any other
        status. What its request was set aside for is forgotten: it is tried as if it were new.
        """
        async with self._transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            message = await rows(connection, "lock_message", **key)
            if not message:
                return None
            batch_id, _, accepted_at = message[0]
            commanded = await _commanded(connection, batch_id, accepted_at)
            if states := await rows(connection, "lock_states", **key):
                status = fold(Status(state) for _, _, state, _ in states)
                if (under_way := any(busy for *_, busy in states)) or status is Status.QUEUED:
                    return Change(done=False, status=status, under_way=under_way)
                if commanded == "cancel":
                    return Change(done=False, status=status, batch_cancelled=True)
                queued = await rows(connection, "requeue", lifetime_s=lifetime_s, **key)
            else:
                at = datetime.now(UTC)
                former = [] if commanded == "cancel" else await rows(connection, "take_outcome", **key)
                if not former:
                    ((state,),) = await rows(connection, "status_of", **key)
                    return _not_retried(Status(state), commanded)
                queued = await _deliver_anew(connection, key, recipients, former[0][1], lifetime_s)
                if batch_id is not None:
                    await tally(connection, self.shard, [(batch_id, former[0][0], -1)], at)
            await execute(connection, "clear_strikes", **key)
            if commanded == "pause":
                await hold(connection, queued)
        return Change(done=True, status=Status.QUEUED)

    async def fail(self, tenant_id: str, message_id: str, reason: str, tell: Tell) -> Change | None:
        """Give an unfinished message up, in whatever status; None when there is no such message.

        An SMTP transaction that is under way goes on: its outcome finds no delivery any more and changes nothing.
        """
        async with self._transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            message = await rows(connection, "lock_message", **key)
            if not message:
                return None
            states = await rows(connection, "lock_states", **key)
            if not states:
                ((state,),) = await rows(connection, "status_of", **key)
                return Change(done=False, status=Status(state))
            at = datetime.now(UTC)
            await execute(connection, "fail_message", at=at, error_message=reason, **key)
            batch_id, categories, _ = message[0]
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, tuple(categories))
                for _, recipient, state, _ in states
                if Status(state) in UNFINISHED
            ]
            await execute(connection, "append_log", batches=[tell(ended)])
            if batch_id is not None:
                await tally(connection, self.shard, [(batch_id, "failed", 1)], at)
        return Change(done=True, status=Status.FAILED)

    async def cancel_batch(self, tenant_id: str, batch_id: str, tell: Tell) -> int | None:
        """Cancel every message of a batch none of whose recipients was claimed, for good: none of what is in the batch
        now is retried after this. How many, or None: no such batch."""
        async with self._transaction() as connection:
            # A retry that is under way ends first, so that what it has queued is found.
            await execute(connection, "own_batch", batch_id=batch_id)
            if not await execute(connection, "mark_cancelled", tenant_id=tenant_id, batch_id=batch_id):
                return None
        return await self._cancel_all(tenant_id, batch_id, tell)

    async def _cancel_all(self, tenant_id: str, batch_id: str, tell: Tell) -> int:
        cancelled, after = 0, ""
        while True:
            async with self._transaction() as connection:
                page = await rows(connection, "messages_of_batch", batch_id=batch_id, after=after, limit=PAGE)
                done, locked = await self._cancel_idle(connection, page, tell)
            cancelled += done
            for row in locked:
                # Somebody was at work on it: a claim, or a scheduler that only looked. Wait for that one row.
                async with self._transaction() as connection:
                    await rows(connection, "lock_states", tenant_id=tenant_id, message_id=row[0])
                    done, _ = await self._cancel_idle(connection, [row], tell)
                cancelled += done
            if len(page) < PAGE:
                return cancelled
            after = page[-1][0]

    async def _cancel_idle(
        self, connection: AsyncConnection[Row], page: list[Row], tell: Tell
    ) -> tuple[int, list[Row]]:
        """Cancel what can be of (message id, categories); how many, and those that somebody else has locked."""
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
                Ended(tenant_id, message_id, recipient, batch_id, tuple(categories[message_id]))
                for message_id, _, recipient, tenant_id, batch_id in idle
                if message_id in whole
            ]
            await execute(connection, "append_log", batches=[tell(ended)])
            await tally(connection, self.shard, [(idle[0][4], "cancelled", len(whole))], at)
        return len(whole), [row for row in page if row[0] in unclaimed]


async def _commanded(
    connection: AsyncConnection[Row], batch_id: str | None, accepted_at: datetime
) -> ScheduledStatus | None:
    """What holds for a message of a batch, and goes on to hold until the transaction ends."""
    if batch_id is None:
        return None
    await execute(connection, "share_batches", batch_ids=[batch_id])
    ((commanded,),) = await rows(connection, "commanded_of_batch", batch_id=batch_id, accepted_at=accepted_at)
    return cast(ScheduledStatus | None, commanded)


def _not_retried(status: Status, commanded: ScheduledStatus | None) -> Change:
    """Why a finished message is not retried."""
    if commanded == "cancel" and status in (Status.FAILED, Status.BOUNCED):
        return Change(done=False, status=status, batch_cancelled=True)
    # What has failed and may not be retried was in the middle of a transaction when it was failed.
    return Change(done=False, status=status, under_way=status is Status.FAILED)


async def _deliver_anew(
    connection: AsyncConnection[Row],
    key: dict[str, str],
    recipients: Sequence[Recipient],
    ends: Sequence[str] | None,
    lifetime_s: float,
) -> list[Row]:
    """New deliveries for a finished message; of ``ends`` (how each ended, where it matters) who has it keeps it."""
    statuses = [Status(end) if Status(end) in HAS_IT else Status.QUEUED for end in ends or ()]
    statuses = statuses or [Status.QUEUED] * len(recipients)
    made = await rows(
        connection,
        "deliver_anew",
        recipients=[recipient.email for recipient in recipients],
        domains=[recipient.domain for recipient in recipients],
        statuses=[status.value for status in statuses],
        lifetime_s=lifetime_s,
        alone=len(recipients) == 1,
        **key,
    )
    return [row for row in made if statuses[row[1]] is Status.QUEUED]
