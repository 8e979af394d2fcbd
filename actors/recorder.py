"""The recorder: moves events from the journal's event log to ClickHouse, and answers from there. One in a cluster.

Owns the one connection to ClickHouse, and the thread that alone may use it. An event leaves the log only after it is on
ClickHouse's disk; a crash between the two inserts it again, which changes nothing (analytics/schema). Nobody waits for
the recorder: while ClickHouse is away, the log grows on disk and nothing grows here.

Never decides anything about mail, never changes an event. A row of the log that is no batch of events, or whose values
fit no column, would stop all that follow it: its bytes go to ``data_dir``/rejected, one file a row, as they were in the
log (``events.encode_batch``), and the log moves on.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from analytics import queries
from analytics.client import ClickHouse, Rejected, Unavailable
from analytics.damage import Damage, find_damage
from analytics.queries import MessageEvents
from analytics.rows import columns
from cluster.context import DEGRADED
from cluster.events import Event, decode_batch
from cluster.installation.private_files import make_folder, write_whole
from cluster.journal.journal import Journal
from cluster.journal.journal import Unavailable as JournalUnavailable
from cluster.journal.records import LogRow
from cluster.settings import ClickHouseSettings

log = logging.getLogger(__name__)

CONSUMER = "recorder"
STOP_PATIENCE_S = 5.0
MOST_INSERTED = 15_000
"""Events inserted at once, and those of one row more: some 2 KB of memory each, on their way through Python and
ClickHouse."""

P = ParamSpec("P")
T = TypeVar("T")


class Bounds(Struct, frozen=True, kw_only=True):
    """How much at once, and how often."""

    page_rows: int = 2000
    """Rows of the log read and inserted at once, at most."""
    page_bytes: int = 2 * 1024**2
    """No more rows are read once they are this much: some 6,000 events, or 20,000 that only say "processed". On their
    way through Python and ClickHouse they take some 30 times as much memory."""
    insert_interval_s: float = 0.5
    """While events keep coming, they are inserted this often. Each insert makes a part that must be merged: with the
    merges, the fixed cost of one is some 20 ms of CPU, that of an event 5 µs."""
    busy_interval_s: float = 2.0
    """The same while many come."""
    busy_bytes: int = 128 * 1024
    """As many as make this much in one interval."""
    first_wait_s: float = 0.1
    """After a failure; doubles with each further one."""
    longest_wait_s: float = 5.0
    look_for_damage_s: float = 30.0
    """How often ClickHouse is asked for damaged parts, so that it is also seen when they were restored or deleted."""
    trim_every: int = 10
    """Pages between two trims of the log, at most; it is trimmed too when nothing came."""


class Page(Struct, frozen=True):
    """What was read at once."""

    rows: list[LogRow]
    size: int
    """Bytes of events."""
    full: bool
    """Whether there may be more."""


class Recorder:
    """See the module. ``start`` and ``stop`` once each; the reads at any time between, on the same event loop."""

    def __init__(
        self,
        settings: ClickHouseSettings,
        data_dir: Path,
        journal: Journal,
        *,
        connect: Callable[[ClickHouseSettings, Path], ClickHouse] = ClickHouse.open,
        bounds: Bounds | None = None,
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._journal = journal
        self._connect = connect
        self._bounds = bounds or Bounds()
        self._client: ClickHouse | None = None
        self._migrated = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse")
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._untrimmed = 0
        self._last_error: str | None = None
        self._damage = Damage()
        self._looked_at = 0.0

    async def start(self) -> None:
        """Begin recording. ClickHouse may be away: it is tried again. Raises ValueError for a DSN that is none."""
        try:
            await self._in_thread(self._make_ready)
        except Unavailable as error:
            self._failed(error)
        self._task = asyncio.create_task(self._run(), name="recorder")

    async def stop(self) -> None:
        """Record what the log holds now, then close; gives up after some seconds. The rest stays in the log."""
        self._stopping.set()
        if self._task is not None:
            _, running = await asyncio.wait({self._task}, timeout=STOP_PATIENCE_S)
            if running:
                self._task.cancel()
                await asyncio.wait(running, timeout=STOP_PATIENCE_S)
        if self._client is not None:
            client, self._client = self._client, None
            # Behind a call that a dead server never answers it would wait too long.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._in_thread(client.close), STOP_PATIENCE_S)
        self._thread.shutdown(wait=False)

    async def problem(self) -> str | None:
        """Why it waits, or what is missing of what it reads; None when it works."""
        if self._task is None or self._task.done():
            return "the recorder does not run"
        if self._last_error is not None:
            return self._last_error
        return f"{DEGRADED}{self._damage}" if self._damage.parts else None

    async def timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        """A message's events, oldest first. Raises analytics.client.Unavailable."""
        events = await self._in_thread(queries.timeline, self._ready(), tenant_id, message_id)
        return MessageEvents(events, incomplete=self._damage.of_events)

    async def event_counts(self, tenant_id: str, batch_id: str) -> dict[str, int]:
        """A batch's events by name. Raises analytics.client.Unavailable."""
        return await self._in_thread(queries.event_counts, self._ready(), tenant_id, batch_id)

    def _ready(self) -> ClickHouse:
        if self._client is None or not self._migrated:
            raise Unavailable(self._last_error or "the recorder is not running")
        return self._client

    async def _run(self) -> None:
        wait_s = self._bounds.first_wait_s
        while True:
            # Read before the log is: what was committed before stop() is then in the last page.
            last = self._stopping.is_set()
            try:
                page = await self._step()
            except (Unavailable, JournalUnavailable) as error:
                self._failed(error)
            except Exception as error:
                # A defect: reported, but no reason to lose all further events.
                log.exception("recording failed")
                self._failed(error)
            else:
                self._recovered()
                wait_s = self._bounds.first_wait_s
                if not page.full:
                    if last:
                        return
                    await self._pause(self._interval_s(page))
                continue
            if last:
                return
            await self._pause(wait_s)
            wait_s = min(wait_s * 2, self._bounds.longest_wait_s)

    async def _step(self) -> Page:
        """Record one page."""
        if self._client is None or not self._migrated:
            await self._in_thread(self._make_ready)
        if time.monotonic() - self._looked_at > self._bounds.look_for_damage_s:
            await self._in_thread(self._look_for_damage)
        page = await self._next_page()
        if page.rows:
            await self._in_thread(self._store, page.rows)
            await self._journal.move_cursor(CONSUMER, page.rows[-1].tx, page.rows[-1].id)
            self._untrimmed += 1
        if self._untrimmed >= (self._bounds.trim_every if page.rows else 1):
            await self._journal.trim_log()
            self._untrimmed = 0
        return page

    async def _next_page(self) -> Page:
        most_rows, most_bytes = self._bounds.page_rows, self._bounds.page_bytes
        rows = await self._journal.log_after(CONSUMER, most_rows, most_bytes)
        size = sum(len(row.events) for row in rows)
        return Page(rows, size, full=len(rows) == most_rows or size >= most_bytes)

    def _interval_s(self, page: Page) -> float:
        """How long to wait for more, after the last page that there was."""
        bounds, poll_s = self._bounds, self._settings.poll_interval_ms / 1000
        if not page.rows:
            return poll_s
        return max(poll_s, bounds.busy_interval_s if page.size >= bounds.busy_bytes else bounds.insert_interval_s)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if self._last_error is None:
            log.warning("recording waits error=%s", reason)
        self._last_error = reason

    def _recovered(self) -> None:
        if self._last_error is not None:
            log.info("recording goes on")
        self._last_error = None

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))

    # What follows runs in the thread.

    def _make_ready(self) -> None:
        if self._client is None:
            self._client = self._connect(self._settings, self._data_dir)
        if not self._migrated:
            self._client.migrate()
            self._migrated = True
            self._look_for_damage()

    def _look_for_damage(self) -> None:
        assert self._client is not None
        self._looked_at = time.monotonic()
        try:
            damage = find_damage(self._client)
        except Unavailable as error:
            # A user of a server may not be allowed to ask, and events come in all the same.
            log.warning("cannot look for damaged parts error=%s", error)
            return
        if damage.parts and damage != self._damage:
            log.error("%s parts=%s", damage, " ".join(damage.parts))
        elif self._damage.parts and not damage.parts:
            log.info("no damaged parts any more")
        self._damage = damage

    def _store(self, rows: list[LogRow]) -> None:
        """Insert the events of these rows; rows that cannot be inserted are put aside."""
        assert self._client is not None
        events: list[Event] = []
        for number, row in enumerate(rows, 1):
            try:
                events += decode_batch(row.events)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                self._put_aside(row, error)
            if len(events) >= MOST_INSERTED and number < len(rows):
                # Rows that say much in few bytes.
                self._insert(rows[:number], events)
                self._store(rows[number:])
                return
        self._insert(rows, events)

    def _insert(self, rows: list[LogRow], events: list[Event]) -> None:
        """Insert the ``events`` of these rows."""
        assert self._client is not None
        try:
            self._client.insert(columns(events))
        except (Rejected, ValueError, OverflowError) as error:
            if len(rows) == 1:
                self._put_aside(rows[0], error)
            else:
                for row in rows:
                    self._store([row])
        except Unavailable:
            # Perhaps the database was dropped, to be rebuilt.
            self._migrated = False
            raise

    def _put_aside(self, row: LogRow, error: Exception) -> None:
        """Keep a row's bytes in a file. Raises Unavailable when the disk does not take them: the row must not pass."""
        folder = self._data_dir / "rejected"
        # A replay finds its own file; the same place in another journal's log has other bytes.
        path = folder / f"{row.tx}-{row.id}-{hashlib.sha256(row.events).hexdigest()[:16]}.msgpack"
        if path.exists():
            return
        try:
            make_folder(folder)
            write_whole(path, row.events)
        except OSError as failure:
            raise Unavailable(f"cannot put aside a row of the event log: {failure}") from failure
        log.error("event log row put aside tx=%d id=%d file=%s error=%s", row.tx, row.id, path, error)
