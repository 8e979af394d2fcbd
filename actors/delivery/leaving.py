"""Stopping a delivery actor: what no host has in full is given back at once; for the rest it waits for replies.

A host that has a message in full and has not replied may have accepted it. Aborting there may send it twice.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from actors.delivery.composing import ComposeOrder
from actors.delivery.giving_back import GivingBack
from actors.delivery.job import Job
from actors.delivery.large import LargeMessages
from actors.delivery.sites import Sites
from cluster.journal.journal import Unavailable

log = logging.getLogger(__name__)

LOOK_S = 0.05
QUIT_S = 1.0
"""Timeout for closing the connections with QUIT."""


class Leaving:
    """``wait_s``: how long to wait for replies. ``clock``: monotonic seconds."""

    def __init__(
        self,
        giving_back: GivingBack,
        sites: Sites,
        large: LargeMessages,
        *,
        wait_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._giving_back = giving_back
        self._sites = sites
        self._large = large
        self._wait_s = wait_s
        self._clock = clock
        self._is_hurried = False

    def hurry(self) -> None:
        """Stop waiting for replies."""
        self._is_hurried = True

    def unanswered(self) -> Counter[str]:
        """How many messages wait for a reply, by host."""
        return Counter(host for site in self._sites for host in site.pool.unanswered())

    async def finish(self) -> None:
        """Wait, for a bounded time, until nothing is on the wire, and close the connections."""
        until = self._clock() + self._wait_s
        while True:
            await self._give_back_unsent()
            unanswered = self.unanswered()
            if not unanswered:
                break
            if self._is_hurried or self._clock() >= until:
                log.warning("stopped without the answers of hosts messages=%s", dict(unanswered))
                for site in self._sites:
                    site.pool.give_up()
                break
            await asyncio.sleep(LOOK_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIT_S):
                await asyncio.gather(*(site.pool.drain() for site in self._sites))

    async def _give_back_unsent(self) -> None:
        """Give back what is claimed and not sent in full, including what claims under way have submitted since."""
        jobs: list[Job | ComposeOrder] = list(self._large.take_back())
        for site in self._sites:
            jobs += site.pool.stop()
        if not jobs:
            return
        try:
            await self._giving_back.claimed(jobs)
        except Unavailable as error:  # each heartbeat tries again
            log.warning("not given back jobs=%d reason=%r", len(jobs), error.reason)
