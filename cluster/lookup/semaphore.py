"""At most so many at a time, in the order of coming.

asyncio.Semaphore looks through all who wait for each who goes: with a thousand names waiting for the DNS that costs
more than the questions.
"""

import asyncio
from collections import deque


class Gate:
    """``async with gate:`` waits for a place, and gives it back. ``at_once``: how many places there are."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._pass_on()  # it was given at the moment of the cancelling
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
