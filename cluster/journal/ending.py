"""How deliveries end, in a transaction of the caller: outcomes, the fold of messages, events, tallies of batches."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import Dropped, Event
from cluster.ids import new_id
from cluster.journal.database import Row, execute, rows
from cluster.journal.day_tables import span
from cluster.journal.event_log import append
from cluster.journal.records import Outcome, keys
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import ALL_SUPPRESSED, SUPPRESSED

CANCELLED = "Cancelled before delivery"
"""The reason in the events of deliveries that a client cancelled."""


TallyChange = tuple[str, Status | None, int]
"""Batch id, status (None: accepted), messages."""


class Finished(Struct, frozen=True):
    """What ``finish`` did."""

    changes: list[TallyChange]
    """To tally."""
    ended: set[tuple[str, int]]
    """The deliveries (message id, recipient number) that had not ended before."""


class Ended(Struct, frozen=True, array_like=True):
    """A delivery that ended without an SMTP transaction: the data of its event."""

    tenant_id: str
    message_id: str
    recipient: str
    batch_id: str | None
    categories: Sequence[str]


async def tally(
    connection: AsyncConnection[Row],
    shard: str,
    changes: Iterable[TallyChange],
    at: datetime | None = None,
) -> None:
    """Add the changes to the tallies of their batches."""
    summed: Counter[tuple[str, Status | None]] = Counter()
    for batch_id, status, messages in changes:
        summed[batch_id, status] += messages
    if summed:
        await execute(
            connection,
            "tally",
            shard=shard,
            at=at or datetime.now(UTC),
            batch_ids=[batch_id for batch_id, _ in summed],
            statuses=[status and status.value for _, status in summed],
            messages=list(summed.values()),
        )


async def finish(connection: AsyncConnection[Row], outcomes: Sequence[Outcome], at: datetime) -> Finished:
    """End deliveries, and the messages that have no unfinished delivery left."""
    changes: list[TallyChange] = []
    ended: set[tuple[str, int]] = set()
    single = [o for o in outcomes if o.sole_recipient]
    if single:
        finished = await rows(connection, "finish_sole_recipient", at=at, **keys(single), **ends(single))
        for message_id, recipient_no, batch_id, status in finished:
            ended.add((message_id, recipient_no))
            if batch_id is not None:
                changes.append((batch_id, Status(status), 1))
    if shared := [o for o in outcomes if not o.sole_recipient]:
        # Locked, so that two actors which end the last two recipients of a message see each other's change.
        message_ids = [outcome.message_id for outcome in shared]
        tenant_ids = [o.tenant_id for o in shared]
        await rows(connection, "lock_messages", tenant_ids=tenant_ids, message_ids=message_ids, **span(message_ids))
        finished = await rows(connection, "finish_one_of_many", **keys(shared), **ends(shared))
        ended.update((message_id, recipient_no) for message_id, recipient_no in finished)
        folded = await rows(
            connection,
            "fold_finished",
            message_ids=sorted(set(message_ids)),
            at=at,
            suppressed=SUPPRESSED,
            all_suppressed=ALL_SUPPRESSED,
        )
        changes += [(batch_id, Status(status), messages) for batch_id, status, messages in folded]
    return Finished(changes, ended)


async def append_dropped(connection: AsyncConnection[Row], ended: Sequence[Ended], reason: str, at: datetime) -> None:
    """Write a Dropped event for each delivery; without it the timeline of a message would end in "processed"."""
    await append(connection, [_dropped(delivery, reason, at.timestamp()) for delivery in ended])


def _dropped(delivery: Ended, reason: str, at: float) -> Event:
    return Dropped(
        id=new_id("evt_"),
        at=at,
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient=delivery.recipient,
        batch_id=delivery.batch_id,
        categories=tuple(delivery.categories),
        reason=reason,
    )


def ends(outcomes: Sequence[Outcome]) -> dict[str, list[str] | list[str | None]]:
    return {
        "statuses": [o.status.value for o in outcomes],
        "errors": [o.error_message for o in outcomes],
    }
