"""Standing in for the scheduler: while there is none, each API process pages in what is due (``paging.py``), so that
mail with a send time, and what is to be tried again, does not wait until the scheduler has moved or has been started
again. Both take many seconds on a busy machine.

The journal tells whether there is a scheduler: its sessions hold the lock of its kind (``cluster/journal/fence.py``).
What else it does for the cluster may wait.
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
STARTING_S = 5.0
"""A scheduler holds its lock before it begins: for so long both page in."""


class StandingIn:
    """``is_there`` returns whether there is a scheduler, and raises Unavailable."""

    stood_in = Counter("postray_stood_in_total", "Times that this process began to page in for want of a scheduler.")

    def __init__(
        self, paging: Paging, is_there: Callable[[], Awaitable[bool]], make_tasks: Callable[[], Tasks] = Tasks
    ) -> None:
        self._paging = paging
        self._is_there = is_there
        self._tasks = make_tasks()
        self._is_on = False

    async def run(self) -> None:
        """Look every second, and page in while there is none; until cancelled, and then ``stop`` follows."""
        clock = asyncio.get_running_loop().time
        until = clock()
        while True:
            try:
                if not await self._is_there():
                    until = clock() + STARTING_S
                if not self._is_on and clock() < until:
                    log.warning("there is no scheduler: this process pages in what is due")
                    self._is_on = True
                    self.stood_in += 1
                    self._paging.begin(self._tasks)
                elif self._is_on and clock() >= until:
                    log.info("there is a scheduler again")
                    await self.stop()
            except Unavailable as error:
                log.warning("not known whether there is a scheduler reason=%r", error.reason)
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        if self._is_on:
            await self._paging.end()
            await self._tasks.stop()
            self._is_on = False
