"""The lane fetcher: it leases deliveries parked in the lanes of this actor when there is room.

One statement leases from many lanes, up to a lane's whole content. It waits until there is room for a large batch:
deliveries leased together are claimed, composed and sent together, and a domain's messages share a connection.
"""

import asyncio
import logging
from collections.abc import Sequence

from actors.delivery.admission import Admission
from actors.delivery.held import HeldDeliveries
from actors.delivery.lanes import OwnLanes
from actors.delivery.ownership import Ownership
from actors.delivery.sites import Sites
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.scheduling import Lane
from cluster.metrics import Counter
from cluster.policy.routes.destinations import parse

log = logging.getLogger(__name__)

ROUND_S = 0.05
"""Time between two rounds."""
LANE_BATCH = 500
"""Deliveries leased from one lane in its turn."""
LANES_AT_ONCE = 200
"""Lanes in one statement."""
LANES_A_ROUND = 1000
"""Lanes in one round. There may be very many; the others come first in the next round."""
UNAVAILABLE_S = 1.0


class LaneFetcher:
    leased = Counter("postray_lanes_leased_total", "Deliveries taken from their lanes, where they were parked.")

    def __init__(
        self,
        journal: Journal,
        ownership: Ownership,
        held: HeldDeliveries,
        lanes: OwnLanes,
        sites: Sites,
        admission: Admission,
        *,
        lease_s: float,
    ) -> None:
        self._journal = journal
        self._ownership = ownership
        self._held = held
        self._lanes = lanes
        self._sites = sites
        self._admission = admission
        self._lease_s = lease_s

    async def run(self) -> None:
        """Lease until the actor stops."""
        while True:
            await self._lanes.wanted.wait()
            if self._lanes.is_due:
                self._lanes.wanted.clear()
                try:
                    await self._round()
                except Unavailable as error:
                    log.warning("refill failed lanes=%d reason=%r", len(self._lanes), error.reason)
                    await asyncio.sleep(UNAVAILABLE_S)
                self._lanes.fetched()
            await asyncio.sleep(ROUND_S)

    async def _round(self) -> None:
        left = min(self._lanes.in_turn, LANES_A_ROUND)
        while left and (room := self._held.room):
            lanes = self._lanes.next(min(left, LANES_AT_ONCE))
            left -= len(lanes)
            await self._take_from(lanes, room)

    async def _take_from(self, lanes: Sequence[Lane], room: int) -> None:
        """Lease from the lanes whose turn it is. A lane that is empty, or that we may not lease from now, is forgotten
        until the scheduler names it again. Raises Unavailable."""
        limits = {lane: limit for lane in lanes if (limit := self._limit_of(lane, room)) is not None}
        asked = {lane: limit for lane, limit in limits.items() if limit}
        emptied: Sequence[Lane] = ()
        try:
            if asked:
                found = await self._journal.scheduling.lease_from_lanes(
                    asked, room, owner=self._ownership.epoch, lease_s=self._lease_s
                )
                emptied = found.emptied
                self.leased += len(found.leased)
                await self._admission.hold_or_park(found.leased)
        finally:
            forgotten = set(emptied)
            for lane in limits:
                if lane not in forgotten:
                    self._lanes.expect(lane)

    def _limit_of(self, lane: Lane, room: int) -> int | None:
        """How many to lease from a lane; None: it is not ours, or is shut."""
        place = parse(lane.destination)
        if place is None or not self._ownership.owns(place) or self._sites.is_shut(place, lane.tenant_id):
            return None
        site = self._sites.get(place)
        if site is None:
            return min(LANE_BATCH, room)
        limit = min(LANE_BATCH, room, site.room(lane.tenant_id))
        # The queue lasts for a while, and a lease of a few costs as much as one of many.
        return limit if limit >= min(site.queue.waiting_of(lane.tenant_id), LANE_BATCH) else 0
