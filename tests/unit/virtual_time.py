"""An event loop whose clock is its own: it jumps to the next timer as soon as there is nothing else to do.

So a test sees minutes pass, in order and to the microsecond, without waiting for them.
"""

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

_TICK_S = 1e-9
"""Passes with each round of the loop: no clock stands still."""


class _Selector(selectors.DefaultSelector):
    """Never waits: where a loop would, the time passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nothing will ever happen any more")
        # After half a year, the tick is less than the distance of two floats.
        self.now = max(self.now + max(_TICK_S, timeout), math.nextafter(self.now, math.inf))
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def pass_by(self, seconds: float) -> None:
        """As when the process is paused for so long."""
        self._jumping.now += seconds


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in such a loop."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(_until_done(test(*args, **kwargs)))

    return run


async def _until_done(work: Awaitable[None]) -> None:
    await work


async def settle() -> None:
    """Run everything that can run without time passing."""
    await asyncio.sleep(1e-6)
