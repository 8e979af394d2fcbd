"""How many requests are begun in one turn of the event loop, and whose are next.

Thousands of connections can be ready at once. What they ask for is begun a few at a time, so that the loop comes back
to what else is ready, and a health check is not behind all of it.
"""

import asyncio
from collections.abc import Callable

from cluster.policy.limits.fairness import FairQueue

AT_ONCE = 64
"""Requests under way, below which a further one is begun without a wait."""
PER_TURN = 16
"""Requests of each kind, health checks and others, that are begun in one turn of the loop."""


class Turns:
    """Who waits for the next turn: health checks apart from all others, and of each kind the addresses in turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # By address; nothing is held back in them.
        self._health: FairQueue[Callable[[], None]] = FairQueue()
        self._others: FairQueue[Callable[[], None]] = FairQueue()
        self.waiting = False
        """Whether anything waits, or a turn has just been given away."""

    def wait(self, address: str, begin: Callable[[], None], *, health: bool) -> None:
        """Call ``begin`` when it is its turn."""
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
    """Those whose turn it is, taken out."""
    return [line.pop()[0] for _ in range(min(PER_TURN, len(line)))]
