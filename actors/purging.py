"""Removes idempotency keys that are free again, in steps; the scheduler runs it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from cluster.journal.journal import Journal, Unavailable

log = logging.getLogger(__name__)

PAGE = 1000
EVERY_S = 60.0
STEP_S = 0.1
"""Pause between two full pages."""


class KeyPurge:
    """Removes keys page by page. Several may run: each takes other rows."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._journal = journal
        self._clock = clock

    async def run(self) -> None:
        """Remove keys until cancelled."""
        while True:
            removed = 0
            try:
                removed = await self._journal.idempotency_keys.purge(self._clock(), PAGE)
            except Unavailable as error:
                log.warning("idempotency keys not purged reason=%r", error.reason)
            await asyncio.sleep(STEP_S if removed == PAGE else EVERY_S)
