"""The journal's part for operators' work on the queue: search it, end deliveries, make them due, and move them.

Two operators may give the same command at once: statements that change deliveries skip locked rows.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from cluster.ids import first_id
from cluster.journal.database import JournalPart, Row, rows
from cluster.journal.day_tables import span
from cluster.journal.ending import Ended, append_dropped, finish, tally
from cluster.journal.records import DueDelivery, Outcome, keys
from cluster.policy.lifecycle import Status, Transition, after

MOST_LANES = 1000
"""The most lanes in one listing."""
MOST_COUNTED = 100_000
"""The most deliveries that are counted in one lane; a count that reaches it is a lower bound."""
HIGHEST_NO = 2**31 - 1
"""A recipient number above all others."""
SOON_S = 0.5
"""When a moved delivery is due: this leaves time for the delivery actor that holds it to release it."""


class QueueFilter(Struct, frozen=True, kw_only=True):
    """Selects queued deliveries; None means any."""

    message_id: str | None = None
    domain: str | None = None
    tenant_id: str | None = None
    batch_id: str | None = None
    pool: str | None = None
    accepted_before: datetime | None = None


class UnfinishedDelivery(Struct, frozen=True, array_like=True):
    """An unfinished delivery that a filter matches. Commands leave it unchanged while it is being sent."""

    message_id: str
    recipient_no: int
    recipient: str
    tenant_id: str
    batch_id: str | None
    domain: str
    sole_recipient: bool
    status: str

    @property
    def sending(self) -> bool:
        return Status(self.status) is Status.SENDING


class QueueMark(Struct, frozen=True, array_like=True):
    """A position in the queue: after this delivery, in the order of the primary key."""

    message_id: str = ""
    recipient_no: int = -1


class QueuePart(Struct, frozen=True):
    """The deliveries that a filter matches in one part of the queue, and the start of the next part; None after the
    last."""

    queued: list[UnfinishedDelivery]
    next: QueueMark | None


class AgedDeliveries(Struct, frozen=True):
    """Unfinished deliveries to a domain that are about as old."""

    domain: str
    age: int
    """0 is the oldest; see ``QueueControl.ages_of_part``."""
    count: int
    tried: int
    """Those of them that were tried before."""


class AgesOfPart(Struct, frozen=True):
    """How old what waits in one part of the queue is, and the start of the next part; None after the last."""

    found: list[AgedDeliveries]
    next: QueueMark | None


class Wait(StrEnum):
    """What an unfinished delivery waits for."""

    SENDING = "sending"
    """For nothing: it is claimed, and on the wire or about to be."""
    PAUSED = "paused"
    """For its paused batch to be resumed."""
    SCHEDULED = "scheduled"
    """For its send time."""
    DEFERRED = "deferred"
    """For the next attempt."""
    TURN = "turn"
    """It is due and waits for its turn or for room at its site."""


class QueueControl(JournalPart):
    """Operators' commands on deliveries."""

    async def lane_names(self) -> list[str]:
        """The first ``MOST_LANES`` lanes that are not empty."""
        return [lane for (lane,) in await self._database.rows("lane_names", limit=MOST_LANES)]

    async def parked_in(self, lanes: Sequence[str], most: int = MOST_COUNTED) -> dict[str, int]:
        """How many deliveries are parked in these lanes, at most ``most`` in each, without those that are empty."""
        found = await self._database.rows("parked", lanes=lanes, bound=most)
        return {lane: count for lane, count in found if count}

    async def part(self, filter: QueueFilter, start: QueueMark, size: int) -> QueuePart:
        """The matches among the next ``size`` deliveries of the queue after ``start``, in the order of acceptance."""
        before = first_id("msg_", filter.accepted_before) if filter.accepted_before else None
        # Ids begin with letters: every id is less than "~".
        end = QueueMark(before or "~")
        if filter.message_id is not None:
            start = max(start, QueueMark(filter.message_id), key=_place)
            end = min(end, QueueMark(filter.message_id, HIGHEST_NO), key=_place)
        async with self._database.connection() as connection:
            marks = await rows(
                connection, "queue_mark", message_id=start.message_id, recipient_no=start.recipient_no, skip=size - 1
            )
            mark = QueueMark(*marks[0]) if marks else end
            last = min(end, mark, key=_place)
            found = await rows(
                connection,
                "queue_part",
                message_id=start.message_id,
                recipient_no=start.recipient_no,
                last_id=last.message_id,
                last_no=last.recipient_no,
                domain=filter.domain,
                tenant_id=filter.tenant_id,
                batch_id=filter.batch_id,
                pool=filter.pool,
            )
        return QueuePart([UnfinishedDelivery(*row) for row in found], None if last is end else last)

    async def ages_of_part(
        self, bounds: Sequence[datetime], tenant_id: str | None, start: QueueMark, size: int
    ) -> AgesOfPart:
        """How many of the next ``size`` deliveries of the queue after ``start`` wait, by domain and age. ``bounds`` are
        moments in ascending order, between which the ages are: the first age is from before all of them."""
        async with self._database.connection() as connection:
            marks = await rows(
                connection, "queue_mark", message_id=start.message_id, recipient_no=start.recipient_no, skip=size - 1
            )
            last = QueueMark(*marks[0]) if marks else None
            end = last or QueueMark("~")
            found = await rows(
                connection,
                "queue_ages_of_part",
                bounds=[first_id("msg_", bound) for bound in bounds],
                message_id=start.message_id,
                recipient_no=start.recipient_no,
                last_id=end.message_id,
                last_no=end.recipient_no,
                tenant_id=tenant_id,
            )
        return AgesOfPart([AgedDeliveries(*row) for row in found], last)

    async def give_up(self, queued: Sequence[UnfinishedDelivery], reason: str) -> int:
        """Fail those of these deliveries that are neither claimed nor locked; returns how many."""
        async with self._database.transaction() as connection:
            # As in every command: lock the message first, then its deliveries. Another order could deadlock.
            if several := [q for q in queued if not q.sole_recipient]:
                await rows(
                    connection,
                    "lock_messages",
                    tenant_ids=[q.tenant_id for q in several],
                    message_ids=[q.message_id for q in several],
                    **span(q.message_id for q in several),
                )
            locked = await rows(connection, "lock_unclaimed", **keys(queued), **_span(queued))
            if not locked:
                return 0
            at = datetime.now(UTC)
            finished = await finish(connection, [_given_up(row, reason) for row in locked], at)
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, categories)
                for message_id, _, tenant_id, recipient, batch_id, _, _, categories in locked
            ]
            await append_dropped(connection, ended, reason, at)
            await tally(connection, self._database.shard, finished.changes, at)
        return len(locked)

    async def waits(self, queued: Sequence[UnfinishedDelivery]) -> list[tuple[UnfinishedDelivery, Wait]]:
        """What each of these waits for; finished deliveries are left out."""
        found = await self._database.rows("waits", **keys(queued), **_span(queued))
        kinds = {(message_id, recipient_no): Wait(kind) for message_id, recipient_no, kind in found}
        return [(one, kinds[key]) for one in queued if (key := (one.message_id, one.recipient_no)) in kinds]

    async def make_due(self, queued: Sequence[UnfinishedDelivery]) -> int:
        """Make deferred deliveries due now; returns how many. Locked rows are skipped."""
        return await self._database.execute("make_due", **keys(queued), **_span(queued))

    async def reroute(
        self, queued: Sequence[UnfinishedDelivery], pool: str | None, route: str | None
    ) -> list[DueDelivery]:
        """Move the deliveries that are not being sent to a pool, to a route ("": the routing decides) or both; None
        leaves it unchanged. Returns the moved deliveries in their new state. Those that have this pool and route
        already are not among them, and locked rows are skipped."""
        found = await self._database.rows(
            "reroute", pool=pool, route=route, soon_s=SOON_S, **keys(queued), **_span(queued)
        )
        return [DueDelivery(*row) for row in found]


def _span(queued: Iterable[UnfinishedDelivery]) -> dict[str, str]:
    return span(one.message_id for one in queued)


def _place(mark: QueueMark) -> tuple[str, int]:
    return mark.message_id, mark.recipient_no


def _given_up(row: Row, reason: str) -> Outcome:
    message_id, recipient_no, tenant_id, _, _, sole_recipient, status, _ = row
    return Outcome(
        tenant_id=tenant_id,
        message_id=message_id,
        recipient_no=recipient_no,
        status=after(Status(status), Transition.FAILED),
        sole_recipient=sole_recipient,
        error_message=reason,
    )
