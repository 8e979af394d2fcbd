"""Requests with an idempotency key: the first is done, its repeats get the first answer.

api/send and api/submission use it. Twins in one process wait for each other here. Of twins in
several processes the journal lets one commit, and the others find its answer here. A request that fails stores nothing:
its repeat is a first request again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from cluster.intake.backpressure import Overloaded
from cluster.intake.intake import KeyTaken
from cluster.journal.idempotency import FirstAnswer, IdempotencyKey
from cluster.journal.journal import Journal

FIRST_LOOK_S = 0.02
"""Pause before another look for the answer of a twin that another process commits now; it doubles each time."""
LONGEST_PAUSE_S = 0.5
MAX_WAIT_S = 30.0
"""How long a twin in another process may take: as long as a commit may."""
MOST_TWINS = 64
"""The most requests with one key that may wait for each other in a process."""
BUSY = "Another request with this idempotency key is not answered yet; try again later"

T = TypeVar("T")


class KeyReused(Exception):
    """The key names a request with another body."""


class _Turns(asyncio.Lock):
    """The turns of the requests with one key. It exists as long as one of them does."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0


class Idempotency:
    """Does each request with a key once."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._journal = journal
        self._clock = clock
        self._turns: dict[tuple[str, bool, str], _Turns] = {}

    async def once(self, tenant_id: str, key: IdempotencyKey, do: Callable[[], Awaitable[T]]) -> T | FirstAnswer:
        """The result of ``do``, or the answer to the tenant's first request with this key. ``do`` commits a request
        that carries the key, and raises KeyTaken when another took it.

        Raises KeyReused, Overloaded when a twin takes too long, Unavailable, and what ``do`` raises.
        """
        async with self._turn((tenant_id, key.sandbox, key.text)):
            deadline = asyncio.get_running_loop().time() + MAX_WAIT_S
            pause_s = FIRST_LOOK_S
            while True:
                first = await self._journal.idempotency_keys.first_answer(tenant_id, key, self._clock())
                if first is not None:
                    if first.body_sha256 != key.body_sha256:
                        raise KeyReused
                    return first
                try:
                    return await do()
                except KeyTaken:
                    # A process that commits a twin now may also fail to: then the key is free.
                    if asyncio.get_running_loop().time() > deadline:
                        raise Overloaded(BUSY) from None
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    @asynccontextmanager
    async def _turn(self, name: tuple[str, bool, str]) -> AsyncIterator[None]:
        """Hold the turn among this process's requests with one key; first come, first served. Raises Overloaded."""
        turns = self._turns.get(name)
        if turns is None:
            turns = self._turns[name] = _Turns()
        elif turns.requests >= MOST_TWINS:
            raise Overloaded(BUSY)
        turns.requests += 1
        try:
            async with turns:
                yield
        finally:
            turns.requests -= 1
            if not turns.requests:
                del self._turns[name]
