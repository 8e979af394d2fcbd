"""How many deliveries are parked in each lane, counted in the background: a lane of 100,000 takes Postgres some 10 ms.

Whatever there is to count, it takes at most a small part of the time; so with many long lanes the counts are older.
"""

import asyncio
import logging
from collections.abc import Callable

from cluster.journal.journal import Unavailable
from cluster.journal.queue_control import QueueControl

log = logging.getLogger(__name__)

EVERY_S = 10.0
SHARE = 0.02
"""Of the time, at most."""
AT_ONCE = 20
"""Lanes in one statement."""


class ParkedCounts:
    """``clock``: monotonic seconds."""

    def __init__(self, queue: QueueControl, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._clock = clock
        self.counts: dict[str, int] = {}
        """By lane, as of the last look at each."""

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("parked deliveries not counted reason=%r", error.reason)
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """Count each lane once. Raises Unavailable."""
        lanes = await self._queue.lane_names()
        self.counts = {lane: count for lane, count in self.counts.items() if lane in set(lanes)}
        for first in range(0, len(lanes), AT_ONCE):
            some = lanes[first : first + AT_ONCE]
            began = self._clock()
            found = await self._queue.parked_in(some)
            took_s = self._clock() - began
            self.counts |= {lane: found.get(lane, 0) for lane in some}
            await asyncio.sleep(took_s / SHARE)
