"""Standing in for the scheduler: while there is none, each API process pages in what is due (``paging.py``), so that
mail with a send time, and what is to be tried again, does not wait until the scheduler has moved or has been started
again. Both take many seconds on a busy machine.

The journal tells whether there is a scheduler: its sessions hold the lock of its kind (``cluster/journal/fence.py``).
What else it does for the cluster may wait, lists of what is parked too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from cluster.journal.journal import Unavailable
from cluster.metrics import Counter
from cluster.routing.paging import Paging
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

LOOK_S = 1.0
LOOKS = 3
"""Looks in turn that find no scheduler before it is stood in for: at a start, an API process may be ready a moment
before the scheduler is."""
STARTING_S = 5.0
"""A scheduler holds its lock before it begins: for so long both page in."""
OUT_S = 1.0
"""After paging has crashed, nothing is paged in here for so long; each time twice as long."""
OUT_AT_MOST_S = 60.0


class StandingIn:
    """``is_there`` returns whether there is a scheduler, and raises Unavailable.

    A defect of paging ends no process here, as it does in the scheduler: what is due is the same for all API processes,
    and a row that breaks paging would end one after the other, and with them the intake.
    """

    stood_in = Counter("postray_stood_in_total", "Times that this process began to page in for want of a scheduler.")

    def __init__(self, paging: Paging, is_there: Callable[[], Awaitable[bool]]) -> None:
        self._paging = paging
        self._is_there = is_there
        self._tasks = Tasks(self._on_crash)
        self._is_on = self._has_crashed = False
        self._missed = 0
        """Looks in turn that found no scheduler."""
        self._until = 0.0
        """While it is on: the loop time until which it pages in."""
        self._out_until = 0.0
        self._out_s = OUT_S

    async def run(self) -> None:
        """Look every second, and page in while there is none; until cancelled, and then ``stop`` follows."""
        while True:
            if self._has_crashed:
                await self._stay_out()
            try:
                await self._look(await self._is_there())
            except Unavailable as error:
                log.warning("not known whether there is a scheduler reason=%r", error.reason)
            await asyncio.sleep(LOOK_S)

    async def _look(self, is_there: bool) -> None:
        now = asyncio.get_running_loop().time()
        if is_there:
            self._missed, self._out_until, self._out_s = 0, 0.0, OUT_S
            if self._is_on and now >= self._until:
                log.info("there is a scheduler again")
                await self.stop()
            return
        self._missed += 1
        self._until = now + STARTING_S
        if not self._is_on and self._missed >= LOOKS and now >= self._out_until:
            log.warning("there is no scheduler: this process pages in what is due")
            self._is_on = True
            self.stood_in += 1
            self._paging.begin(self._tasks)

    async def _stay_out(self) -> None:
        await self.stop()
        self._has_crashed = False
        self._out_until = asyncio.get_running_loop().time() + self._out_s
        self._out_s = min(2 * self._out_s, OUT_AT_MOST_S)

    def _on_crash(self, name: str, error: BaseException) -> None:
        log.critical("task crashed, no longer standing in task=%s out_s=%g", name, self._out_s, exc_info=error)
        self._has_crashed = True

    async def stop(self) -> None:
        if self._is_on:
            await self._paging.end()
            await self._tasks.stop()
            self._is_on = False
