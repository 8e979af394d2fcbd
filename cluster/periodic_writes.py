"""Writes what a process collects in memory from time to time, and once more when it stops."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cluster.tasks import end_all

STOP_S = 1.0


class PeriodicWrites:
    """``write`` writes what was collected since its last call. ``pause_s`` says how long to wait for the next one."""

    def __init__(self, name: str, write: Callable[[], Awaitable[None]], pause_s: Callable[[], float]) -> None:
        """``name`` is that of the task."""
        self._name = name
        self._write = write
        self._pause_s = pause_s
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._running = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Write what was collected, and end."""
        if self._running is not None:
            await end_all([self._running])
            with suppress(TimeoutError):  # a stop does not wait for a journal that is away
                async with asyncio.timeout(STOP_S):
                    await self._write()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s())
            await self._write()
