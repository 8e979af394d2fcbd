"""The turns of a site's messages under its rate, over all of its connections."""

import asyncio

from actors.delivery.pool_group import QueuedJob
from actors.delivery.throttle import Throttle

LOOK_S = 0.5
"""Interval at which a waiting job checks whether the rate has changed or it was taken back."""


class RateTurns:
    """Jobs take turns one after the other, each by the current time: a process that was blocked must not begin all
    missed jobs at once."""

    __slots__ = ("_lock", "_throttle", "waiting")  # there is one for each site

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._lock = asyncio.Lock()
        self.waiting: dict[QueuedJob, None] = {}  # an empty set is three times as large

    async def take(self, queued: QueuedJob) -> bool:
        """Wait for the job's turn. Returns False if it was taken back before."""
        if not self._lock.locked() and self._throttle.message_wait_s() <= 0:
            self._throttle.take_message()
            return True
        self.waiting[queued] = None
        try:
            async with self._lock:
                while not queued.taken and (wait := self._throttle.message_wait_s()) > 0:
                    await asyncio.sleep(min(wait, LOOK_S))
                if not queued.taken:
                    self._throttle.take_message()
        finally:
            del self.waiting[queued]
        return not queued.taken
