"""Runs checked queries on the embedded engine.

Each query has a connection and a thread of its own, so no insert and no timeline waits for it. The engine writes the
answer to a named pipe, in the client's format and compression, and waits while the client does not read: so an answer
of any size takes the memory of a pipe.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from analytics.client import ClickHouseUnavailable
from analytics.door.failures import ErrorCode, engine_failed, failed
from analytics.door.jobs import Job, Totals
from analytics.door.parsing import Checked, EngineConnection, Parser

PIPE_BYTES = 64 * 1024
"""Read at once."""
PARSING_MAX_WAIT_S = 10.0


YIELDING = {
    # While a statement of the recorder runs (``engine.FIRST``), the query waits at its next block.
    "priority": "10",
}
"""Settings of each query."""


class Engine(EngineConnection, Protocol):
    """A connection that can be closed."""

    def close(self) -> None: ...


class EmbeddedEngine:
    """Call from one event loop."""

    supports = frozenset({"br", "gzip", "lz4", "zstd"})
    """Compressions of answers."""

    def __init__(
        self,
        connect: Callable[[], Engine],
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
        self._database = database
        self._require_ready = require_ready
        self._running = ThreadPoolExecutor(queries, thread_name_prefix="sql", initializer=confine)
        self._control = ThreadPoolExecutor(1, thread_name_prefix="sql-control", initializer=confine)
        self._parser: Parser | None = None
        self._parsing: Engine | None = None

    async def check(self, text: str, *, is_tenant: bool) -> Checked:
        """Check a query's text. Raises QueryFailed."""
        try:
            self._require_ready()
        except ClickHouseUnavailable as error:
            raise failed(ErrorCode.NETWORK_ERROR, f"ClickHouse is not there: {error.reason}") from None
        checked: Checked = await self._controlled(lambda: self._own_parser().check(text, is_tenant=is_tenant))
        return checked

    async def start(self, job: Job) -> "Running":
        """Begin to run a query."""
        name = secrets.token_hex(8)
        path = self._folder / f"{name}.pipe"
        os.mkfifo(path, 0o600)
        running = Running(path, lambda: self._controlled(lambda: self._kill(name)))
        loop = asyncio.get_running_loop()
        await running.open(loop.run_in_executor(self._running, self._run, job, name, path))
        return running

    async def close(self) -> None:
        """Close what has no query running; for the rest, the process ends."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._controlled(self._close), PARSING_MAX_WAIT_S)
        self._running.shutdown(wait=False, cancel_futures=True)
        self._control.shutdown(wait=False, cancel_futures=True)

    async def _controlled(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._control, call)

    # The methods below run in threads.

    def _own_parser(self) -> Parser:
        if self._parser is None:
            self._parsing = self._connect()
            _set(self._parsing, {"max_memory_usage": "200000000", "max_threads": "1", "readonly": "1"})
            self._parser = Parser(self._parsing, self._database)
        return self._parser

    def _close(self) -> None:
        if self._parsing is not None:
            self._parsing.close()
            self._parsing = self._parser = None

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
        self._reader = asyncio.StreamReader(limit=PIPE_BYTES)
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
        data = await self._reader.read(PIPE_BYTES)
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
