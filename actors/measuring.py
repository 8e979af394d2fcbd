"""Measures what is stored and what is free, keeps a sample an hour, and warns a day before the disk is full; the
scheduler runs it.

Where the journal is a server of its own, nothing is known of its disk: then only its size is kept.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path

from cluster.installation.sizes import part_sizes
from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Gauge
from cluster.policy.retention import Retention
from cluster.policy.storage import LOOK_BACK, Outlook, Sample, forecast, going, stored_days, warning

log = logging.getLogger(__name__)

EVERY_S = 300.0
SAMPLE_EVERY = timedelta(hours=1)
WARN_EVERY = timedelta(days=1)


class StorageWatch:
    """``data_dir``: where the journal is; None when it is on another machine. ``kept_free_bytes``: the intake refuses
    mail when less is free."""

    stored = Gauge(
        "postray_storage_bytes",
        "What is stored, as of the last look; NaN before it.",
        lambda watch: nan if watch._outlook is None else watch._outlook.current.stored_bytes,
    )
    full_in = Gauge(
        "postray_storage_full_in_seconds",
        "Until the disk is full at the present rate; NaN when it is not within eight days, or that cannot be told.",
        lambda watch: watch._full_in_s(),
    )

    def __init__(
        self,
        journal: Journal,
        data_dir: Path | None,
        *,
        kept_free_bytes: int,
        retention: Retention,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._data_dir = data_dir
        self._kept_free_bytes = kept_free_bytes
        self._retention = retention
        self._clock = clock
        self._outlook: Outlook | None = None
        self._warned_at: datetime | None = None
        self.warning: str | None = None
        """What an operator must know now."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.warning("storage not measured reason=%r", error.reason)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> Outlook:
        """Measure, keep a sample when it is time, and warn. Raises Unavailable."""
        now, storage = self._clock(), self._journal.storage
        parts, total, current = await self._measured(now)
        last = await storage.last_sample_at(now)
        if last is None or now - last >= SAMPLE_EVERY:
            await storage.add_sample(current)
        samples = await storage.samples(now, LOOK_BACK)
        partitions = self._journal.partitions
        days = stored_days(await partitions.all(), await partitions.sizes(), self._retention)
        expected = forecast(samples, going(days), current, self._kept_free_bytes)
        self.warning = warning(expected, now)
        self._outlook = Outlook(
            current=current,
            parts=parts,
            disk_bytes=total,
            kept_free_bytes=self._kept_free_bytes,
            forecast=expected,
            days=[day for day in days if day.first <= now.date()],
            warning=self.warning,
        )
        if self.warning is None:
            self._warned_at = None
        elif self._warned_at is None or not now - WARN_EVERY < self._warned_at <= now:
            self._warned_at = now
            log.warning("%s free_bytes=%s", self.warning, current.free_bytes)
        return self._outlook

    async def _measured(self, now: datetime) -> tuple[dict[str, int], int | None, Sample]:
        """What each part takes, the size of the disk, and the sum as a sample."""
        if self._data_dir is None:
            return {}, None, Sample(at=now, stored_bytes=await self._journal.storage.bytes())
        try:
            parts = await asyncio.to_thread(part_sizes, self._data_dir)
            disk = await asyncio.to_thread(shutil.disk_usage, self._data_dir)
        except OSError as error:
            raise Unavailable(str(error)) from error
        return parts, disk.total, Sample(at=now, stored_bytes=sum(parts.values()), free_bytes=disk.free)

    def _full_in_s(self) -> float:
        if self._outlook is None or self._outlook.forecast.full_at is None:
            return nan
        return max(0.0, (self._outlook.forecast.full_at - self._clock()).total_seconds())
