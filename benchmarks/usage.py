"""The resources of each part of a running system: CPU seconds, and peak memory.

It observes the processes from outside, so it needs nothing from them. An observation costs a millisecond. Finding new
processes costs ten, and the proportional size up to a hundred, because the kernel walks page tables for it while it
blocks the process. So this is done at the end, when its cost is no longer counted, and rarely before.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import psutil
from msgspec import Struct

from benchmarks.records import Usage

LOOK_S = 1.0
FIND_EVERY = 3
"""After this many observations, look for new processes."""
DEEP_EVERY = 20
"""After this many observations, read the proportional size."""

Parts = Callable[[], Mapping[str, Sequence[int]]]
"""The current pids of each part."""


class _Seen(Struct, kw_only=True):
    """One observed process."""

    part: str
    process: psutil.Process
    cpu_before_s: float
    cpu_s: float
    resident: int = 0
    proportional: int = 0


class ProcessWatch:
    """Watches the processes of ``parts`` from ``start`` to ``stop``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: dict[int, _Seen] = {}
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._seen, self._began = {}, time.time()
        await asyncio.to_thread(self._find)
        self._task = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> dict[str, Usage]:
        """The resources of each part since ``start``."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        for look in (self._find, self._look, self._look_deep):
            await asyncio.to_thread(look)
        return usages(self._seen.values())

    async def _look_for_ever(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(LOOK_S)
            looks += 1
            if looks % FIND_EVERY == 0:
                await asyncio.to_thread(self._find)
            await asyncio.to_thread(self._look)
            if looks % DEEP_EVERY == 0:
                await asyncio.to_thread(self._look_deep)

    def _look(self) -> None:
        for seen in self._seen.values():
            # For an ended process, the last values remain.
            with suppress(psutil.Error), seen.process.oneshot():
                times = seen.process.cpu_times()
                seen.cpu_s = times.user + times.system
                seen.resident = max(seen.resident, seen.process.memory_info().rss)

    def _look_deep(self) -> None:
        for seen in self._seen.values():
            with suppress(psutil.Error):
                seen.proportional = max(seen.proportional, seen.process.memory_full_info().pss)

    def _find(self) -> None:
        try:
            parts = self._parts()
        except psutil.Error:
            return  # postray is being stopped
        for part, pids in parts.items():
            for pid in pids:
                if pid in self._seen:
                    continue
                try:
                    process = psutil.Process(pid)
                    times = process.cpu_times()
                    born_meanwhile = process.create_time() >= self._began
                except psutil.Error:
                    continue
                spent = times.user + times.system
                before = 0.0 if born_meanwhile else spent
                self._seen[pid] = _Seen(part=part, process=process, cpu_before_s=before, cpu_s=spent)


def usages(seen: Iterable[_Seen]) -> dict[str, Usage]:
    """By part: the CPU of all its processes, the memory of its largest one."""
    by_part: dict[str, list[_Seen]] = defaultdict(list)
    for one in seen:
        by_part[one.part].append(one)
    return {
        part: Usage(
            cpu_s=round(sum(one.cpu_s - one.cpu_before_s for one in ones), 3),
            peak_resident_mb=round(max(one.resident for one in ones) / 2**20, 1),
            peak_proportional_mb=round(max(one.proportional for one in ones) / 2**20, 1),
            processes=len(ones),
        )
        for part, ones in sorted(by_part.items())
    }
