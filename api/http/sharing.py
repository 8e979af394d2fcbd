"""Sharing between tenants: of something that there is only so much of (memory, a worker), and of the event loop's time.

Tenants get their turns one after the other, so none waits for all that another has asked for.
"""

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster.intake.backpressure import Overloaded

MOST_WAITING = 64
"""Of one tenant, for one thing."""
TOO_MANY = "Too many large requests at once; try again later"


class FairShare:
    """``total`` of something, of which one tenant may hold ``most_each`` at a time. Who finds none left waits."""

    def __init__(self, total: int, most_each: int, max_wait_s: float, too_many: str = TOO_MANY) -> None:
        """``too_many`` is said to who waited ``max_wait_s`` in vain."""
        self._too_many = too_many
        self._total = self._free = total
        self._most_each = most_each
        self._max_wait_s = max_wait_s
        self._held: defaultdict[str, int] = defaultdict(int)
        self._waiting: OrderedDict[str, deque[tuple[int, asyncio.Future[None]]]] = OrderedDict()

    @asynccontextmanager
    async def hold(self, tenant_id: str, amount: int) -> AsyncIterator[None]:
        """Have ``amount`` of it. Raises Overloaded when it does not become free in time."""
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
        """Give what is free to those who wait, a tenant after the other. Who needs more than is free keeps the rest of
        them waiting, or it would never come to have it; who has its share does not."""
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
"""Of the event loop, between two turns: a small request takes about as many from its first byte to its answer, and so
meets one turn of another, or two. Where nothing else is to be done they take some microseconds."""


class LoopTurns:
    """Turns at holding the event loop for some milliseconds, with rounds of the loop between them for what takes
    less."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._busy = False
        """Whether a turn was given away a short time ago."""
        self._rounds = 0
        """Until the next one."""

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
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                self._rounds = ROUNDS
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._busy = False
