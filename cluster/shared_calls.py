"""Calls that are under way, by key: callers that ask for the same share one call."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cluster.tasks import end_all

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedCalls(Generic[K, V]):
    """One call a key at a time. A caller that is cancelled does not end the call for the others."""

    def __init__(self, keep: Callable[[K, V], None] | None = None) -> None:
        """``keep`` gets each result, unless its key was forgotten meanwhile."""
        self._keep = keep
        self._running: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, key: K) -> bool:
        return key in self._running

    async def get(self, key: K, call: Callable[[K], Awaitable[V]]) -> V:
        """The result of ``call`` for the key. Raises what the call raises."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._run(key, call))
        return await asyncio.shield(task)

    def forget(self, key: K) -> None:
        """What the call under way finds may be outdated: later callers do not wait for it."""
        self._running.pop(key, None)

    def forget_all(self) -> None:
        self._running.clear()

    async def close(self) -> None:
        """Cancel the calls, and wait until they have ended."""
        await end_all(self._running.values())

    async def _run(self, key: K, call: Callable[[K], Awaitable[V]]) -> V:
        own = asyncio.current_task()
        try:
            found = await call(key)
            if self._keep is not None and self._running.get(key) is own:
                self._keep(key, found)
            return found
        finally:
            if self._running.get(key) is own:
                del self._running[key]
