"""A semaphore that is handed on in constant time, first come, first served.

At each release asyncio.Semaphore looks through the waiters that it has woken and that have not run yet: with a thousand
names waiting for the DNS that costs more than the questions.
"""

import asyncio
from collections import deque


class Semaphore:
    """``async with semaphore:`` waits for one of ``permits``, and gives it back."""

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
                self._release()  # it was given at the moment of the cancelling
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
