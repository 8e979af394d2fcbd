"""The captured messages, in SQLite: the newest ``keep_messages`` of them.

It owns one writer thread, which commits in batches, and one reader thread; it never blocks the event loop. ``add``
resolves after the commit, so a message that was answered with 250 is in the file. Call every method on the event loop
that called ``open``.
"""

import asyncio
import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from actors.capture import mime_view
from actors.smtpd.envelope import ReceivedMessage
from cluster.installation.private_files import make_folder
from cluster.metrics import Gauge

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so that an address of the page keeps its meaning
    received_at REAL NOT NULL,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,                 -- JSON array
    helo TEXT NOT NULL,
    peer TEXT NOT NULL,
    tls_version TEXT NOT NULL,
    tls_cipher TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT NOT NULL,
    header_from TEXT NOT NULL,
    header_to TEXT NOT NULL,
    searched TEXT NOT NULL,                -- case-folded: LIKE folds only ASCII
    content BLOB NOT NULL                  -- last: what stands before it is read without it
)
"""
_COLUMNS = (
    "id, received_at, mail_from, rcpt_to, helo, peer, tls_version, tls_cipher, size, subject, header_from, header_to"
)
_INSERT = f"INSERT INTO messages ({_COLUMNS}, searched, content) VALUES ({', '.join('?' * 14)})"
_WHERE = """
WHERE (:search = '' OR instr(searched, :search))
  AND (:recipient = '' OR instr(searched, :recipient) AND EXISTS (
       SELECT 1 FROM json_each(rcpt_to) AS rcpt WHERE rcpt.value = :recipient COLLATE NOCASE))
"""
_MAX_BATCH = 500
MAX_QUEUED = 5000
MAX_QUEUED_BYTES = 256 * 1024 * 1024
_MAX_ID = 2**63 - 1


class Captured(Struct, frozen=True, kw_only=True):
    """A captured message without its content."""

    id: int
    received_at: datetime
    mail_from: str
    rcpt_to: list[str]
    helo: str
    peer: str
    tls_version: str
    tls_cipher: str
    size: int
    subject: str
    header_from: str
    header_to: str


class MailPage(Struct, frozen=True):
    messages: list[Captured]
    total: int
    """The number of messages on all pages."""


class _Addition(Struct):
    envelope: ReceivedMessage
    received_at: datetime
    done: "asyncio.Future[int | None]"


class _Deletion(Struct):
    done: "asyncio.Future[int | None]"


class _Nothing(Struct):
    """Nothing more is queued now: the batch is complete."""


_NOTHING = _Nothing()


class MessageStore:
    waiting = Gauge("postray_capture_waiting", "Captured messages not yet on disk.", lambda store: store.queued)

    def __init__(self, path: Path, keep_messages: int) -> None:
        self._path = path
        self._keep = keep_messages
        self._queue: queue.SimpleQueue[_Addition | _Deletion | None] = queue.SimpleQueue()
        self._queued = 0
        self._queued_bytes = 0
        self._reader: ThreadPoolExecutor | None = None
        self._reading: sqlite3.Connection | None = None
        self._writer: threading.Thread | None = None

    async def open(self) -> None:
        """Creates the file if necessary; one of another schema version is emptied, as captured mail is disposable."""
        self._loop = asyncio.get_running_loop()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="capture-reader")
        writing = await asyncio.to_thread(_prepare, self._path)
        self._writer = threading.Thread(target=self._write, args=(writing,), name="capture-writer", daemon=True)
        self._writer.start()
        self._reading = await self._read(lambda: _connect(self._path))

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
        if self._writer is None:
            return 0
        done: asyncio.Future[int | None] = self._loop.create_future()
        self._queue.put(_Deletion(done))
        return await done or 0

    async def list_messages(
        self, *, search: str = "", recipient: str = "", page: int = 1, page_size: int = 50
    ) -> MailPage:
        """Newest first, pages from 1. ``search`` is looked for in subject and addresses; ``recipient`` is one complete
        envelope address."""
        values: dict[str, str | int] = {"search": search.casefold(), "recipient": recipient.casefold()}
        values |= {"size": min(page_size, _MAX_ID), "skip": min((page - 1) * page_size, _MAX_ID)}

        def read() -> MailPage:
            rows = self._query(
                f"SELECT {_COLUMNS} FROM messages {_WHERE} ORDER BY id DESC LIMIT :size OFFSET :skip", values
            )
            [(total,)] = self._query(f"SELECT count(*) FROM messages {_WHERE}", values)
            return MailPage([_captured(row) for row in rows], total)

        return await self._read(read)

    async def get(self, message_id: int) -> Captured | None:
        rows = await self._rows(f"SELECT {_COLUMNS} FROM messages WHERE id = :id", message_id)
        return _captured(rows[0]) if rows else None

    async def raw(self, message_id: int) -> bytes | None:
        rows = await self._rows("SELECT content FROM messages WHERE id = :id", message_id)
        return bytes(rows[0][0]) if rows else None

    async def count(self) -> int:
        [(count,)] = await self._read(lambda: self._query("SELECT count(*) FROM messages", {}))
        return int(count)

    # Reading

    async def _read(self, work: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._reader, work)

    async def _rows(self, sql: str, message_id: int) -> list[Any]:
        if not 0 < message_id <= _MAX_ID:
            return []
        return await self._read(lambda: self._query(sql, {"id": message_id}))

    def _query(self, sql: str, values: dict[str, Any]) -> list[Any]:
        assert self._reading is not None
        return self._reading.execute(sql, values).fetchall()

    # Writing: everything below runs in the writer thread

    def _write(self, connection: sqlite3.Connection) -> None:
        [(next_id,)] = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence").fetchall()
        item: _Addition | _Deletion | _Nothing | None = self._queue.get()
        while item is not None:
            batch: list[_Addition] = []
            while isinstance(item, _Addition):
                batch.append(item)
                item = self._queue.get() if len(batch) < _MAX_BATCH and not self._queue.empty() else _NOTHING
            if batch:
                ids, error = self._insert(connection, batch, next_id)
                next_id += len(ids)
                self._settle(batch, ids, error)
            if isinstance(item, _Deletion):
                self._delete(connection, item)
            if item is not None:
                item = self._queue.get()
        connection.close()

    def _insert(
        self, connection: sqlite3.Connection, additions: list[_Addition], first_id: int
    ) -> tuple[list[int], Exception | None]:
        try:
            rows = [_row(first_id + place, addition) for place, addition in enumerate(additions)]
            with connection:
                connection.executemany(_INSERT, rows)
                # Ids have no gaps, so this keeps the newest and needs no count.
                connection.execute("DELETE FROM messages WHERE id <= ?", (rows[-1][0] - self._keep,))
        except Exception as error:  # of any type: the callers must learn of it, and the thread must go on
            log.exception("%d captured messages could not be stored", len(additions))
            return [], error
        return [row[0] for row in rows], None

    def _delete(self, connection: sqlite3.Connection, deletion: _Deletion) -> None:
        error, deleted = None, 0
        try:
            with connection:
                deleted = connection.execute("DELETE FROM messages").rowcount
            connection.execute("PRAGMA incremental_vacuum").fetchall()
        except sqlite3.Error as caught:
            error = caught
        self._call(lambda: _resolve(deletion.done, deleted, error))

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


def _prepare(path: Path) -> sqlite3.Connection:
    make_folder(path.parent)
    path.touch(mode=0o600)
    connection = _connect(path)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # Survives the death of any process. A power cut may lose the last seconds of captured mail, which is test mail.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    if version != _SCHEMA_VERSION:
        with connection:
            connection.execute("DROP TABLE IF EXISTS messages")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10.0, check_same_thread=False)


def _row(message_id: int, addition: _Addition) -> tuple[Any, ...]:
    envelope = addition.envelope
    listed = mime_view.listed(envelope.content)
    searched = "\n".join([listed.subject, envelope.mail_from, *envelope.rcpt_to, listed.sender, listed.to]).casefold()
    return (
        message_id,
        addition.received_at.timestamp(),
        envelope.mail_from,
        json.dumps(envelope.rcpt_to, ensure_ascii=False),
        envelope.helo,
        envelope.peer,
        envelope.tls_version,
        envelope.tls_cipher,
        len(envelope.content),
        listed.subject,
        listed.sender,
        listed.to,
        searched,
        envelope.content,
    )


def _captured(row: tuple[Any, ...]) -> Captured:
    (id_, received_at, mail_from, rcpt_to, helo, peer, tls_version, tls_cipher, size, subject, sender, to) = row
    return Captured(
        id=id_,
        received_at=datetime.fromtimestamp(received_at, UTC),
        mail_from=mail_from,
        rcpt_to=json.loads(rcpt_to),
        helo=helo,
        peer=peer,
        tls_version=tls_version,
        tls_cipher=tls_cipher,
        size=size,
        subject=subject,
        header_from=sender,
        header_to=to,
    )
