"""The scheduler: pages due work out of the journal and offers it to its owners.

One mechanism for all that is due later: send_at, retries, what found no room, what a dead owner left. Several may
run: rows are taken with SKIP LOCKED. It holds nothing between two rounds.
"""

import asyncio
import logging
from collections.abc import Callable

from actors.dispatch import Dispatcher
from cluster.journal.records import Waiting
from cluster.journal.store import Journal, Unavailable
from cluster.settings import DeliverySettings
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

PAGE = 1000
IDLE_S = 0.2
"""How often it looks when nothing was due: well under the second that a due message may wait."""
REFUSED_S = 1.0
"""What found no room is looked at again after this."""
UNAVAILABLE_S = 1.0


class Scheduler:
    """Collaborators: the journal it pages from and the dispatcher that knows the owners."""

    def __init__(
        self,
        journal: Journal,
        dispatcher: Dispatcher,
        settings: DeliverySettings,
        make_tasks: Callable[[], Tasks] = Tasks,
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._settings = settings
        self._tasks = make_tasks()
        self._problem: str | None = None

    async def start(self) -> None:
        await self._dispatcher.refresh()
        self._tasks.spawn("members", self._dispatcher.keep_fresh())
        self._tasks.spawn("paging", self._run())

    async def problem(self) -> str | None:
        return self._problem

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            try:
                paged = await self.round()
                self._problem = None
            except Unavailable as error:
                self._problem = f"journal unavailable: {error.reason}"
                log.warning("round failed reason=%r", error.reason)
                await asyncio.sleep(UNAVAILABLE_S)
                continue
            if paged < PAGE // 2:
                await asyncio.sleep(IDLE_S)

    async def round(self) -> int:
        """Page in what is due and has room; returns how many deliveries found an owner. Raises Unavailable."""
        if not self._dispatcher.members or not await self._journal.anything_due():
            return 0
        limit = min(PAGE, await self._dispatcher.room())
        if limit == 0:
            return 0
        leased = await self._journal.page_in(limit, self._settings.lease_s, self._epoch_of)
        if not leased:
            return 0
        deliveries = [waiting for _, waiting in leased]
        refused = await self._dispatcher.offer(deliveries, {})
        if refused:
            await self._journal.release(refused, REFUSED_S)
        log.debug("paged in deliveries=%d refused=%d", len(deliveries), len(refused))
        return len(deliveries) - len(refused)

    def _epoch_of(self, waiting: Waiting) -> int:
        return self._dispatcher.owner_of(waiting).epoch
