"""Fanning out: each event of the log becomes owed to the endpoints that want it."""

import logging
from pathlib import Path

from cluster.event_consumer import CannotHandle, EventConsumer, Pacing
from cluster.journal.journal import Journal
from cluster.journal.records import LogRow
from cluster.webhooks.known import KnownEndpoints

log = logging.getLogger(__name__)

CONSUMER = "webhooks"
PACING = Pacing(page_interval_s=0.1, busy_interval_s=0.1)


class FanningOut:
    """Call ``start`` and ``stop`` once each."""

    def __init__(self, journal: Journal, known: KnownEndpoints, data_dir: Path) -> None:
        self._journal = journal
        self._known = known
        self.consumer = EventConsumer(
            CONSUMER,
            journal,
            self._handle,
            self._prepare,
            data_dir=data_dir,
            pacing=PACING,
            poll_interval_s=0.1,
            log=log,
            work="fanning out",
        )

    async def start(self) -> None:
        await self.consumer.start()

    async def stop(self) -> None:
        await self.consumer.stop()

    def problem(self) -> str | None:
        """Why events are not taken from the log."""
        return self.consumer.problem()

    async def _prepare(self) -> None:
        await self._known.refresh()

    async def _handle(self, rows: list[LogRow]) -> None:
        if self._known.by_id:
            raise CannotHandle("events are not fanned out yet")
