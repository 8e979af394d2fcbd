"""What a process that takes requests or mail from outside does while its node drains (``postray drain``): it closes
what it listens on, finishes what it has accepted, and tells the journal so. When the node drains no more, a new process
listens again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from cluster.journal.journal import Unavailable
from cluster.tasks import end_for_restart

log = logging.getLogger(__name__)

DRAINING_S = 1.0


class Draining:
    """``is_draining`` returns whether this node drains; ``close`` takes nothing more, and returns when what was
    accepted is finished; ``tell_closed`` tells the journal, then. ``begin_anew`` ends this process, for Ray to start it
    again."""

    def __init__(
        self,
        is_draining: Callable[[], Awaitable[bool]],
        close: Callable[[], Awaitable[None]],
        tell_closed: Callable[[], Awaitable[None]],
        begin_anew: Callable[[], None] = end_for_restart,
    ) -> None:
        self._is_draining = is_draining
        self._close = close
        self._tell_closed = tell_closed
        self._begin_anew = begin_anew
        self.is_closed = False

    async def follow(self) -> None:
        """Follow the journal until cancelled, or until the process begins anew.

        While the node drains, the journal is told at each look: a node that was brought back and drained again between
        two looks is a new one for it.
        """
        while True:
            await asyncio.sleep(DRAINING_S)
            try:
                is_draining = await self._is_draining()
                if is_draining and not self.is_closed:
                    self.is_closed = True
                    log.info("the node is leaving: nothing more is taken from outside")
                    await self._close()
                if is_draining:
                    await self._tell_closed()
            except Unavailable as error:
                log.warning("draining not known reason=%r", error.reason)
                continue
            if self.is_closed and not is_draining:
                log.info("the node stays: the process begins anew")
                self._begin_anew()
                return
