"""Lanes without an owner: no live machine has the addresses of their source.

Such a lane holds mail of several pools. A delivery that would now be routed elsewhere, since its pool has another
source or an operator has changed its route, is made due and leaves the lane. The rest stays until the source is back.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import islice

from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import LANE_START, Lane, LanePosition
from cluster.metrics import Counter
from cluster.routing.dispatcher import Dispatcher

log = logging.getLogger(__name__)

LANES_AT_ONCE = 200
"""Lanes read with one statement."""
PAGE = 2000
"""Deliveries read in one round, so that a long lane that must wait costs little."""


class Stranded:
    """Keeps its position in each lane, and starts over at the end of a lane, since mail may still arrive there."""

    moved = Counter("postray_stranded_moved_total", "Deliveries made due from lanes that have no owner.")

    def __init__(self, journal: Journal, dispatcher: Dispatcher) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._looked: dict[Lane, LanePosition] = {}
        """Position by lane; the lane whose turn is next comes first."""

    def are(self, lanes: Iterable[Lane]) -> None:
        """Set the lanes that have no owner now."""
        now = set(lanes)
        self._looked = {lane: position for lane, position in self._looked.items() if lane in now}
        for lane in now - self._looked.keys():
            self._looked[lane] = LANE_START

    async def round(self) -> int:
        """Read the next deliveries, and make those due that have another destination. Returns how many. Raises
        Unavailable."""
        left, lanes, moved = PAGE, len(self._looked), 0
        while left > 0 and lanes > 0:
            some = list(islice(self._looked, min(lanes, LANES_AT_ONCE)))
            lanes -= len(some)
            found = await self._look_into(some, max(1, left // len(some)))
            left -= len(found)
            await self._dispatcher.prepare([waiting for waiting, _ in found])
            leaving = [(waiting, lane) for waiting, lane in found if self._dispatcher.has_left(waiting, lane)]
            if leaving:
                moved += await self._journal.scheduling.leave_lanes(*zip(*leaving, strict=True))
        self.moved += moved
        if moved:
            log.info("mail leaves lanes that have no owner deliveries=%d", moved)
        return moved

    async def _look_into(self, lanes: Sequence[Lane], each: int) -> list[tuple[DueDelivery, Lane]]:
        """The next deliveries of these lanes, each with its lane. The lanes move to the end of the order."""
        positions = {lane: self._looked[lane] for lane in lanes}
        found = await self._journal.scheduling.parked_in(positions, each)
        for lane in lanes:
            some = found[lane]
            end = LanePosition(some[-1].message_id, some[-1].recipient_no) if len(some) == each else LANE_START
            if self._looked.pop(lane, None) is not None:
                self._looked[lane] = end
        return [(waiting, lane) for lane, some in found.items() for waiting in some]
