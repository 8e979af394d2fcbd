"""Fair sharing between tenants: of a limited amount (memory, a worker), and of the event loop's time.

Tenants take turns (round robin), so a tenant does not wait for all requests of another.
"""

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster.intake.backpressure import Overloaded

MOST_WAITING = 64
"""The most requests of one tenant that may wait for one ``FairShare``."""
TOO_MANY = "Too many large requests at once; try again later"


class FairShare:
    """A fair semaphore: ``total`` units, of which one tenant may hold ``most_each`` at a time."""

    def __init__(self, total: int, most_each: int, max_wait_s: float, too_many: str = TOO_MANY) -> None:
        """``too_many`` is the error text after ``max_wait_s`` without a grant."""
        self._too_many = too_many
        self._total = self._free = total
        self._most_each = most_each
        self._max_wait_s = max_wait_s
        self._held: defaultdict[str, int] = defaultdict(int)
        self._waiting: OrderedDict[str, deque[tuple[int, asyncio.Future[None]]]] = OrderedDict()

    @asynccontextmanager
    async def hold(self, tenant_id: str, amount: int) -> AsyncIterator[None]:
        """Hold ``amount`` units, at most the total. Raises Overloaded when they do not become free in time, or when too
        many requests of the tenant wait."""
        amount = min(amount, self._total)
        await self._take(tenant_id, amount)
        try:
            yield
        finally:
            self._give_back(tenant_id, amount)

    async def _take(self, tenant_id: str, amount: int) -> None:
        amounts = self._waiting.setdefault(tenant_id, deque())
        if len(amounts) >= MOST_WAITING:
            raise Overloaded(self._too_many)
        granted = asyncio.get_running_loop().create_future()
        amounts.append((amount, granted))
        self._grant()
        try:
            await asyncio.wait((granted,), timeout=self._max_wait_s)
        except asyncio.CancelledError:
            if granted.done():
                self._give_back(tenant_id, amount)
            else:
                self._forget(tenant_id, (amount, granted))
            raise
        if not granted.done():
            self._forget(tenant_id, (amount, granted))
            raise Overloaded(self._too_many)

    def _give_back(self, tenant_id: str, amount: int) -> None:
        self._free += amount
        self._held[tenant_id] -= amount
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        self._grant()

    def _grant(self) -> None:
        """Grant free units to waiting requests, tenant by tenant. A request that needs more than is free blocks the
        others, because it would starve otherwise; a tenant that has reached its share does not block them."""
        refused = 0
        while refused < len(self._waiting):
            tenant_id, amounts = next(iter(self._waiting.items()))
            self._waiting.move_to_end(tenant_id)
            amount, granted = amounts[0]
            held = self._held.get(tenant_id, 0)
            if held and held + amount > self._most_each:
                refused += 1
                continue
            if amount > self._free:
                self._waiting.move_to_end(tenant_id, last=False)
                return
            self._free -= amount
            self._held[tenant_id] += amount
            granted.set_result(None)
            self._forget(tenant_id, amounts[0])
            refused = 0

    def _forget(self, tenant_id: str, waiter: tuple[int, asyncio.Future[None]]) -> None:
        amounts = self._waiting[tenant_id]
        amounts.remove(waiter)
        if not amounts:
            del self._waiting[tenant_id]


ROUNDS = 16
"""Iterations of the event loop between two turns. A small request takes about as many from its first byte to its
response, so it waits for one or two turns. While the loop is idle they take some microseconds."""


class LoopTurns:
    """Gives turns for work that holds the event loop for some milliseconds, with iterations of the loop between them
    for shorter work."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._busy = False
        """Whether a turn was given recently."""
        self._rounds = 0
        """Iterations until the next turn."""

    async def turn(self, tenant_id: str) -> None:
        """Return when it is this tenant's turn."""
        loop = asyncio.get_running_loop()
        if not self._busy:
            self._busy = True
            self._rounds = ROUNDS
            loop.call_soon(self._next)
            return
        turn = loop.create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        await turn

    def _next(self) -> None:
        if self._rounds:
            self._rounds -= 1
            asyncio.get_running_loop().call_soon(self._next)
            return
        while self._waiting:
            tenant_id, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[tenant_id] = turns
            if not turn.done():  # done: its request was cancelled
                turn.set_result(None)
                self._rounds = ROUNDS
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._busy = False
