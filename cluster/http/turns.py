"""How many requests start in one iteration of the event loop, and which are next.

Thousands of connections can be ready at once. Their requests start a few at a time, so that the loop returns to other
ready work, and a health check does not wait behind all of them.
"""

import asyncio
from collections.abc import Callable

from cluster.policy.limits.fairness import FairQueue

AT_ONCE = 64
"""While fewer requests than this are in progress, a further one starts without waiting."""
PER_TURN = 16
"""Requests of each kind, health checks and others, that start in one loop iteration."""


class ConnectionTurns:
    """The requests that wait: health checks separate from others, and within each kind the addresses take turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # By address; no address is held.
        self._health: FairQueue[Callable[[], None]] = FairQueue()
        self._others: FairQueue[Callable[[], None]] = FairQueue()
        self.waiting = False
        """Whether any request waits, or one has just been started."""

    def wait(self, address: str, begin: Callable[[], None], *, health: bool) -> None:
        """Call ``begin`` when its turn comes."""
        (self._health if health else self._others).push(address, begin)
        if not self.waiting:
            self.waiting = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        ready = [*_first(self._health), *_first(self._others)]
        for begin in ready:
            begin()
        self.waiting = bool(ready)
        if ready:
            self._loop.call_soon(self._next)


def _first(line: FairQueue[Callable[[], None]]) -> list[Callable[[], None]]:
    """Remove and return the items whose turn it is."""
    return [line.pop()[0] for _ in range(min(PER_TURN, len(line)))]
