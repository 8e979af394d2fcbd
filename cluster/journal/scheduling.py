"""The journal's part for the scheduler: a due delivery is leased to its owner, parked in its lane, or expired.

One index serves send_at, retries, expired leases, dead owners and lifetimes: ``due_at`` is when the scheduler must
handle a row, for any of these reasons. The cost of the statements here does not grow with the queue.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import Bounced, Dropped, Event
from cluster.ids import new_id
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import span
from cluster.journal.ending import finish, tally
from cluster.journal.event_log import append
from cluster.journal.excerpts import decode_report_terms
from cluster.journal.records import DueDelivery, Outcome, OutcomeWithEvent, keys
from cluster.journal.tenant_rates import count_ends
from cluster.policy.forms import Form
from cluster.policy.lifecycle import Status, Transition, after
from cluster.policy.replies.bounce_class import BounceClass
from cluster.tenancy.tenant import AFTER_SUSPENSION


class Due(Struct, frozen=True, array_like=True):
    """A delivery that is due, or whose lease or lifetime is over."""

    message_id: str
    recipient_no: int
    tenant_id: str
    domain: str
    recipient: str
    batch_id: str | None
    attempts: int
    sole_recipient: bool
    expired: bool
    status: str
    error_message: str | None
    pool: str
    route: str = ""

    @property
    def key(self) -> tuple[str, int]:
        return self.message_id, self.recipient_no

    @property
    def waiting(self) -> DueDelivery:
        return DueDelivery(self.message_id, self.recipient_no, self.tenant_id, self.domain, self.pool, self.route)


class Lane(Form, frozen=True, array_like=True):
    """A queue for the deliveries of one tenant to a destination (its name) that has no room for them."""

    destination: str
    tenant_id: str


class LanePosition(Struct, frozen=True, array_like=True):
    """A position in a lane: after this delivery."""

    message_id: str
    recipient_no: int


LANE_START = LanePosition("", -1)


class Unparked(Struct, frozen=True):
    """The deliveries that were leased from lanes, and the lanes that are now empty."""

    leased: list[DueDelivery]
    emptied: list[Lane]


class PagedIn(Form, frozen=True):
    """The result of a page: the leased deliveries, and how many were parked and expired."""

    leased: list[DueDelivery]
    parked: int
    expired: int

    def __len__(self) -> int:
        return len(self.leased) + self.parked + self.expired


Decide = Callable[[Sequence[DueDelivery]], Awaitable[list[int | str]]]
"""Returns for each delivery the epoch of the owner to lease it to, or the name of the lane to park it in. The rows are
locked meanwhile, so it must be quick."""


class Scheduling(JournalPart):
    """Pages in due deliveries, and leases them from lanes."""

    async def due_in_s(self) -> float:
        """The time until the next delivery is due, in seconds: 0 or less where one is, a day at most."""
        row = await self._database.row("next_due")
        assert row is not None
        return float(row[0])

    async def page_in(self, limit: int, lease_s: float, decide: Decide) -> PagedIn:
        """Handle at most ``limit`` due deliveries, oldest first: lease or park them as ``decide`` returns, and end
        those that have expired. While their tenant is suspended, and for ``AFTER_SUSPENSION`` after it, none
        expires."""
        leased: list[DueDelivery] = []
        owners: list[int] = []
        parked: list[DueDelivery] = []
        lanes: list[str] = []
        async with self._database.transaction() as connection:
            page = [Due(*row) for row in await rows(connection, "due", limit=limit)]
            paused = await _outlive_suspensions(connection, [due for due in page if due.expired])
            waiting = [due.waiting for due in page if not paused.get(due.key, due.expired)]
            for one, place in zip(waiting, await decide(waiting), strict=True):
                if isinstance(place, int):
                    leased.append(one)
                    owners.append(place)
                else:
                    parked.append(one)
                    lanes.append(place)
            if leased:
                await execute(connection, "lease", lease_s=lease_s, owners=owners, **keys(leased))
            if parked:
                await execute(connection, "park", lanes=lanes, **keys(parked))
            if expired := [due for due in page if due.expired and due.key not in paused]:
                at = datetime.now(UTC)
                notices = await _notices(connection, [due for due in expired if due.attempts])
                results = [expire(due, at) for due in expired]
                finished = await finish(connection, [outcome for outcome, _ in results], at)
                events = [event for _, event in results]
                await append(connection, events)
                counted = [
                    event for due, (_, event) in zip(expired, results, strict=True) if due.message_id not in notices
                ]
                await count_ends(connection, self._database.shard, counted)
                await tally(connection, self._database.shard, finished.changes, at)
        return PagedIn(leased, len(parked), len(expired))

    async def park(self, refused: Sequence[DueDelivery], lanes: Sequence[str]) -> None:
        """Release leases: the deliveries wait in these lanes until an owner leases them."""
        await self._database.execute("park", lanes=list(lanes), **keys(refused))

    async def lease_from_lanes(self, limits: Mapping[Lane, int], limit: int, *, owner: int, lease_s: float) -> Unparked:
        """Lease the oldest deliveries of these lanes to their owner, lane after lane: from each lane at most its entry
        in ``limits``, and at most ``limit`` in total."""
        lanes = list(limits)
        found = await self._database.rows(
            "lease_from_lanes",
            lanes=[lane.destination for lane in lanes],
            tenant_ids=[lane.tenant_id for lane in lanes],
            limits=list(limits.values()),
            limit=limit,
            owner=owner,
            lease_s=lease_s,
        )
        taken = Counter(number for number, *_ in found)
        # When the total limit was reached, the last lane may not be empty, and later lanes were not read.
        looked_at = lanes[: max(taken) - 1] if len(found) >= limit else lanes
        emptied = [lane for number, lane in enumerate(looked_at, 1) if taken[number] < limits[lane]]
        return Unparked([DueDelivery(*row) for _, *row in found], emptied)

    async def lanes(self) -> list[Lane]:
        """Every lane that is not empty."""
        return [Lane(*row) for row in await self._database.rows("lanes")]

    async def parked_in(self, after: Mapping[Lane, LanePosition], each: int) -> dict[Lane, list[DueDelivery]]:
        """The deliveries in these lanes after a position in each, oldest first; at most ``each`` per lane."""
        lanes = list(after)
        found = await self._database.rows(
            "parked_in",
            lanes=[lane.destination for lane in lanes],
            tenant_ids=[lane.tenant_id for lane in lanes],
            message_ids=[position.message_id for position in after.values()],
            recipient_nos=[position.recipient_no for position in after.values()],
            each=each,
        )
        parked: dict[Lane, list[DueDelivery]] = {lane: [] for lane in lanes}
        for number, *row in found:
            parked[lanes[number - 1]].append(DueDelivery(*row))
        return parked

    async def leave_lanes(self, deliveries: Sequence[DueDelivery], lanes: Sequence[Lane]) -> int:
        """Make deliveries that are still in these lanes due now; returns how many."""
        return await self._database.execute(
            "leave_lanes", lanes=[lane.destination for lane in lanes], **keys(deliveries)
        )

    async def empty_lane(self, destination: str, limit: int) -> int:
        """Make at most ``limit`` deliveries of a lane that no longer has an owner due now; returns how many."""
        return await self._database.execute("empty_lane", lane=destination, limit=limit)


async def _outlive_suspensions(connection: AsyncConnection[Row], expired: Sequence[Due]) -> dict[tuple[str, int], bool]:
    """Extend the lifetimes that tenants' suspensions used up; returns the keys of these deliveries, each with whether
    its batch is paused."""
    if not expired:
        return {}
    after_s = AFTER_SUSPENSION.total_seconds()
    found = await rows(connection, "outlive_suspension", after_s=after_s, **keys([due.waiting for due in expired]))
    return {(message_id, recipient_no): is_paused for message_id, recipient_no, is_paused in found}


async def _notices(connection: AsyncConnection[Row], tried: Sequence[Due]) -> set[str]:
    """The messages among these that are postray's own mail."""
    if not tried:
        return set()
    found = await rows(
        connection,
        "personalizations",
        tenant_ids=[due.tenant_id for due in tried],
        message_ids=[due.message_id for due in tried],
        **span(due.message_id for due in tried),
    )
    return {id for id, personal in found if decode_report_terms(personal).is_notice}


def expire(due: Due, at: datetime) -> OutcomeWithEvent:
    """The outcome of a delivery whose lifetime has ended: bounced if it was tried, otherwise failed."""
    tries = f"after {due.attempts} attempts: {due.error_message}" if due.attempts else "before it could be sent"
    reason = f"expired {tries}"
    transition = Transition.EXPIRED if due.attempts else Transition.EXPIRED_UNTRIED
    outcome = Outcome(
        tenant_id=due.tenant_id,
        message_id=due.message_id,
        recipient_no=due.recipient_no,
        status=after(Status(due.status), transition),
        sole_recipient=due.sole_recipient,
        error_message=reason,
    )
    return outcome, _expired(due, at.timestamp(), reason)


def _expired(due: Due, at: float, reason: str) -> Event:
    facts: dict[str, Any] = {
        "id": new_id("evt_"),
        "at": at,
        "tenant_id": due.tenant_id,
        "message_id": due.message_id,
        "recipient": due.recipient,
        "batch_id": due.batch_id,
        "reason": reason,
    }
    if due.attempts:
        kind = BounceClass.EXPIRED
        return Bounced(attempt=due.attempts, bounce_type=kind.bounce_type, bounce_class=kind, **facts)
    return Dropped(**facts)
