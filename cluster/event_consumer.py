"""A consumer of the event log: it reads the log page by page, passes each page to ``handle`` and keeps a cursor.

Consumers differ in ``handle``: the recorder's inserts the events into ClickHouse. They share what is here: the cursor,
the page size, the intervals and backoff, the last page before a stop, the trimming of the log, and the files of rows
that cannot be handled.

The cursor moves after ``handle`` has returned, so every row is handled at least once and in the log's order. A repeated
row has the same position, and its events have the same ids. While ``handle`` fails, the log grows on disk but memory
does not: one page is in memory, and each retry reads it again.

Several consumers may run, in one process or in several. Each has a cursor under its own name, and the log is trimmed
up to the slowest cursor. A new consumer begins with the oldest row that the log still has. When a consumer is removed
from the product, a migration must delete its row from ``log_cursors``; otherwise the log is never trimmed again.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from cluster.installation.private_files import make_folder, write_whole
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import LogRow
from cluster.metrics import Counter, Gauge

STOP_MAX_WAIT_S = 5.0
CONFIRMED_S = 5.0
"""For so long it holds that there was no newer process. It is far longer than from reading a page to inserting it."""
CONFIRM_MAX_WAIT_S = 20.0
UNREAD_S = 1.0
"""Between two looks whether the log is to be read."""
REJECTED = "rejected"
"""The folder of rows of the log that cannot be handled."""
_FIRST = "recorder"
"""The consumer whose files are in the folder ``rejected`` itself: it existed before there were others."""

Handle = Callable[[list[LogRow]], Awaitable[None]]
"""Processes a page of at least one row. Raises CannotHandle to have the same rows again later."""
Prepare = Callable[[], Awaitable[bool]]
"""Called before each read of the log, also when it has no new rows. Returns whether to read it; if not, it is called
again after ``UNREAD_S``. Raises CannotHandle."""


class CannotHandle(Exception):
    """Rows cannot be handled now; the same rows are retried after a backoff."""


async def always_ready() -> bool:
    """The default ``Prepare``: does nothing."""
    return True


class Pacing(Struct, frozen=True, kw_only=True):
    """The size of pages and the time between them."""

    page_rows: int = 2000
    """Rows of the log in a page, at most."""
    page_bytes: int = 2 * 1024**2
    """A page takes no more rows once they have this size: some 6,000 events, or 20,000 "processed" events. Decoded in
    Python they take some 30 times as much memory."""
    page_interval_s: float = 0.1
    """From a page that was not full to the next one."""
    busy_interval_s: float = 0.1
    """The same after a page of at least ``busy_bytes``."""
    busy_bytes: int = 128 * 1024
    first_wait_s: float = 0.1
    """Backoff after the first failure; it doubles with each further one."""
    longest_wait_s: float = 5.0
    trim_every: int = 10
    """Pages between two trims of the log, at most. A page without rows also triggers a trim."""


class _Page(Struct, frozen=True):
    """The rows of one read."""

    rows: list[LogRow]
    size: int
    """Bytes of events."""
    is_full: bool
    """Whether there may be more rows."""
    waits: bool = False
    """It is little that followed a full page. It was not handled, and comes with the next page."""


UNREAD = _Page([], 0, is_full=False)


class EventConsumer:
    """Reads the event log for one ``handle``. Call ``start`` and ``stop`` once each."""

    pages = Counter("postray_consumer_pages_total", "Pages of the event log that were handled.")
    rows = Counter("postray_consumer_rows_total", "Rows of the event log that were handled or put aside.")
    aside = Counter("postray_consumer_put_aside_total", "Rows of the event log put aside in files.")
    failures = Counter("postray_consumer_failures_total", "Pages that could not be handled, and were tried again.")
    trimmed = Counter("postray_consumer_trimmed_total", "Rows deleted from the event log, passed by all consumers.")
    waits = Gauge(
        "postray_consumer_waits", "1 while pages cannot be handled.", lambda self: int(self.last_error is not None)
    )

    def __init__(
        self,
        name: str,
        journal: Journal,
        handle: Handle,
        prepare: Prepare = always_ready,
        *,
        data_dir: Path,
        pacing: Pacing,
        poll_interval_s: float,
        log: logging.Logger,
        work: str,
    ) -> None:
        """``name`` is the cursor's name, unique in an installation. ``poll_interval_s`` is the time between two reads
        while the log has no new rows. ``log`` is the logger of the module that owns the consumer, and ``work`` names
        in its lines what ``handle`` does ("recording")."""
        self.name = name
        self._journal = journal
        self._handle = handle
        self._prepare = prepare
        self._pacing = pacing
        self._poll_interval_s = poll_interval_s
        self._log = log
        self._work = work
        self._rejected = data_dir / REJECTED if name == _FIRST else data_dir / REJECTED / name
        self._has_cursor = False
        self._untrimmed = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.last_error: str | None = None
        """The error of the last page; None when it was handled."""
        self._confirmed_at = 0.0
        """Monotonic seconds; this process was not fenced then."""

    async def start(self) -> None:
        """Prepare and start the task. CannotHandle from ``prepare`` is retried; its other errors are raised here."""
        try:
            await self._prepare()
        except CannotHandle as error:
            self._failed(error)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Handle the rows that the log has now, then end; give up after ``STOP_MAX_WAIT_S``. The rest stays in the
        log."""
        self._stopping.set()
        if self._task is not None:
            _, running = await asyncio.wait({self._task}, timeout=STOP_MAX_WAIT_S)
            if running:
                self._task.cancel()
                await asyncio.wait(running, timeout=STOP_MAX_WAIT_S)

    def problem(self) -> str | None:
        """The last error, or that the task has ended; None when it works."""
        if self._task is None or self._task.done():
            return f"the {self.name} does not run"
        return self.last_error

    def put_aside(self, row: LogRow, error: Exception) -> None:
        """Keep the bytes of a row that ``handle`` can never handle in a file, so that the cursor can move on. Any
        thread may call this. Raises CannotHandle when the file cannot be written: the row must not be lost."""
        # A repeated row finds its own file. The hash keeps rows at the same position in another journal's log apart.
        name = f"{row.tx}-{row.id}-{hashlib.sha256(row.events).hexdigest()[:16]}.msgpack"
        path = self._rejected / name
        if path.exists():
            return
        try:
            make_folder(self._rejected)
            write_whole(path, row.events)
        except OSError as failure:
            raise CannotHandle(f"cannot put aside a row of the event log: {failure}") from failure
        self.aside += 1
        self._log.error("event log row put aside tx=%d id=%d file=%s error=%s", row.tx, row.id, path, error)

    def confirm(self) -> None:
        """For a thread of ``handle``, before it writes elsewhere than to the journal: it asks the journal whether this
        process is fenced, if the page was read long ago, as when the process was paused. Raises CannotHandle."""
        now = time.monotonic()
        if now - self._confirmed_at < CONFIRMED_S:
            return
        assert self._loop is not None
        confirming = asyncio.run_coroutine_threadsafe(self._journal.singletons.confirm(), self._loop)
        try:
            confirming.result(CONFIRM_MAX_WAIT_S)
        except (Unavailable, TimeoutError) as error:
            raise CannotHandle(f"the journal does not confirm this process: {error}") from error
        self._confirmed_at = now

    async def _run(self) -> None:
        wait_s = self._pacing.first_wait_s
        takes_little = True
        while True:
            # Read before the log, so that the last page has everything that was committed before stop().
            last = self._stopping.is_set()
            try:
                page = await self._step(takes_little=takes_little or last)
            except (CannotHandle, Unavailable) as error:
                self._failed(error)
            except Exception as error:
                # A defect: it is logged, and the consumer goes on so that later events are not lost.
                self._log.exception("%s failed", self._work)
                self._failed(error)
            else:
                self._recovered()
                wait_s = self._pacing.first_wait_s
                takes_little = not page.is_full
                if not page.is_full:
                    if last:
                        return
                    await self._pause(self._interval_s(page))
                continue
            if last:
                return
            await self._pause(wait_s)
            wait_s = min(wait_s * 2, self._pacing.longest_wait_s)

    async def _step(self, *, takes_little: bool) -> _Page:
        """Read and handle one page; less than half of one only if it ``takes_little``. Raises CannotHandle,
        Unavailable."""
        if not self._has_cursor:
            await self._journal.event_log.add_consumer(self.name)
            self._has_cursor = True
        page = await self._next_page() if await self._prepare() else UNREAD
        if page.rows and not takes_little and self._is_little(page):
            return replace(page, waits=True)
        if page.rows:
            await self._handle(page.rows)
            await self._journal.event_log.move_cursor(self.name, page.rows[-1].tx, page.rows[-1].id)
            self._untrimmed += 1
            self.pages += 1
            self.rows += len(page.rows)
        if self._untrimmed >= (self._pacing.trim_every if page.rows else 1):
            self.trimmed += await self._journal.event_log.trim()
            self._untrimmed = 0
        return page

    async def _next_page(self) -> _Page:
        most_rows, most_bytes = self._pacing.page_rows, self._pacing.page_bytes
        self._confirmed_at = time.monotonic()  # a fenced process reads nothing
        rows = await self._journal.event_log.after(self.name, most_rows, most_bytes)
        size = sum(len(row.events) for row in rows)
        return _Page(rows, size, is_full=len(rows) == most_rows or size >= most_bytes)

    def _is_little(self, page: _Page) -> bool:
        return len(page.rows) < self._pacing.page_rows / 2 and page.size < self._pacing.page_bytes / 2

    def _interval_s(self, page: _Page) -> float:
        """How long to wait for more rows after a page that was not full."""
        pacing = self._pacing
        if page is UNREAD:
            return UNREAD_S
        if page.waits:
            return pacing.busy_interval_s
        if not page.rows:
            return self._poll_interval_s
        interval_s = pacing.busy_interval_s if page.size >= pacing.busy_bytes else pacing.page_interval_s
        return max(self._poll_interval_s, interval_s)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        reason = str(error) or type(error).__name__
        if self.last_error is None:
            self._log.warning("%s waits error=%s", self._work, reason)
        self.last_error = reason

    def _recovered(self) -> None:
        if self.last_error is not None:
            self._log.info("%s goes on", self._work)
        self.last_error = None


def erase_rejected(data_dir: Path, tenant_id: str, addresses: Sequence[str] = ()) -> int:
    """Delete rows of the log that were put aside and name the tenant, and one of the addresses if there are any;
    returns how many. A row is deleted as a whole: what could not be handled cannot be taken apart."""
    erased = 0
    for path in sorted((data_dir / REJECTED).rglob("*.msgpack")):
        text = path.read_bytes().decode("utf-8", "replace")
        if tenant_id in text and (not addresses or any(address in text.lower() for address in addresses)):
            path.unlink(missing_ok=True)
            erased += 1
    return erased
