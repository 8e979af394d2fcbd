"""Holds the queries of the door while timelines are read.

A query at work slows all steps to a timeline, of which the engine's is only one: the API, the journal and the recorder
want the same cores. So queries wait not only while the engine reads a timeline (``engine.FIRST``), but until none was
asked for during a moment. What holds them is a statement that goes before theirs and does nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from analytics.door.parser_thread import Engine
from analytics.engine import FIRST

log = logging.getLogger(__name__)

MOMENT_S = 0.1
"""After a timeline was asked for."""
LONGEST_S = 1.0
REST_S = 0.25
"""So that queries go on when timelines are asked for all the time: they have a fifth of it at least."""
STATEMENT = "SELECT sleep(0.02)"


class QueryHold:
    """``hold`` is called from one thread."""

    def __init__(
        self,
        connect: Callable[[], Engine],
        set_all: Callable[[Engine, Mapping[str, str]], None],
        confine: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connect`` opens a connection of the engine, ``set_all`` sets settings on one. ``confine`` is called in the
        thread before any other call."""
        self._connect = connect
        self._set_all = set_all
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sql-hold", initializer=confine)
        self._working: Future[None] | None = None
        self._until = 0.0
        self._may_begin = 0.0

    def hold(self) -> None:
        """Let the queries wait for a moment, or for a moment longer."""
        now = self._clock()
        self._until = now + MOMENT_S
        if (self._working is None or self._working.done()) and now >= self._may_begin:
            self._may_begin = now + LONGEST_S + REST_S
            self._working = self._thread.submit(self._work, now + LONGEST_S)
            self._working.add_done_callback(_told)

    def close(self) -> None:
        """End. Returns when the connection is closed."""
        self._until = 0.0
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _work(self, longest: float) -> None:
        """In the thread."""
        connection = self._connect()
        try:
            self._set_all(connection, {**FIRST, "max_threads": "1", "readonly": "1"})
            while self._clock() < min(self._until, longest):
                connection.query(STATEMENT)
        finally:
            connection.close()


def _told(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("queries cannot be held while timelines are read: %s", error)
