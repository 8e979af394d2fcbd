"""Makes the partitions of coming days, and lets bodies and records go; the scheduler runs it."""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.rewriting import NoRoom, Rewritten
from cluster.metrics import Counter
from cluster.policy.retention import JUMP_DAYS, WORTH_SHARE, Cutoffs, Retention, Room, cutoffs, is_jump

log = logging.getLogger(__name__)

EVERY_S = 60.0
"""Days are made three days ahead."""
NO_ROOM_EVERY_S = 3600.0
"""A copy that the disk has no room for is not begun anew every minute."""
BELIEVED_S = 86_400.0
"""So long a clock that has jumped ahead must go on saying so, before anything goes by it: time to mend it."""


class Retaining:
    """Keeps the journal's partitions as they are to be at the time that ``clock`` tells."""

    made = Counter("postray_partitions_made_total", "Partitions of days that were made ahead, a day counted once.")
    rewritten = Counter("postray_partitions_rewritten_total", "Partitions that were replaced by what stays of them.")
    freed = Counter("postray_partitions_freed_bytes_total", "Disk that this has freed.")

    def __init__(
        self,
        journal: Journal,
        retention: Retention,
        *,
        data_dir: Path | None,
        kept_free_bytes: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        server_clock: Callable[[], Awaitable[datetime]] | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """``data_dir``: where the journal is; None when it is on another machine. ``kept_free_bytes``: the intake
        refuses mail when less is free. ``server_clock``: Postgres', when it is None. ``elapsed``: seconds, which no
        change of a clock changes."""
        self._journal = journal
        self._retention = retention
        self._data_dir = data_dir
        self._kept_free_bytes = kept_free_bytes
        self._clock = clock
        self._server_clock = server_clock or journal.partitions.server_time
        self._elapsed = elapsed
        self._jump: tuple[date, float] | None = None
        """Where the clock has jumped to, and when."""

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            every_s = EVERY_S
            try:
                await self.round()
            except Unavailable as error:
                log.warning("partitions wait reason=%r", error.reason)
                if isinstance(error, NoRoom):
                    every_s = NO_ROOM_EVERY_S
            await asyncio.sleep(every_s)

    async def round(self) -> None:
        """Do what is to be done now. Raises Unavailable."""
        now = self._clock()
        for day in await self._journal.partitions.make_ahead(now):
            log.info("partitions made day=%s", day)
            self.made += 1
        # What goes by a wrong clock does not come back.
        now = min(now, await self._server_clock())
        if await self._is_believed(now.astimezone(UTC).date()):
            await self._clear(cutoffs(now, self._retention), WORTH_SHARE)

    async def _is_believed(self, today: date) -> bool:
        """Whether it may be this day. After a jump only when the clock has said so for a while: it is wrong, or
        everything was off for as long."""
        seen = await self._journal.partitions.seen_day()
        if is_jump(seen, today):
            at = self._elapsed()
            if self._jump is None or abs(today - self._jump[0]) > timedelta(days=JUMP_DAYS):
                self._jump = today, at
                log.warning(
                    "the clock says %s, and the last day that was seen is %s: nothing goes for a day, in which a wrong"
                    " clock can be set right",
                    today,
                    seen,
                )
            if at - self._jump[1] < BELIEVED_S:
                return False
        self._jump = None
        if today > seen:
            await self._journal.partitions.see_day(today)
        return True

    async def prune(self, before: date) -> int | None:
        """Let the bodies and records of all days before this one go now; returns how many bytes that has freed, None
        while another process clears. Raises Unavailable."""
        return await self._clear(Cutoffs(bodies=before, records=before), worth_share=0)

    async def _clear(self, upto: Cutoffs, worth_share: float) -> int | None:
        try:
            rewritten = await self._journal.rewriting.clear(upto, worth_share, self._room)
        except NoRoom as error:
            self._count(error.rewritten)
            raise
        return None if rewritten is None else self._count(rewritten)

    def _count(self, rewritten: Sequence[Rewritten]) -> int:
        freed_bytes = sum(max(0, one.freed_bytes) for one in rewritten)
        self.rewritten += sum(len(one.sources) for one in rewritten)
        self.freed += freed_bytes
        return freed_bytes

    async def _room(self) -> Room | None:
        if self._data_dir is None:
            return None
        try:
            disk = await asyncio.to_thread(shutil.disk_usage, self._data_dir)
        except OSError as error:
            raise Unavailable(str(error)) from error
        return Room(free_bytes=disk.free, kept_free_bytes=self._kept_free_bytes)
