"""Counts how often images are fetched: in memory, and in the journal about once a second."""

import asyncio
import logging
from collections import Counter

from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.periodic_writes import PeriodicWrites

log = logging.getLogger(__name__)

PERIOD_S = 1.0
MOST_KEPT = 20_000
"""The most images whose views are kept while the journal is away; those of further ones are not counted."""


class ViewCounts:
    """The views in this process that are not in the journal yet. A process that is killed loses those of a second."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._views: Counter[str] = Counter()
        self._writing = asyncio.Lock()
        writes = PeriodicWrites("image views", self.write, lambda: PERIOD_S)
        self.start, self.stop = writes.start, writes.stop

    def note(self, id: str) -> None:
        """An image was fetched."""
        if id in self._views or len(self._views) < MOST_KEPT:
            self._views[id] += 1

    async def write(self) -> None:
        """Write what was counted since the last call. While the journal is away it is kept."""
        async with self._writing:  # when it returns, what was counted before the call is written
            if not self._views:
                return
            views, self._views = self._views, Counter()
            try:
                await self._journal.images.viewed(views)
            except Unavailable as error:
                log.warning("views of images not written images=%d reason=%r", len(views), error.reason)
                self._views += views
            except Rejected as error:
                log.error("views of images lost images=%d reason=%r", len(views), error.reason)
