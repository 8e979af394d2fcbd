"""When API keys were last used, to the minute: collected in memory, and written in one statement every 20 s.

A request adds its key's id to a set; nothing waits for the journal. A killed process loses at most the last 20 s.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.periodic_writes import PeriodicWrites

log = logging.getLogger(__name__)

PERIOD_S = 20.0
"""A divisor of a minute: what is collected in a period was used in one minute."""
MOST_KEPT = 20_000
"""The most keys whose use is kept while the journal is away; further ones are not recorded."""


class KeyUses:
    """The uses of keys in this process. ``note`` takes a key's id."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.time) -> None:
        """``clock`` is Unix time, in seconds."""
        self._journal = journal
        self._clock = clock
        self._used: set[str] = set()
        self.note = self._used.add
        self._unwritten: dict[str, datetime] = {}
        self._began = clock()
        """When the current period began."""
        writes = PeriodicWrites("key uses", self.write, lambda: PERIOD_S - self._clock() % PERIOD_S)
        self.start, self.stop = writes.start, writes.stop

    async def write(self) -> None:
        """Write what was collected since the last call. While the journal is away it is kept."""
        minute = datetime.fromtimestamp(self._began // 60 * 60, UTC)
        self._began = round(self._clock() / PERIOD_S) * PERIOD_S  # a timer is some milliseconds late or early
        for id in self._used:
            if id in self._unwritten or len(self._unwritten) < MOST_KEPT:
                self._unwritten[id] = minute
        self._used.clear()
        if not self._unwritten:
            return
        writing, self._unwritten = self._unwritten, {}
        try:
            await self._journal.api_keys.used(writing)
        except Unavailable as error:
            log.warning("uses of keys not recorded keys=%d reason=%r", len(writing), error.reason)
            self._unwritten = writing | self._unwritten
        except Rejected as error:
            log.error("uses of keys lost keys=%d reason=%r", len(writing), error.reason)
