"""Makes the partitions of coming days, and lets bodies and records go; the scheduler runs it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime

from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter
from cluster.policy.retention import WORTH_SHARE, Cutoffs, Retention, cutoffs

log = logging.getLogger(__name__)

EVERY_S = 60.0
"""Days are made three days ahead."""


class Retaining:
    """Keeps the journal's partitions as they are to be at the time that ``clock`` tells."""

    made = Counter("postray_partitions_made_total", "Partitions of days that were made ahead, a day counted once.")
    rewritten = Counter("postray_partitions_rewritten_total", "Partitions that were replaced by what stays of them.")
    freed = Counter("postray_partitions_freed_bytes_total", "Disk that this has freed.")

    def __init__(
        self, journal: Journal, retention: Retention, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._journal = journal
        self._retention = retention
        self._clock = clock

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("partitions wait reason=%r", error.reason)
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """Do what is to be done now. Raises Unavailable."""
        now = self._clock()
        for day in await self._journal.partitions.make_ahead(now):
            log.info("partitions made day=%s", day)
            self.made += 1
        await self._clear(cutoffs(now, self._retention), WORTH_SHARE)

    async def prune(self, before: date) -> int | None:
        """Let the bodies and records of all days before this one go now; returns how many bytes that has freed, None
        while another process clears. Raises Unavailable."""
        return await self._clear(Cutoffs(bodies=before, records=before), worth_share=0)

    async def _clear(self, upto: Cutoffs, worth_share: float) -> int | None:
        rewritten = await self._journal.rewriting.clear(upto, worth_share)
        if rewritten is None:
            return None
        freed_bytes = sum(max(0, one.freed_bytes) for one in rewritten)
        self.rewritten += sum(len(one.sources) for one in rewritten)
        self.freed += freed_bytes
        return freed_bytes
