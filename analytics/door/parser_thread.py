"""Checks queries in a thread of its own, the only one that uses the parser's connection."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from analytics.client import ClickHouseUnavailable
from analytics.door.failures import ErrorCode, failed
from analytics.door.parsing import Checked, EngineConnection, Parser

CLOSE_MAX_WAIT_S = 10.0

T = TypeVar("T")


class Engine(EngineConnection, Protocol):
    """A connection that can be closed."""

    def close(self) -> None: ...


class ParserThread:
    """Call from one event loop."""

    def __init__(
        self,
        connect: Callable[[], Engine],
        database: str,
        *,
        require_ready: Callable[[], object],
        confine: Callable[[], object] = lambda: None,
    ) -> None:
        """``connect`` is called in the thread, at the first query. ``require_ready`` raises ClickHouseUnavailable while
        no query can be answered. ``confine`` is called in the thread before any other call."""
        self._connect = connect
        self._database = database
        self._require_ready = require_ready
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sql-parser", initializer=confine)
        self._connection: Engine | None = None
        self._parser: Parser | None = None

    async def check(self, text: str, *, is_tenant: bool) -> Checked:
        """Check a query's text. Raises QueryFailed."""
        try:
            self._require_ready()
        except ClickHouseUnavailable as error:
            raise failed(ErrorCode.NETWORK_ERROR, f"ClickHouse is not there: {error.reason}") from None
        return await self.run(lambda: self._own_parser().check(text, is_tenant=is_tenant))

    async def run(self, call: Callable[[], T]) -> T:
        """Call something short in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def close(self) -> None:
        """End the parser: the process can then open another engine. A call that does not return is left to the end of
        the process."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.run(self._close), CLOSE_MAX_WAIT_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    # The methods below run in the thread.

    def _own_parser(self) -> Parser:
        if self._parser is None:
            self._connection = self._connect()
            self._parser = Parser(self._connection, self._database)
        return self._parser

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._parser = None
