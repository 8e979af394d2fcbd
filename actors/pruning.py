"""Deletes bodies and records before their time, where an operator asks for it; it may take minutes, so it goes on in
the background and is asked how far it is."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date

from cluster.journal.journal import Unavailable
from cluster.policy.storage import Pruned
from cluster.tasks import Tasks

AGAIN_S = 1.0
"""After this it is tried again, while partitions are rewritten already."""


class Pruning:
    """``prune`` deletes what is of days before a day; it returns the bytes that this has freed, None while another
    rewrite is under way."""

    def __init__(self, prune: Callable[[date], Awaitable[int | None]], tasks: Tasks) -> None:
        self._prune = prune
        self._tasks = tasks
        self._name = ""
        self._state = Pruned(state="done")

    def step(self, name: str, before: date) -> Pruned:
        """Begin under a new name, or say how far what has this name is."""
        if name != self._name:
            if self._state.state == "running":
                return Pruned(state="failed", reason="another prune is under way")
            self._name, self._state = name, Pruned(state="running")
            self._tasks.spawn("pruning", self._run(before))
        return self._state

    async def _run(self, before: date) -> None:
        try:
            while (freed_bytes := await self._prune(before)) is None:
                await asyncio.sleep(AGAIN_S)
        except Unavailable as error:
            self._state = Pruned(state="failed", reason=error.reason)
        else:
            self._state = Pruned(state="done", freed_bytes=freed_bytes)
