"""The captured messages, in SQLite: the newest ``keep_messages`` of them.

It owns one writer thread, which commits in batches, and one reader thread; it never blocks the event loop. ``add``
resolves after the commit, so a message that was answered with 250 is in the file. Call every method on the event loop
that called ``open``. What is shown and searched of a message's contents (its *digest*) is made when it is asked for.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from actors.capture import tables
from actors.capture.digest import READ_OCTETS, Digest, digest, folded
from actors.capture.tables import Captured
from cluster.metrics import Gauge
from cluster.smtpd.envelope import ReceivedMessage

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_MAX_BATCH = 500
MAX_QUEUED = 5000
MAX_QUEUED_BYTES = 256 * 1024 * 1024
_MAX_ID = 2**63 - 1
_DIGESTS_AT_ONCE = 20
_NO_DIGEST = """
SELECT messages.id FROM messages LEFT JOIN digests USING (id) WHERE digests.id IS NULL ORDER BY messages.id DESC LIMIT ?
"""
_COUNT_NO_DIGEST = "SELECT (SELECT count(*) FROM messages) - (SELECT count(*) FROM digests)"


class MailPage(Struct, frozen=True):
    messages: list[Captured]
    total: int
    """The number of messages on all pages."""
    unread: int = 0
    """Of all messages, found or not."""
    unsearched: int = 0
    """Messages whose contents were not searched yet, as the search took too long."""


class _Addition(Struct):
    envelope: ReceivedMessage
    received_at: datetime
    done: "asyncio.Future[int | None]"


class _Change(Struct):
    """Any other change; ``make`` returns how many rows it changed."""

    make: Callable[[sqlite3.Connection], int]
    done: "asyncio.Future[int | None]"


class _Nothing(Struct):
    """Nothing more is queued now: the batch is complete."""


_NOTHING = _Nothing()


class MessageStore:
    waiting = Gauge("postray_capture_waiting", "Captured messages not yet on disk.", lambda store: store.queued)

    def __init__(self, path: Path, keep_messages: int) -> None:
        self._path = path
        self._keep = keep_messages
        self._queue: queue.SimpleQueue[_Addition | _Change | None] = queue.SimpleQueue()
        self._queued = 0
        self._queued_bytes = 0
        self._reader: ThreadPoolExecutor | None = None
        self._reading: sqlite3.Connection | None = None
        self._writer: threading.Thread | None = None
        self._digesting = asyncio.Lock()

    async def open(self) -> None:
        """Creates the file if necessary; one of another schema version is emptied, as captured mail is disposable."""
        self._loop = asyncio.get_running_loop()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="capture-reader")
        writing = await asyncio.to_thread(tables.prepare, self._path)
        self._writer = threading.Thread(target=self._write, args=(writing,), name="capture-writer", daemon=True)
        self._writer.start()
        self._reading = await self._read(lambda: tables.connect(self._path))

    async def close(self) -> None:
        """Close; messages already added are committed first."""
        writer, self._writer = self._writer, None  # from here on nothing is accepted
        if writer is not None:
            self._queue.put(None)
            await asyncio.to_thread(writer.join)
        if self._reading is not None:
            await self._read(self._reading.close)
            self._reading = None
        if self._reader is not None:
            self._reader.shutdown()
            self._reader = None

    @property
    def queued(self) -> int:
        """Messages not yet committed."""
        return self._queued

    def add(self, envelope: ReceivedMessage, received_at: datetime) -> "asyncio.Future[int | None]":
        """The message's id once it is committed; None at once when too much is queued for the disk.

        A future, not a coroutine, which saves a task per message. Fails with sqlite3.Error when the commit fails.
        """
        done: asyncio.Future[int | None] = self._loop.create_future()
        size = len(envelope.content)
        if self._writer is None or self._queued >= MAX_QUEUED or self._queued_bytes + size > MAX_QUEUED_BYTES:
            done.set_result(None)
            return done
        self._queued += 1
        self._queued_bytes += size
        self._queue.put(_Addition(envelope, received_at, done))
        return done

    async def delete_all(self) -> int:
        """Deletes the messages added before this call; returns their number."""

        def make(connection: sqlite3.Connection) -> int:
            with connection:
                deleted = tables.delete(connection, "true")
            connection.execute("PRAGMA incremental_vacuum").fetchall()
            return deleted

        return await self._changed(make)

    async def delete(self, message_id: int) -> bool:
        """Deletes one message; returns whether there was one."""
        if not 0 < message_id <= _MAX_ID:
            return False

        def make(connection: sqlite3.Connection) -> int:
            with connection:
                return tables.delete(connection, "id = ?", message_id)

        return await self._changed(make) > 0

    async def mark_read(self, message_id: int) -> None:
        """Remember that a person has opened a message."""

        def make(connection: sqlite3.Connection) -> int:
            with connection:
                statement = "INSERT OR IGNORE INTO opened SELECT id FROM messages WHERE id = ?"
                return connection.execute(statement, (message_id,)).rowcount

        await self._changed(make)

    async def list_messages(
        self,
        *,
        search: str = "",
        recipient: str = "",
        of: str = "",
        page: int = 1,
        page_size: int = 50,
        patience_s: float | None = None,
        with_digests: bool = False,
    ) -> MailPage:
        """Newest first, pages from 1. ``search`` is looked for in subject, addresses and texts; ``recipient`` is one
        complete envelope address; ``of`` is the id of an accepted message. A search reads the contents that were not
        read yet, for ``patience_s`` seconds (None: until all are). ``with_digests``: with snippets and marks."""
        if search:
            await self._digest_all(patience_s)
        values: dict[str, str | int] = {"search": search.casefold(), "in_body": folded(search) or "\n"}
        values |= {"recipient": recipient.casefold(), "of": tables.sender_of(of) if of else ""}
        values |= {"size": min(page_size, _MAX_ID), "skip": min((page - 1) * page_size, _MAX_ID)}

        def read() -> tuple[list[Captured], int, int, int]:
            ordered = "ORDER BY messages.id DESC LIMIT :size OFFSET :skip"
            found = self._query(f"{tables.SELECT} {tables.MATCHING} {ordered}", values)
            counted = f"SELECT count(*) FROM messages LEFT JOIN digests USING (id) {tables.MATCHING}"
            [(total,)] = self._query(counted, values)
            [(unread,)] = self._query("SELECT (SELECT count(*) FROM messages) - (SELECT count(*) FROM opened)", {})
            [(without,)] = self._query(_COUNT_NO_DIGEST, {})
            return [tables.to_captured(row) for row in found], total, unread, without

        messages, total, unread, without = await self._read(read)
        if with_digests and any(message.snippet is None for message in messages):
            await self._digest([message.id for message in messages if message.snippet is None])
            messages, total, unread, without = await self._read(read)
        return MailPage(messages, total, unread, without if search else 0)

    async def get(self, message_id: int) -> Captured | None:
        rows = await self._rows(f"{tables.SELECT} WHERE messages.id = :id", message_id)
        return tables.to_captured(rows[0]) if rows else None

    async def raw(self, message_id: int) -> bytes | None:
        rows = await self._rows("SELECT content FROM messages WHERE id = :id", message_id)
        return bytes(rows[0][0]) if rows else None

    async def count(self) -> int:
        [(count,)] = await self._read(lambda: self._query("SELECT count(*) FROM messages", {}))
        return int(count)

    # Digests

    async def _digest_all(self, patience_s: float | None) -> None:
        """Make the digests that are missing, the newest messages' first."""
        end = None if patience_s is None else time.monotonic() + patience_s
        while end is None or time.monotonic() < end:
            missing = await self._read(lambda: self._query(_NO_DIGEST, (_DIGESTS_AT_ONCE,)))
            if not missing or not await self._digest([id_ for (id_,) in missing]):
                return

    async def _digest(self, ids: Sequence[int]) -> bool:
        """Make and keep digests; returns whether any was made. One caller at a time: the others find them made."""
        async with self._digesting:
            made = [(id_, await self._read(partial(self._digested, id_))) for id_ in ids]
        rows = [(id_, of.snippet, of.attached, of.body) for id_, of in made if of is not None]

        def make(connection: sqlite3.Connection) -> int:
            with connection:
                # Only of messages that are still there.
                statement = "INSERT OR REPLACE INTO digests SELECT ?1, ?2, ?3, ?4 FROM messages WHERE id = ?1"
                connection.executemany(statement, rows)
            return len(rows)

        return await self._changed(make) > 0

    def _digested(self, message_id: int) -> Digest | None:
        """In the reading thread."""
        assert self._reading is not None
        try:
            with self._reading.blobopen("messages", "content", message_id, readonly=True) as content:
                return digest(content.read(READ_OCTETS))
        except sqlite3.OperationalError:  # deleted meanwhile
            return None

    # Reading

    async def _read(self, work: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._reader, work)

    async def _rows(self, sql: str, message_id: int) -> list[Any]:
        if not 0 < message_id <= _MAX_ID:
            return []
        return await self._read(lambda: self._query(sql, {"id": message_id}))

    def _query(self, sql: str, values: "dict[str, Any] | tuple[Any, ...]") -> list[Any]:
        assert self._reading is not None
        return self._reading.execute(sql, values).fetchall()

    # Writing: everything below ``_changed`` runs in the writer thread

    async def _changed(self, make: Callable[[sqlite3.Connection], int]) -> int:
        """Make a change after all that was asked for before; returns the number of rows."""
        if self._writer is None:
            return 0
        done: asyncio.Future[int | None] = self._loop.create_future()
        self._queue.put(_Change(make, done))
        return await done or 0

    def _write(self, connection: sqlite3.Connection) -> None:
        [(next_id,)] = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence").fetchall()
        item: _Addition | _Change | _Nothing | None = self._queue.get()
        while item is not None:
            batch: list[_Addition] = []
            while isinstance(item, _Addition):
                batch.append(item)
                item = self._queue.get() if len(batch) < _MAX_BATCH and not self._queue.empty() else _NOTHING
            if batch:
                ids, error = self._insert(connection, batch, next_id)
                next_id += len(ids)
                self._settle(batch, ids, error)
            if isinstance(item, _Change):
                self._change(connection, item)
            if item is not None:
                item = self._queue.get()
        connection.close()

    def _insert(
        self, connection: sqlite3.Connection, additions: list[_Addition], first_id: int
    ) -> tuple[list[int], Exception | None]:
        try:
            rows = [
                tables.to_row(first_id + place, addition.envelope, addition.received_at)
                for place, addition in enumerate(additions)
            ]
            with connection:
                connection.executemany(tables.INSERT, rows)
                # By id, which needs no count: one that a person deleted still has its place among the newest.
                tables.delete(connection, "id <= ?", rows[-1][0] - self._keep)
        except Exception as error:  # of any type: the callers must learn of it, and the thread must go on
            log.exception("%d captured messages could not be stored", len(additions))
            return [], error
        return [row[0] for row in rows], None

    def _change(self, connection: sqlite3.Connection, change: _Change) -> None:
        error, changed = None, 0
        try:
            changed = change.make(connection)
        except sqlite3.Error as caught:
            error = caught
        self._call(lambda: _resolve(change.done, changed, error))

    def _settle(self, additions: list[_Addition], ids: list[int], error: Exception | None) -> None:
        def settle() -> None:
            self._queued -= len(additions)
            self._queued_bytes -= sum(len(addition.envelope.content) for addition in additions)
            for place, addition in enumerate(additions):
                _resolve(addition.done, ids[place] if ids else None, error)

        self._call(settle)

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop has closed, so no caller is waiting
            log.debug("the event loop ended before its store")


def _resolve(done: "asyncio.Future[int | None]", result: int | None, error: Exception | None) -> None:
    if done.done():  # cancelled by the caller
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
