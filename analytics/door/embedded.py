"""Runs checked queries on the embedded engine.

Each query has a connection and a thread of its own, so no insert and no timeline waits for it. The engine writes the
answer to a named pipe, in the client's format and compression, and waits while the client does not read: so an answer
of any size takes the memory of a pipe.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from analytics.door.failures import engine_failed
from analytics.door.holding import HoldingConnection, QueryHold
from analytics.door.jobs import READ_BYTES, Job, Totals
from analytics.door.parser_thread import Engine, ParserThread
from analytics.door.parsing import Checked, EngineConnection
from cluster.installation.private_files import make_folder

YIELDING = {
    # While a statement of the recorder runs (``engine.FIRST``), the query waits at its next block.
    "priority": "10",
}
"""Settings of each query."""


class EmbeddedEngine:
    """Call from one event loop."""

    def __init__(
        self,
        connect: Callable[[], HoldingConnection],
        folder: Path,
        database: str,
        *,
        queries: int,
        require_ready: Callable[[], object],
        confine: Callable[[], object],
    ) -> None:
        """``require_ready`` raises ClickHouseUnavailable unless the engine runs. ``connect`` opens a connection of it.
        ``folder``: for pipes, which the engine may write to. ``queries``: at the same time. ``confine`` is called in
        each thread before any other call."""
        self._connect = connect
        self._folder = folder
        self._running = ThreadPoolExecutor(queries, thread_name_prefix="sql", initializer=confine)
        self._hold = QueryHold(connect, _set, confine)
        self._parser = ParserThread(self._for_parser, database, require_ready=require_ready, confine=confine)

    async def open(self) -> None:
        """Make the folder for pipes; what an earlier process left in it is removed. Raises OSError."""
        make_folder(self._folder)
        for left in self._folder.iterdir():
            left.unlink()

    async def check(self, text: str, *, is_tenant: bool) -> Checked:
        """Check a query's text. Raises QueryFailed."""
        return await self._parser.check(text, is_tenant=is_tenant)

    async def start(self, job: Job) -> "Running":
        """Begin to run a query."""
        name = secrets.token_hex(8)
        path = self._folder / f"{name}.pipe"
        os.mkfifo(path, 0o600)
        running = Running(path, lambda: self._parser.run(lambda: self._kill(name)))
        loop = asyncio.get_running_loop()
        await running.open(loop.run_in_executor(self._running, self._run, job, name, path))
        return running

    def hold(self) -> bool:
        """Let queries wait for a moment: a timeline is asked for. Returns whether they wait already."""
        return self._hold.hold()

    async def close(self) -> None:
        """Close what has no query running; for the rest, the process ends."""
        await asyncio.to_thread(self._hold.close)
        await self._parser.close()
        self._running.shutdown(wait=False, cancel_futures=True)

    # The methods below run in threads.

    def _for_parser(self) -> Engine:
        connection = self._connect()
        _set(connection, {"max_memory_usage": "200000000", "max_threads": "1", "readonly": "1"})
        return connection

    def _run(self, job: Job, name: str, path: Path) -> Totals:
        connection = self._connect()
        try:
            connection.query(f"USE `{job.database}`")
            _set(connection, {**job.settings, **YIELDING, "log_comment": name})
            _set(connection, {"readonly": "1"})  # last: from now on no setting can be changed
            compression = f" COMPRESSION '{job.compression}'" if job.compression else ""
            text = f"{job.query.text}\nINTO OUTFILE '{path}' TRUNCATE{compression} FORMAT {job.format}"
            done = connection.query(text, "TSV", params=job.parameters)
            return Totals(
                read_rows=done.storage_rows_read(),
                read_bytes=done.storage_bytes_read(),
                result_rows=done.rows_read(),
                elapsed_ns=int(done.elapsed() * 1e9),
            )
        except RuntimeError as error:
            raise engine_failed(str(error)) from None
        finally:
            connection.close()

    def _kill(self, name: str) -> None:
        connection = self._connect()
        try:
            connection.query(f"KILL QUERY WHERE Settings['log_comment'] = '{name}' ASYNC")
        finally:
            connection.close()


class Running:
    """A query that runs; its answer is read from a pipe. Call ``close`` in any case."""

    def __init__(self, path: Path, kill: Callable[[], Any]) -> None:
        self._path = path
        self._kill = kill
        self._done: asyncio.Future[Totals] | None = None
        self._reader = asyncio.StreamReader(limit=READ_BYTES)
        self._transport: asyncio.ReadTransport | None = None
        self._writable = -1

    async def open(self, done: "asyncio.Future[Totals]") -> None:
        """``done``: the end of the query."""
        self._done = done
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # So that the pipe does not end before the engine opens it.
        self._writable = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), os.fdopen(descriptor, "rb", 0)
        )
        done.add_done_callback(lambda _: self._end())

    async def read(self) -> bytes:
        """The next bytes of the answer; none when it is complete. Raises QueryFailed."""
        data = await self._reader.read(READ_BYTES)
        if not data:
            assert self._done is not None
            await asyncio.shield(self._done)
        return data

    @property
    def totals(self) -> Totals | None:
        """What the query did, once it has ended well."""
        assert self._done is not None
        ended = self._done.done() and not self._done.cancelled() and self._done.exception() is None
        return self._done.result() if ended else None

    async def close(self) -> None:
        """End the query if it runs, and remove its pipe. Returns when its thread is free."""
        assert self._done is not None
        try:
            while not self._done.done():
                if self._transport is not None:
                    self._transport.close()  # its writer gets an error instead of waiting
                await self._kill()
                await asyncio.wait((self._done,), timeout=1.0)
        finally:
            self._end()
            if self._transport is not None:
                self._transport.close()
            self._path.unlink(missing_ok=True)
            if self._done.done() and not self._done.cancelled():
                self._done.exception()  # otherwise asyncio logs it

    def _end(self) -> None:
        if self._writable >= 0:
            os.close(self._writable)
            self._writable = -1


def _set(connection: EngineConnection, settings: Mapping[str, str]) -> None:
    """Raises RuntimeError. The names are of our lists, or have been compared with one."""
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items()))


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
