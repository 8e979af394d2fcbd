"""Sweeping: what waits too long for its endpoint, or is too much, is dropped and counted."""

import asyncio
import logging
import time

from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter
from cluster.settings import WebhookSettings
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

SWEEP_S = 60.0


class Sweeping:
    """Call ``start`` and ``stop`` once each."""

    dropped = Counter("postray_webhook_dropped_total", "Events that were dropped because they waited too long.")

    def __init__(self, journal: Journal, settings: WebhookSettings) -> None:
        self._journal = journal
        self._settings = settings
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin."""
        self._tasks.spawn("sweep", self._run())

    async def stop(self) -> None:
        """End."""
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("webhooks not swept reason=%r", error.reason)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Drop what waits longer, or is more, than the settings say. Raises Unavailable."""
        began = time.monotonic()
        while late := await self._journal.webhook_owing.drop_late(self._settings.keep_h * 3600):
            self._tell(late, "waited too long")
            if time.monotonic() > began + SWEEP_S:
                break
        self._tell(await self._journal.webhook_owing.drop_surplus(self._settings.keep_mb * 1024**2), "too many")

    def _tell(self, dropped: dict[str, int], reason: str) -> None:
        for webhook_id, count in dropped.items():
            log.warning("webhook events dropped id=%s events=%d reason=%r", webhook_id, count, reason)
            self.dropped += count
