"""Measures how full the system is, so that a request can be refused before it is read.

A short backlog is counted. A long one is Postgres' own count of inserts and deletes, which is read in constant time,
lags by a few seconds at most, and costs no extra writes. (``reltuples`` is as old as the last vacuum, the cost of
``count(*)`` grows with the queue, and a counter of our own would cost a write for each outcome.) Postgres loses the
count when it crashes, so it is estimated again, from a sample of bounded size, each time the journal was unavailable.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from cluster.journal.journal import Unavailable
from cluster.metrics import Gauge
from cluster.policy.backpressure import LoadBounds, MeasuredLoad, why_full

log = logging.getLogger(__name__)

LOOK_S = 1.0
MIB = 1024 * 1024
RETRY_AFTER_S = 5
"""Default Retry-After: long enough for a restarted Postgres to answer."""
FULL_RETRY_AFTER_S = 30
"""Retry-After while the system is full: a queue or a disk takes longer to empty than a server to restart."""

WhyFull = Callable[[], str | None]
"""Returns the reason why no request is accepted now; None while there is room."""


def never_full() -> str | None:
    """The default for an intake without a ``Watch``."""
    return None


class Overloaded(Exception):
    """A limit was reached; the same request may succeed later. ``detail`` is shown to the client."""

    def __init__(self, detail: str, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(detail, retry_after_s)
        self.detail = detail
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.detail


class Watch:
    """Measures the load every ``LOOK_S`` seconds and decides whether the system is full."""

    refusing = Gauge(
        "postray_intake_is_full", "1 while nothing is taken.", lambda watch: int(watch._why_full is not None)
    )

    def __init__(
        self,
        bounds: LoadBounds,
        *,
        backlog: Callable[[], Awaitable[int]],
        count_backlog: Callable[[], Awaitable[None]],
        journal_dir: Path | None,
    ) -> None:
        """``count_backlog`` makes Postgres estimate the count again. ``journal_dir`` is on the journal's disk; None
        when that disk belongs to another machine."""
        self._bounds = bounds
        self._backlog = backlog
        self._count_backlog = count_backlog
        self._journal_dir = journal_dir
        self._out_of_sight = True
        self._load = MeasuredLoad()
        self._why_full: str | None = None

    def why_full(self) -> str | None:
        """The reason for refusing requests, as of the last measurement; None while there is room."""
        return self._why_full

    async def run(self) -> None:
        """Measure periodically until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Measure and decide. A value that cannot be measured is logged and counts as unknown."""
        self._load = MeasuredLoad(backlog=await self._measure_backlog(), free_disk_mb=await self._free_disk_mb())
        found = why_full(self._load, self._bounds)
        if (found is None) != (self._why_full is None):
            log.log(logging.WARNING if found else logging.INFO, "refusing=%r", found)
        self._why_full = found

    async def _measure_backlog(self) -> int | None:
        if not self._bounds.backlog:
            return None
        try:
            if self._out_of_sight:
                await self._count_backlog()
                self._out_of_sight = False
            return await self._backlog()
        except Unavailable as error:
            self._out_of_sight = True
            log.warning("backlog not measured reason=%r", error.reason)
            return None

    async def _free_disk_mb(self) -> int | None:
        if self._journal_dir is None or not self._bounds.free_disk_mb:
            return None
        try:
            return (await asyncio.to_thread(shutil.disk_usage, self._journal_dir)).free // MIB
        except OSError as error:
            log.warning("free disk not measured reason=%r", error)
            return None
