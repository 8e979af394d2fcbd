"""How many deliveries are parked in lanes, for pages and lists that must not read the queue: a lane that holds little
is counted, and of one that holds more the flight recorder knows its last count (actors/sampling/lanes.py)."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from cluster.journal.queue_control import QueueControl
from cluster.peers import Call, PeerGone, call_within
from cluster.policy.routes.destinations import parse
from cluster.topology import RECORDER

log = logging.getLogger(__name__)

COUNTED = 100
"""In a lane. With all lanes that are looked at, 100,000 entries of an index: some 20 ms."""
ANSWER_S = 1.0
KEPT_S = 10.0
"""For so long the recorder's answer is used again, and a recorder that had none is not asked again: while it is silent,
an operator does not wait for it with each page."""


class Parked:
    """``call`` calls other actors."""

    def __init__(self, queue: QueueControl, call: Call, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._call = call
        self._clock = clock
        self._known: Mapping[str, int] = {}
        self._until = float("-inf")
        self._asking = asyncio.Lock()

    async def in_lanes(self, lanes: Sequence[str], part: str = "") -> dict[str, int]:
        """In these lanes, and in the first others of sites whose names contain ``part``. More than ``COUNTED`` is as
        old as the recorder's last look at the lane, and up to KEPT_S; without the recorder, it is ``COUNTED``. Raises
        Unavailable."""
        others = (lane for lane in await self._queue.lane_names() if not part or _is_of(lane, part))
        found = await self._queue.parked_in(sorted({*lanes, *others}), COUNTED)
        if any(count >= COUNTED for count in found.values()):
            known = await self._recorded()
            found |= {lane: max(count, known.get(lane, 0)) for lane, count in found.items() if count >= COUNTED}
        return found

    async def _recorded(self) -> Mapping[str, int]:
        async with self._asking:
            if self._clock() >= self._until:
                self._known = await self._asked()
                self._until = self._clock() + KEPT_S
            return self._known

    async def _asked(self) -> Mapping[str, int]:
        try:
            known: Mapping[str, int] = await call_within(ANSWER_S, self._call, RECORDER, "parked")
        except (PeerGone, AttributeError) as error:  # an actor of an earlier release does not know the method
            log.warning("the recorder's counts of lanes are missing reason=%r", str(error))
            return {}
        return known


def _is_of(lane: str, part: str) -> bool:
    place = parse(lane)
    return place is not None and part in place.site
