"""What is parked in the journal and this actor's to take: its lanes, and taking from them when there is room.

Tenants have their turns, and the lanes of each. A statement takes from many lanes, all that one has if there is room
for it, and waits until there is room for a good many: what is taken together is claimed, composed and sent together,
and a domain's messages over one connection.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from actors.delivery.ownership import Ownership
from actors.delivery.sites import Sites
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Waiting
from cluster.journal.scheduling import Lane
from cluster.policy.limits.fairness import FairQueue
from cluster.policy.routes.destinations import Destination, parse

log = logging.getLogger(__name__)

REFILL_S = 0.05
"""Between two rounds."""
PATIENCE_S = 0.5
"""After so long any room will do: what holds the rest may be slow."""
PLENTY = 8
"""Of all the room one part in so many is worth a round at once."""
LANE_BATCH = 500
"""Taken from one lane in its turn."""
LANES_AT_ONCE = 200
"""Taken from in one statement."""
LANES_A_ROUND = 1000
"""Looked at in one round. There may be very many; the others are the first in the next."""
UNAVAILABLE_S = 1.0


class LaneFetcher:
    """``room``: how many more deliveries may be held; ``most``: how many at all. ``is_shut``: whether nothing of a
    tenant's may be sent to a destination for now. ``take`` holds deliveries, or parks them again. ``clock``: seconds
    that never go back."""

    def __init__(
        self,
        journal: Journal,
        ownership: Ownership,
        sites: Sites,
        *,
        room: Callable[[], int],
        most: int,
        lease_s: float,
        is_shut: Callable[[Destination, str], bool],
        take: Callable[[Sequence[Waiting]], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._ownership = ownership
        self._sites = sites
        self._room = room
        self._most = most
        self._lease_s = lease_s
        self._is_shut = is_shut
        self._take = take
        self._clock = clock
        self._parked: set[Lane] = set()
        self._turns: FairQueue[Lane] = FairQueue()
        """The same lanes."""
        self._wanted = asyncio.Event()
        self._done_at = clock() - PATIENCE_S

    def __len__(self) -> int:
        return len(self._parked)

    def goes_before(self, lane: Lane, *, is_short: bool = True) -> bool:
        """Whether what is parked is to be taken before something that has just come for this lane. ``is_short``: it
        would take the room that what is parked in other lanes waits for."""
        return lane in self._parked or (is_short and not self.leaves_room())

    def leaves_room(self) -> int:
        """How much room there is beside what is parked: none as long as that waits for enough of it."""
        return 0 if self._parked and not self._is_roomy else self._room()

    def expect(self, lane: Lane) -> None:
        """Something will be parked there, to be taken as soon as something else has left."""
        if lane not in self._parked:
            self._parked.add(lane)
            self._turns.push(lane.tenant_id, lane)

    def add(self, lanes: Iterable[Lane]) -> None:
        """Something is parked in these lanes."""
        for lane in lanes:
            self.expect(lane)
        self._wanted.set()

    def look(self) -> None:
        """There may be room."""
        if self._parked:
            self._wanted.set()

    async def run(self) -> None:
        """Take for ever."""
        while True:
            await self._wanted.wait()
            if self._is_roomy or self._clock() >= self._done_at + PATIENCE_S:
                self._wanted.clear()
                try:
                    await self._round()
                except Unavailable as error:
                    log.warning("refill failed lanes=%d reason=%r", len(self._parked), error.reason)
                    await asyncio.sleep(UNAVAILABLE_S)
                self._done_at = self._clock()
            await asyncio.sleep(REFILL_S)

    @property
    def _is_roomy(self) -> bool:
        return self._room() * PLENTY >= self._most

    async def _round(self) -> None:
        left = min(len(self._turns), LANES_A_ROUND)
        while left and (room := self._room()):
            lanes = [self._turns.pop()[0] for _ in range(min(left, LANES_AT_ONCE))]
            left -= len(lanes)
            await self._take_from(lanes, room)

    async def _take_from(self, lanes: Sequence[Lane], room: int) -> None:
        """Lanes whose turn it is. What is found empty, or not ours to take from now, is forgotten until the scheduler
        names it again."""
        self._parked.difference_update(lanes)
        limits = {lane: limit for lane in lanes if (limit := self._limit_of(lane, room)) is not None}
        asked = {lane: limit for lane, limit in limits.items() if limit}
        emptied: Sequence[Lane] = ()
        try:
            if asked:
                found = await self._journal.scheduling.lease_from_lanes(
                    asked, room, owner=self._ownership.epoch, lease_s=self._lease_s
                )
                emptied = found.emptied
                await self._take(found.leased)
        finally:
            forgotten = set(emptied)
            for lane in limits:
                if lane not in forgotten:
                    self.expect(lane)

    def _limit_of(self, lane: Lane, room: int) -> int | None:
        """How many to take from a lane; None: it is not ours to take from."""
        place = parse(lane.destination)
        if place is None or not self._ownership.owns(place) or self._is_shut(place, lane.tenant_id):
            return None
        site = self._sites.get(place)
        if site is None:
            return min(LANE_BATCH, room)
        limit = min(LANE_BATCH, room, site.room(lane.tenant_id))
        # What waits lasts for a while; to take a few as soon as a few have left costs as much as to take many.
        return limit if limit >= min(site.queue.waiting_of(lane.tenant_id), LANE_BATCH) else 0
