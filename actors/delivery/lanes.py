"""The lanes of this actor in which the journal has parked deliveries: whose turn it is, and when there is room.

Tenants take turns, and so do the lanes of each tenant. The lane fetcher (lane_fetcher.py) leases from them.
"""

import asyncio
from collections.abc import Callable, Iterable

from actors.delivery.held import HeldDeliveries
from cluster.journal.scheduling import Lane
from cluster.metrics import Gauge
from cluster.policy.limits.fairness import FairQueue

MAX_WAIT_S = 0.5
"""After this time any room is enough: the deliveries that hold the rest may be slow."""
PLENTY = 8
"""If ``1 / PLENTY`` of the limit is free, a round begins at once."""


class OwnLanes:
    """``clock``: monotonic seconds."""

    parked = Gauge("postray_lanes_parked", "Lanes known to hold something.", len)

    def __init__(self, held: HeldDeliveries, clock: Callable[[], float]) -> None:
        self._held = held
        self._clock = clock
        self._parked: set[Lane] = set()
        self._turns: FairQueue[Lane] = FairQueue()
        """The same lanes, in turn."""
        self._fetched_at = clock() - MAX_WAIT_S
        self.wanted = asyncio.Event()
        """Set when there may be something to lease, and room for it."""

    def __len__(self) -> int:
        return len(self._parked)

    def goes_before(self, lane: Lane, *, is_short: bool = True) -> bool:
        """Whether parked deliveries go before one that has just been offered for this lane. ``is_short``: it would use
        room that deliveries parked in other lanes wait for."""
        return lane in self._parked or (is_short and not self.leaves_room())

    def leaves_room(self) -> int:
        """How much room is left for offered deliveries: none while parked ones wait for enough room."""
        return 0 if self._parked and not self._is_roomy else self._held.room

    def expect(self, lane: Lane) -> None:
        """Note a lane in which something is or will be parked, without waking the lane fetcher."""
        if lane not in self._parked:
            self._parked.add(lane)
            self._turns.push(lane.tenant_id, lane)

    def add(self, lanes: Iterable[Lane]) -> None:
        """Note lanes in which something is parked, and wake the lane fetcher."""
        for lane in lanes:
            self.expect(lane)
        self.wanted.set()

    def look(self) -> None:
        """There may be room: wake the lane fetcher."""
        if self._parked:
            self.wanted.set()

    # What the lane fetcher asks

    @property
    def is_due(self) -> bool:
        """Whether there is room for a large batch, or the max wait is over."""
        return self._is_roomy or self._clock() >= self._fetched_at + MAX_WAIT_S

    def fetched(self) -> None:
        """A round has ended."""
        self._fetched_at = self._clock()

    @property
    def in_turn(self) -> int:
        """How many lanes wait for their turn."""
        return len(self._turns)

    def next(self, count: int) -> list[Lane]:
        """Remove and return the lanes whose turn it is. ``expect`` puts one back."""
        lanes = [self._turns.pop()[0] for _ in range(count)]
        self._parked.difference_update(lanes)
        return lanes

    @property
    def _is_roomy(self) -> bool:
        return self._held.room * PLENTY >= self._held.most
