"""The lanes of this actor in which the journal has something parked: whose turn it is, and when there is room to take.

Tenants have their turns, and the lanes of each. Taken from by the lane fetcher (lane_fetcher.py).
"""

import asyncio
from collections.abc import Callable, Iterable

from actors.delivery.held import HeldDeliveries
from cluster.journal.scheduling import Lane
from cluster.metrics import Gauge
from cluster.policy.limits.fairness import FairQueue

MAX_WAIT_S = 0.5
"""After so long any room will do: what holds the rest may be slow."""
PLENTY = 8
"""Of all the room one part in so many is worth a round at once."""


class OwnLanes:
    """``clock``: seconds that never go back."""

    parked = Gauge("postray_lanes_parked", "Lanes known to hold something.", len)

    def __init__(self, held: HeldDeliveries, clock: Callable[[], float]) -> None:
        self._held = held
        self._clock = clock
        self._parked: set[Lane] = set()
        self._turns: FairQueue[Lane] = FairQueue()
        """The same lanes."""
        self._fetched_at = clock() - MAX_WAIT_S
        self.wanted = asyncio.Event()
        """There may be something to take, and room for it."""

    def __len__(self) -> int:
        return len(self._parked)

    def goes_before(self, lane: Lane, *, is_short: bool = True) -> bool:
        """Whether what is parked is to be taken before something that has just come for this lane. ``is_short``: it
        would take the room that what is parked in other lanes waits for."""
        return lane in self._parked or (is_short and not self.leaves_room())

    def leaves_room(self) -> int:
        """How much room there is beside what is parked: none as long as that waits for enough of it."""
        return 0 if self._parked and not self._is_roomy else self._held.room

    def expect(self, lane: Lane) -> None:
        """Something will be parked there, to be taken as soon as something else has left."""
        if lane not in self._parked:
            self._parked.add(lane)
            self._turns.push(lane.tenant_id, lane)

    def add(self, lanes: Iterable[Lane]) -> None:
        """Something is parked in these lanes."""
        for lane in lanes:
            self.expect(lane)
        self.wanted.set()

    def look(self) -> None:
        """There may be room."""
        if self._parked:
            self.wanted.set()

    # What the lane fetcher asks

    @property
    def is_due(self) -> bool:
        """Whether there is room for a good many, or any room will do by now."""
        return self._is_roomy or self._clock() >= self._fetched_at + MAX_WAIT_S

    def fetched(self) -> None:
        """A round of taking has ended."""
        self._fetched_at = self._clock()

    @property
    def in_turn(self) -> int:
        """How many have their turn to come."""
        return len(self._turns)

    def next(self, count: int) -> list[Lane]:
        """The lanes whose turn it is; they are forgotten unless they are expected again."""
        lanes = [self._turns.pop()[0] for _ in range(count)]
        self._parked.difference_update(lanes)
        return lanes

    @property
    def _is_roomy(self) -> bool:
        return self._held.room * PLENTY >= self._held.most
