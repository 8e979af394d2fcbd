"""The journal's part for the scheduler: what is due is leased to its owner, parked in its lane, or at its end.

One index serves send_at, retries, expired leases, dead owners and lifetimes: ``due_at`` says when a row must be
looked at, whatever for. No statement here costs more when more is waiting.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from cluster.events import Bounced, Dropped, Event
from cluster.ids import new_id
from cluster.journal.database import JournalPart, execute, rows
from cluster.journal.ending import finish, tally
from cluster.journal.event_log import append
from cluster.journal.records import DueDelivery, Outcome, OutcomeWithEvent, keys
from cluster.policy.lifecycle import Status, Transition, after
from cluster.policy.replies.bounce_class import BounceClass


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
    def waiting(self) -> DueDelivery:
        return DueDelivery(self.message_id, self.recipient_no, self.tenant_id, self.domain, self.pool, self.route)


class Lane(Struct, frozen=True, array_like=True):
    """Where deliveries of one tenant wait for a destination (its name) that has no room for them."""

    destination: str
    tenant_id: str


class LanePosition(Struct, frozen=True, array_like=True):
    """A delivery in a lane: what comes after it is meant."""

    message_id: str
    recipient_no: int


LANE_START = LanePosition("", -1)


class Unparked(Struct, frozen=True):
    """What was taken from lanes, and those that hold no more."""

    leased: list[DueDelivery]
    emptied: list[Lane]


class PagedIn(Struct, frozen=True):
    """What became of the rows that were due."""

    leased: list[DueDelivery]
    parked: int
    expired: int

    def __len__(self) -> int:
        return len(self.leased) + self.parked + self.expired


Decide = Callable[[Sequence[DueDelivery]], Awaitable[list[int | str]]]
"""For each delivery the epoch of the owner to lease to, or the name of the lane to park in. The rows are locked while
it decides: it must not take long."""


class Scheduling(JournalPart):
    """What is due."""

    async def anything_due(self) -> bool:
        """Whether a page would have anything in it."""
        row = await self._database.row("anything_due")
        assert row is not None
        return bool(row[0])

    async def page_in(self, limit: int, lease_s: float, decide: Decide) -> PagedIn:
        """Take what is due, oldest first: lease it or park it as ``decide`` says, and end what has expired."""
        leased: list[DueDelivery] = []
        owners: list[int] = []
        parked: list[DueDelivery] = []
        lanes: list[str] = []
        async with self._database.transaction() as connection:
            page = [Due(*row) for row in await rows(connection, "due", limit=limit)]
            waiting = [due.waiting for due in page if not due.expired]
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
            if expired := [due for due in page if due.expired]:
                at = datetime.now(UTC)
                results = [expire(due, at) for due in expired]
                changes = await finish(connection, [outcome for outcome, _ in results], at)
                await append(connection, [event for _, event in results])
                await tally(connection, self._database.shard, changes, at)
        return PagedIn(leased, len(parked), len(expired))

    async def park(self, refused: Sequence[DueDelivery], lanes: Sequence[str]) -> None:
        """Give leases back: the deliveries wait in these lanes until an owner takes them."""
        await self._database.execute("park", lanes=list(lanes), **keys(refused))

    async def lease_from_lanes(self, limits: Mapping[Lane, int], limit: int, *, owner: int, lease_s: float) -> Unparked:
        """Lease the oldest deliveries of these lanes to their owner: of each at most so many, lane after lane until it
        is ``limit`` together."""
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
        # Where the limit was reached, nothing is known of the lanes behind, nor whether this one holds more.
        looked_at = lanes[: max(taken) - 1] if len(found) >= limit else lanes
        emptied = [lane for number, lane in enumerate(looked_at, 1) if taken[number] < limits[lane]]
        return Unparked([DueDelivery(*row) for _, *row in found], emptied)

    async def lanes(self) -> list[Lane]:
        """Every lane that holds something."""
        return [Lane(*row) for row in await self._database.rows("lanes")]

    async def parked_in(self, after: Mapping[Lane, LanePosition], each: int) -> dict[Lane, list[DueDelivery]]:
        """What waits in these lanes, each after a position, the oldest first: of each at most so many."""
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
        """Make deliveries of a lane that has no owner any more due now; returns how many."""
        return await self._database.execute("empty_lane", lane=destination, limit=limit)


def expire(due: Due, at: datetime) -> OutcomeWithEvent:
    """The end of a delivery whose lifetime is over: bounced if it was tried, else failed."""
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
