"""The journal's part for the commands that clients give for one message: cancel, retry, fail.

A command locks the message, then its deliveries. The fold of a message with several recipients and other commands wait
for these locks, and the command sees the final status of a delivery that ended before it had the locks.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection

from cluster.journal.batches import commanded, hold
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import day_of, span
from cluster.journal.ending import CANCELLED, Ended, append_dropped, tally
from cluster.journal.records import Cancellation, CommandResult, Recipient, ScheduledStatus
from cluster.policy.lifecycle import UNFINISHED, Status, Transition, after, can, fold
from cluster.suppression.address import unusual

HAS_IT = (Status.DELIVERED, Status.SENT)


class Commands(JournalPart):
    """Cancel, retry, fail."""

    async def cancel(self, tenant_id: str, message_id: str) -> Cancellation | None:
        """Cancel a message none of whose recipients was claimed or is finished: it will never be sent. None when there
        is no such message."""
        async with self._database.transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            deliveries = await rows(connection, "lock_deliveries", **key)
            if not deliveries or not all(can(Status(status), Transition.CANCELLED) for _, status, _, _ in deliveries):
                ((status,),) = await rows(connection, "status_of", **key)
                return Cancellation(cancelled=False, status=Status(status)) if status else None
            at = datetime.now(UTC)
            await execute(connection, "cancel_message", at=at, **key)
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, categories)
                for recipient, _, batch_id, categories in deliveries
            ]
            await append_dropped(connection, ended, CANCELLED, at)
            if (batch_id := deliveries[0][2]) is not None:
                await tally(connection, self._database.shard, [(batch_id, Status.CANCELLED, 1)], at)
        return Cancellation(cancelled=True, status=Status.CANCELLED)

    async def retry(
        self,
        tenant_id: str,
        message_id: str,
        recipients: Sequence[Recipient],
        lifetime_s: float,
        *,
        group_id: int | None = None,
        bypass: int | None = None,
    ) -> CommandResult | None:
        """Queue a message again that is stuck, failed or bounced; None when there is no such message.

        ``recipients`` are all of the message's, in order: for a finished message the journal has them only in its
        encoded personalization. A retry undoes no other command: a future send time is kept, and deliveries of a
        paused batch are held. It is refused in a cancelled batch, while an SMTP transaction may be under way, once the
        message's bodies are going, and in any other status. The strikes of its request are deleted: it is tried as if
        it were new.

        A finished message stays as it is while all recipients who do not have it are suppressed: each gets a
        ``dropped`` event with the list's name. ``group_id`` is the unsubscribe group of the message, ``bypass`` what it
        passes. Where others remain, the claim drops those who are suppressed.
        """
        async with self._database.transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            message = await rows(connection, "lock_message", **key, **span([message_id]))
            if not message:
                return None
            batch_id, categories, accepted_at = message[0]
            command = await commanded(connection, batch_id, accepted_at)
            if states := await rows(connection, "lock_states", **key):
                status = fold(Status(state) for _, _, state, _ in states)
                if (under_way := any(busy for *_, busy in states)) or not can(status, Transition.RETRIED):
                    return CommandResult(done=False, status=status, under_way=under_way)
                if command == "cancel":
                    return CommandResult(done=False, status=status, batch_cancelled=True)
                queued = await rows(connection, "requeue", lifetime_s=lifetime_s, **key)
            else:
                ((bodies_before,),) = await rows(connection, "share_retention")
                [(is_cleared,)] = await rows(connection, "is_cleared", **key, **span([message_id]))
                if is_cleared or day_of(message_id) < bodies_before:
                    ((state,),) = await rows(connection, "status_of", **key)
                    return CommandResult(done=False, status=Status(state), content_expired=True)
                at = datetime.now(UTC)
                terms = {"group_id": group_id, "bypass": bypass}
                if command != "cancel" and (still := await _suppressed(connection, key, recipients, terms)):
                    status, names = still
                    ended = {n: Ended(tenant_id, message_id, recipients[n].email, batch_id, categories) for n in names}
                    return await _drop_again(connection, status, ended, names, at)
                former = [] if command == "cancel" else await rows(connection, "take_outcome", **key)
                if not former:
                    ((state,),) = await rows(connection, "status_of", **key)
                    return _not_retried(Status(state), command)
                former_status = Status(former[0][0])
                anew = after(former_status, Transition.RETRIED)
                queued = await _deliver_anew(connection, key | terms, recipients, former[0][1], anew, lifetime_s)
                if batch_id is not None:
                    await tally(connection, self._database.shard, [(batch_id, former_status, -1)], at)
            await execute(connection, "clear_strikes", **key)
            if command == "pause":
                await hold(connection, queued)
        return CommandResult(done=True, status=Status.QUEUED)

    async def fail(self, tenant_id: str, message_id: str, reason: str) -> CommandResult | None:
        """Fail an unfinished message in any status; None when there is no such message.

        An SMTP transaction that is under way continues, but its outcome finds no delivery and changes nothing.
        """
        async with self._database.transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            message = await rows(connection, "lock_message", **key, **span([message_id]))
            if not message:
                return None
            states = await rows(connection, "lock_states", **key)
            if not states:
                ((state,),) = await rows(connection, "status_of", **key)
                return CommandResult(done=False, status=Status(state))
            at = datetime.now(UTC)
            await execute(connection, "fail_message", at=at, error_message=reason, **key)
            batch_id, categories, _ = message[0]
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, categories)
                for _, recipient, state, _ in states
                if Status(state) in UNFINISHED
            ]
            await append_dropped(connection, ended, reason, at)
            if batch_id is not None:
                await tally(connection, self._database.shard, [(batch_id, Status.FAILED, 1)], at)
        return CommandResult(done=True, status=Status.FAILED)


def _not_retried(status: Status, commanded: ScheduledStatus | None) -> CommandResult:
    """Why a finished message is not retried."""
    if commanded == "cancel" and can(status, Transition.RETRIED):
        return CommandResult(done=False, status=status, batch_cancelled=True)
    # A failed message that may not be retried was in an SMTP transaction when it was failed.
    return CommandResult(done=False, status=status, under_way=status is Status.FAILED)


async def _suppressed(
    connection: AsyncConnection[Row],
    key: Mapping[str, str],
    recipients: Sequence[Recipient],
    terms: Mapping[str, Any],
) -> tuple[Status, dict[int, str]] | None:
    """The status of a finished message that could be retried, and the list that suppresses each recipient who does not
    have it, by number; None unless all of them are suppressed."""
    found = await rows(connection, "suppressed_again", **key, **_columns(recipients), **terms)
    if not found:
        return None
    names = {number: name for number, name, _, _ in found}
    _, _, status, ends = found[0]
    wanted = [n for n in range(len(recipients)) if not ends or Status(ends[n]) not in HAS_IT]
    if not all(number in names for number in wanted):
        return None
    return Status(status), {number: names[number] for number in wanted}


async def _drop_again(
    connection: AsyncConnection[Row],
    status: Status,
    ended: Mapping[int, Ended],
    names: Mapping[int, str],
    at: datetime,
) -> CommandResult:
    """Write the event of each recipient who stays suppressed, by number; ``names`` has the lists."""
    lists = tuple(dict.fromkeys(names.values()))
    for one in lists:
        await append_dropped(connection, [ended[number] for number in names if names[number] == one], one, at)
    return CommandResult(done=True, status=status, suppressed_by=lists)


async def _deliver_anew(
    connection: AsyncConnection[Row],
    key: Mapping[str, Any],
    recipients: Sequence[Recipient],
    ends: Sequence[str] | None,
    anew: Status,
    lifetime_s: float,
) -> list[Row]:
    """Create deliveries for a finished message in the status ``anew``; recipients who have the message stay finished.

    ``ends`` has the final status of each recipient; None or empty when none of them has the message. Returns the
    deliveries in the status ``anew``.
    """
    statuses = [Status(end) if Status(end) in HAS_IT else anew for end in ends or ()]
    statuses = statuses or [anew] * len(recipients)
    made = await rows(
        connection,
        "deliver_anew",
        **_columns(recipients),
        statuses=[status.value for status in statuses],
        lifetime_s=lifetime_s,
        sole_recipient=len(recipients) == 1,
        **key,
    )
    return [row for row in made if statuses[row[1]] is anew]


def _columns(recipients: Sequence[Recipient]) -> dict[str, list[str] | list[str | None]]:
    return {
        "recipients": [recipient.email for recipient in recipients],
        "domains": [recipient.domain for recipient in recipients],
        "addresses": [unusual(recipient.email) for recipient in recipients],
    }
