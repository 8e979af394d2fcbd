"""A consumer of the event log: reads it page by page, hands each page to ``handle``, and remembers how far it is.

What differs between two consumers is ``handle``: the recorder inserts the events into ClickHouse. What they share is
here: the cursor, the size of a page, the waits, the last page of a stop, the trimming of the log, and the files of rows
that cannot be handled.

A page's cursor is committed when ``handle`` has returned, so every row is handled at least once and in the log's order;
a row that comes again has the same place and its events have the same ids. While ``handle`` cannot do its work the log
grows on disk and nothing grows here: one page is in memory, read anew for each try.

Several consumers may run, in one process or in several. Each has a cursor under its own name, and the log is trimmed of
what all of them have passed. A consumer that is new in an installation begins with the oldest row that the log still
has. One that is given up must leave the table ``log_cursors`` (a migration), or the log is trimmed no more.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from cluster.installation.private_files import make_folder, write_whole
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import LogRow
from cluster.metrics import Counter, Gauge

STOP_MAX_WAIT_S = 5.0
_FIRST = "recorder"
"""The consumer whose files lie in the folder ``rejected`` itself: it was there before there were others."""

Handle = Callable[[list[LogRow]], Awaitable[None]]
"""Do with these rows what the consumer is for; they are not empty. Raises CannotHandle."""
Prepare = Callable[[], Awaitable[None]]
"""Make ready for a page: called before each look at the log, also where nothing comes. Raises CannotHandle."""


class CannotHandle(Exception):
    """Rows cannot be handled now; the same rows come again after a wait."""


async def always_ready() -> None:
    """There is nothing to prepare."""


class Pacing(Struct, frozen=True, kw_only=True):
    """How much at once, and how often."""

    page_rows: int = 2000
    """Rows of the log in a page, at most."""
    page_bytes: int = 2 * 1024**2
    """No more rows are read once they are this much: some 6,000 events, or 20,000 that only say "processed". On their
    way through Python they take some 30 times as much memory."""
    page_interval_s: float = 0.1
    """After a page that was not full, until the next one."""
    busy_interval_s: float = 0.1
    """The same while many events come."""
    busy_bytes: int = 128 * 1024
    """As many as make this much in one page."""
    first_wait_s: float = 0.1
    """After a failure; doubles with each further one."""
    longest_wait_s: float = 5.0
    trim_every: int = 10
    """Pages between two trims of the log, at most; it is trimmed too when nothing came."""


class _Page(Struct, frozen=True):
    """What was read at once."""

    rows: list[LogRow]
    size: int
    """Bytes of events."""
    is_full: bool
    """Whether there may be more."""


class EventConsumer:
    """``start`` and ``stop`` once each."""

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
        """``name``: of the cursor, once in an installation. ``poll_interval_s``: from a look at the log that found
        nothing to the next one. ``log`` is the logger of the module whose consumer it is, and ``work`` names in its
        lines what ``handle`` does ("recording")."""
        self.name = name
        self._journal = journal
        self._handle = handle
        self._prepare = prepare
        self._pacing = pacing
        self._poll_interval_s = poll_interval_s
        self._log = log
        self._work = work
        self._rejected = data_dir / "rejected" if name == _FIRST else data_dir / "rejected" / name
        self._has_cursor = False
        self._untrimmed = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.last_error: str | None = None
        """Why it waits; None when it does not."""

    async def start(self) -> None:
        """Begin. What ``prepare`` cannot do now is tried again; all else that it raises is raised here."""
        try:
            await self._prepare()
        except CannotHandle as error:
            self._failed(error)
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Handle what the log holds now, then end; gives up after some seconds. The rest stays in the log."""
        self._stopping.set()
        if self._task is not None:
            _, running = await asyncio.wait({self._task}, timeout=STOP_MAX_WAIT_S)
            if running:
                self._task.cancel()
                await asyncio.wait(running, timeout=STOP_MAX_WAIT_S)

    def problem(self) -> str | None:
        """Why it waits, or that it has ended; None when it works."""
        if self._task is None or self._task.done():
            return f"the {self.name} does not run"
        return self.last_error

    def put_aside(self, row: LogRow, error: Exception) -> None:
        """Keep the bytes of a row that ``handle`` can never handle in a file, so that the log moves on. From any
        thread. Raises CannotHandle when the disk does not take them: the row must not pass."""
        # A replay finds its own file; the same place in another journal's log has other bytes.
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

    async def _run(self) -> None:
        wait_s = self._pacing.first_wait_s
        while True:
            # Read before the log is: what was committed before stop() is then in the last page.
            last = self._stopping.is_set()
            try:
                page = await self._step()
            except (CannotHandle, Unavailable) as error:
                self._failed(error)
            except Exception as error:
                # A defect: reported, but no reason to lose all further events.
                self._log.exception("%s failed", self._work)
                self._failed(error)
            else:
                self._recovered()
                wait_s = self._pacing.first_wait_s
                if not page.is_full:
                    if last:
                        return
                    await self._pause(self._interval_s(page))
                continue
            if last:
                return
            await self._pause(wait_s)
            wait_s = min(wait_s * 2, self._pacing.longest_wait_s)

    async def _step(self) -> _Page:
        """Read and handle one page. Raises CannotHandle, Unavailable."""
        if not self._has_cursor:
            await self._journal.event_log.add_consumer(self.name)
            self._has_cursor = True
        await self._prepare()
        page = await self._next_page()
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
        rows = await self._journal.event_log.after(self.name, most_rows, most_bytes)
        size = sum(len(row.events) for row in rows)
        return _Page(rows, size, is_full=len(rows) == most_rows or size >= most_bytes)

    def _interval_s(self, page: _Page) -> float:
        """How long to wait for more, after the last page that there was."""
        pacing = self._pacing
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
