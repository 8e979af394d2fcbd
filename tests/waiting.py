"""How a test waits until something has happened, and how long before it looks again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

FIRST_S = 0.01
LONGER = 1.2


def pauses(most_s: float = 0.2) -> Iterator[float]:
    """Seconds before each look: short ones at first, then about a sixth of the time that has passed. A look often takes
    more CPU than what is waited for: a query, or a call of the API with several."""
    pause = FIRST_S
    while True:
        yield pause
        pause = min(pause * LONGER, most_s)


async def until(holds: Callable[[], bool | Awaitable[bool]], most_s: float = 30.0) -> None:
    """Look again and again until this holds. Raises TimeoutError."""
    async with asyncio.timeout(most_s):
        for pause in pauses():
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(pause)
