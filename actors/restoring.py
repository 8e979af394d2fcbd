"""What ``postray restore`` does with a restored journal before anything is sent from it: deliveries that a ledger or
ClickHouse knows to have ended are marked so, and what remains in doubt is told.

It runs in the process of the command, over a journal that nothing else uses.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from actors.delivery.ledger import Entry, acceptances_in
from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.surviving import End, accepted_after, ends
from cluster.ids import first_id
from cluster.journal.ending import CANCELLED
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Outcome
from cluster.journal.restoring import START, UnfinishedCopy
from cluster.policy.lifecycle import Status
from cluster.settings import ClickHouseSettings
from cluster.times import iso, milliseconds

BATCH = 500
PAGE = 2000
"""Deliveries, or messages, that are looked at together."""
ENDED_AS = {
    "delivered": Status.DELIVERED,
    "bounce": Status.BOUNCED,
    "blocked": Status.BOUNCED,
    "dropped": Status.FAILED,
}


class InDoubt(Struct, frozen=True, kw_only=True):
    """A delivery that is queued now: if it ended after the backup, and nothing that is left knows of it, it is sent
    twice."""

    message_id: str
    tenant_id: str
    recipient_no: int


class Lost(Struct, frozen=True, kw_only=True):
    """A message that was accepted after the backup: the journal has nothing of it."""

    message_id: str
    tenant_id: str
    accepted_at: str
    delivered: int
    """How many of its recipients have it all the same."""
    recipients: int


Tell = Callable[[InDoubt | Lost], None]


class Reconciled(Struct, frozen=True, kw_only=True):
    """Counts of deliveries, and of lost messages."""

    unfinished: int
    """In the backup."""
    ended: int
    """Of these, marked as what they ended as."""
    in_doubt: int
    lost: int


async def reconcile(
    journal: Journal,
    clickhouse: ClickHouseSettings,
    data_dir: Path,
    ledgers: Sequence[Path],
    *,
    began: datetime,
    ended: datetime,
    tell: Tell,
) -> Reconciled:
    """Mark what is known to have ended, and ``tell`` what is in doubt and what is lost. ``ledgers``: their folders.
    The restored journal is of a moment between ``began`` and ``ended``. Raises Unavailable for ClickHouse too."""
    unfinished = await journal.restoring.count_unfinished()
    entries = [entry for folder in ledgers for entry in acceptances_in(folder)]
    for start in range(0, len(entries), BATCH):
        await journal.queue.settle(entries[start : start + BATCH], restored_from=began.timestamp())
    try:
        client = ClickHouse.open(clickhouse, data_dir)
        try:
            client.migrate()
            async for page in _pages(journal):
                await _end(journal, page, ends(client, sorted({one.message_id for one in page})), ended)
            lost = await _tell_lost(journal, client, entries, began, tell)
        finally:
            client.close()
    except ClickHouseUnavailable as error:
        raise Unavailable(f"ClickHouse: {error.reason}") from error
    left = await journal.restoring.count_unfinished()
    in_doubt = await _tell_in_doubt(journal, tell)
    return Reconciled(unfinished=unfinished, ended=unfinished - left, in_doubt=in_doubt, lost=lost)


async def _pages(journal: Journal) -> AsyncIterator[list[UnfinishedCopy]]:
    after = START
    while page := await journal.restoring.unfinished(after, PAGE):
        after = page[-1].message_id, page[-1].recipient_no
        yield page


async def _end(journal: Journal, page: Sequence[UnfinishedCopy], known: Sequence[End], ended: datetime) -> None:
    """Mark those of a page whose last end is known and counts: a bounce or a cancel of before the backup was taken back
    by a retry, or the journal would have it."""
    last = {(one.message_id, one.recipient): one for one in known}
    since = milliseconds(ended.timestamp())
    outcomes, cancelled = [], set()
    for delivery in page:
        end = last.get((delivery.message_id, delivery.recipient))
        if end is None or (end.event != "delivered" and end.at_ms < since):
            continue
        if end.event == "dropped" and end.reason == CANCELLED:
            cancelled.add((delivery.tenant_id, delivery.message_id))
            continue
        outcomes.append(_outcome(delivery, end))
    await journal.restoring.finish(outcomes)
    for tenant_id, message_id in sorted(cancelled):
        await journal.commands.cancel(tenant_id, message_id)


def _outcome(delivery: UnfinishedCopy, end: End) -> Outcome:
    return Outcome(
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient_no=delivery.recipient_no,
        status=ENDED_AS[end.event],
        sole_recipient=delivery.sole_recipient,
        error_message=end.reason or None,
    )


async def _tell_in_doubt(journal: Journal, tell: Tell) -> int:
    """What waits for a later send time has not been sent."""
    told = 0
    async for page in _pages(journal):
        for one in page:
            if not one.is_scheduled:
                tell(InDoubt(message_id=one.message_id, tenant_id=one.tenant_id, recipient_no=one.recipient_no))
                told += 1
    return told


async def _tell_lost(
    journal: Journal, client: ClickHouse, entries: Sequence[Entry], began: datetime, tell: Tell
) -> int:
    """What ClickHouse knows; then what only a ledger does."""
    told: set[str] = set()
    after = first_id("msg_", began)
    while page := accepted_after(client, after, PAGE):
        after = page[-1].message_id
        known = await journal.restoring.known([(one.tenant_id, one.message_id) for one in page])
        for one in page:
            if one.message_id not in known:
                told.add(one.message_id)
                tell(
                    Lost(
                        message_id=one.message_id,
                        tenant_id=one.tenant_id,
                        accepted_at=iso(one.at_ms),
                        delivered=one.delivered,
                        recipients=one.recipients,
                    )
                )
    left = {outcome.message_id: (outcome.tenant_id, event.at) for outcome, event in entries}
    for message_id in await _unknown(journal, [(left[id][0], id) for id in left.keys() - told]):
        tenant_id, at = left[message_id]
        told.add(message_id)
        accepted_at = iso(milliseconds(at))
        tell(Lost(message_id=message_id, tenant_id=tenant_id, accepted_at=accepted_at, delivered=1, recipients=1))
    return len(told)


async def _unknown(journal: Journal, messages: Sequence[tuple[str, str]]) -> list[str]:
    """The ids of those of these messages (tenant id, message id) that the journal does not have."""
    found: list[str] = []
    for start in range(0, len(messages), PAGE):
        some = messages[start : start + PAGE]
        known = await journal.restoring.known(some)
        found += [message_id for _, message_id in some if message_id not in known]
    return sorted(found)
