"""A limit of time for calls of the journal: a Postgres that stands still keeps its connections, and answers nothing."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from cluster.journal.database import Unavailable

PUBLIC_ANSWER_S = 5.0
"""How long the journal may take where anybody may ask, without a key: a person waits, or a mail program that tries
again."""

T = TypeVar("T")


class TimeLimit:
    """Work on the journal, each for at most some seconds."""

    def __init__(self, seconds: float = PUBLIC_ANSWER_S) -> None:
        self._seconds = seconds
        self._ending: set[asyncio.Task[Any]] = set()
        """Work that was given up and has not ended yet. Each holds a connection, or waits for one for some seconds."""

    async def result(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``. Raises what it raises, and Unavailable when it takes longer.

        Then it is cancelled, so that no further statement of it begins when Postgres goes on: a change that was
        answered 503 must not undo one that came after it. The end of that is not waited for, since psycopg takes ten
        seconds to give up a connection that does not answer. A commit that was sent before may still take effect.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task,), timeout=self._seconds)
        except asyncio.CancelledError:
            self._give_up(task)
            raise
        if task.done():
            return task.result()
        self._give_up(task)
        raise Unavailable(f"no answer within {self._seconds:g} s")

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ended)
        task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs it
