"""How many requests are begun in one turn of the event loop, and whose are next.

Thousands of connections can be ready at once. What they ask for is begun a few at a time, so that the loop comes back
to what else is ready, and a health check is not behind all of it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

AT_ONCE = 64
"""Requests under way, below which a further one is begun without a wait."""
PER_TURN = 16
"""Requests of each kind, health checks and others, that are begun in one turn of the loop."""


class Turns:
    """Who waits for the next turn: health checks apart from all others, and of each kind the addresses in turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._health = _Line()
        self._others = _Line()
        self.waiting = False
        """Whether anything waits, or a turn has just been given away."""

    def wait(self, address: str, begin: Callable[[], None], *, health: bool) -> None:
        """Call ``begin`` when it is its turn."""
        (self._health if health else self._others).add(address, begin)
        if not self.waiting:
            self.waiting = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        begun = self._health.begin(PER_TURN) + self._others.begin(PER_TURN)
        self.waiting = begun > 0
        if begun:
            self._loop.call_soon(self._next)


class _Line:
    """Of one kind, by address."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()

    def add(self, address: str, begin: Callable[[], None]) -> None:
        waiting = self._by_address.get(address)
        if waiting is None:
            waiting = self._by_address[address] = deque()
        waiting.append(begin)

    def begin(self, most: int) -> int:
        """Begin up to so many; how many there were."""
        for begun in range(most):
            if not self._by_address:
                return begun
            address, waiting = self._by_address.popitem(last=False)
            begin = waiting.popleft()
            if waiting:
                self._by_address[address] = waiting
            begin()
        return most
