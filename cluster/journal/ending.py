"""How deliveries end, in a transaction of the caller: outcomes, the fold of messages, and the tallies of batches."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from psycopg import AsyncConnection

from cluster.journal.database import Row, execute, rows
from cluster.journal.records import Outcome, keys


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


async def finish(
    connection: AsyncConnection[Row], outcomes: Sequence[Outcome], at: datetime
) -> list[tuple[str, str | None, int]]:
    """End deliveries, and with them the messages that have no other left; returns the changes to tally."""
    changes: list[tuple[str, str | None, int]] = []
    alone = [o for o in outcomes if o.alone]
    if alone:
        finished = await rows(connection, "finish_alone", at=at, **keys(alone), **ends(alone))
        changes += [(batch_id, status, messages) for batch_id, status, messages in finished]
    if shared := [o for o in outcomes if not o.alone]:
        changes += await _finish_shared(connection, shared, at)
    return changes


async def _finish_shared(
    connection: AsyncConnection[Row], outcomes: Sequence[Outcome], at: datetime
) -> list[tuple[str, str | None, int]]:
    """End recipients of messages that have several; two actors that end the last two must see each other."""
    message_ids = [outcome.message_id for outcome in outcomes]
    await rows(connection, "lock_messages", tenant_ids=[o.tenant_id for o in outcomes], message_ids=message_ids)
    await execute(connection, "finish_one_of_many", **keys(outcomes), **ends(outcomes))
    folded = await rows(connection, "fold_finished", message_ids=sorted(set(message_ids)), at=at)
    return [(batch_id, status, messages) for batch_id, status, messages in folded]


def ends(outcomes: Sequence[Outcome]) -> dict[str, list[str] | list[str | None]]:
    return {
        "statuses": [o.status.value for o in outcomes],
        "errors": [o.error_message for o in outcomes],
    }
