"""Holds the queries of the door while timelines are read.

A query at work slows all steps to a timeline, of which the engine's is only one: the API, the journal and the recorder
want the same cores. So queries wait not only while the engine reads a timeline (``engine.FIRST``), but until none was
asked for during a moment. What holds them is a statement that goes before theirs: it is begun and not read to its end,
which costs nothing. Whenever a statement of any priority ends, the engine lets each query that waits go on for a block
of rows. So there is one such statement for all of that time, and timelines that are read meanwhile have no priority
(``queries.HELD``).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from analytics.door.parser_thread import Engine
from analytics.engine import FIRST

log = logging.getLogger(__name__)

MOMENT_S = 0.1
"""After a timeline was asked for."""
LONGEST_S = 1.0
REST_S = 0.25
"""So that queries go on when timelines are asked for all the time: they have a fifth of it at least."""
STATEMENT = "SELECT number FROM numbers(1000000)"
"""Far more blocks than the engine makes ahead of its reader."""
SETTINGS = {**FIRST, "max_threads": "1", "max_block_size": "1", "readonly": "1"}


class HoldingConnection(Engine, Protocol):
    """A connection whose statements may also be read in pieces."""

    def send_query(self, query: str, format: str) -> Any:
        """Raises RuntimeError."""


class QueryHold:
    """``hold`` is called from one thread."""

    def __init__(
        self,
        connect: Callable[[], HoldingConnection],
        set_all: Callable[[Any, Mapping[str, str]], None],
        confine: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``connect`` opens a connection of the engine, ``set_all`` sets settings on one. ``confine`` is called in the
        thread before any other call. ``wait`` waits for so many seconds, or until ``close``."""
        self._connect = connect
        self._set_all = set_all
        self._clock = clock
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sql-hold", initializer=confine)
        self._working: Future[None] | None = None
        self._holds = False
        self._until = 0.0
        self._may_begin = 0.0

    def hold(self) -> bool:
        """Let the queries wait for a moment, or for a moment longer. Returns whether they wait already."""
        now = self._clock()
        self._until = now + MOMENT_S
        if (self._working is None or self._working.done()) and now >= self._may_begin:
            self._may_begin = now + LONGEST_S + REST_S
            self._working = self._thread.submit(self._work, now + LONGEST_S)
            self._working.add_done_callback(_told)
        return self._holds

    def close(self) -> None:
        """End. Returns when the connection is closed."""
        self._until = 0.0
        self._closing.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _work(self, longest: float) -> None:
        """In the thread."""
        connection = self._connect()
        try:
            self._set_all(connection, SETTINGS)
            statement = connection.send_query(STATEMENT, "TSV")
            try:
                statement.fetch()
                self._holds = True
                while (left := min(self._until, longest) - self._clock()) > 0:
                    self._wait(left)
            finally:
                self._holds = False
                statement.close()
        finally:
            connection.close()


def _told(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("queries cannot be held while timelines are read: %s", error)
