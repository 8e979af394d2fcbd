"""A first-in, first-out semaphore whose release takes constant time.

At each release, asyncio.Semaphore scans the waiters that it has woken and that have not run yet. With a thousand names
waiting for the DNS, that costs more than the queries.
"""

import asyncio
from collections import deque


class Semaphore:
    """``async with semaphore:`` acquires one of ``permits`` and releases it."""

    def __init__(self, permits: int) -> None:
        self._free = permits
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        permit = asyncio.get_running_loop().create_future()
        self._waiting.append(permit)
        try:
            await permit
        except asyncio.CancelledError:
            if not permit.cancelled():
                self._release()  # the permit was granted before the cancellation arrived
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        while self._waiting:
            permit = self._waiting.popleft()
            if not permit.done():
                permit.set_result(None)
                return
        self._free += 1
