"""The turns of a site's messages under its rate, over all of its connections."""

import asyncio

from actors.delivery.pool_group import QueuedJob
from actors.delivery.throttle import Throttle

LOOK_S = 0.5
"""What waits for a turn looks so often whether the rate is another by now, or whether it was taken back."""


class RateTurns:
    """One after the other, each by the clock as it is then: a process that was held up must not begin all at once what
    it has missed."""

    __slots__ = ("_lock", "_throttle", "waiting")  # there is one for each site

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._lock = asyncio.Lock()
        self.waiting: dict[QueuedJob, None] = {}  # an empty set is three times as large

    async def take(self, queued: QueuedJob) -> bool:
        """Whether its turn has come; False when it was taken back before."""
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
