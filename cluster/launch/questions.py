"""Questions to Ray's control service, which is on the head, from an event loop.

They wait in threads, since Ray answers when the service is back, and until then not at all. So they have threads of
their own, and a bound: when these all wait, a further question is answered at once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from cluster.peers import PeerGone

WAITING_AT_MOST = 8
ANSWER_S = 5.0
AWAY = "Ray's control service does not answer"
"""One reason, so that an outage is logged once."""

P = ParamSpec("P")
T = TypeVar("T")


class Questions:
    """``answer_s``: how long one waits for its answer. It keeps its thread until Ray answers."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._threads = ThreadPoolExecutor(WAITING_AT_MOST, thread_name_prefix="ray")
        self._late = 0
        """Questions whose callers have given up."""

    async def ask(self, whom: str, question: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The answer. Raises PeerGone when none comes in time, and what the question raises."""
        if self._late >= WAITING_AT_MOST:
            raise PeerGone(whom, AWAY)
        asked = self._threads.submit(question, *arguments, **named)
        answer = asyncio.wrap_future(asked)
        try:
            async with asyncio.timeout(self._answer_s):
                return await asyncio.shield(answer)
        except TimeoutError as error:
            if not asked.cancel():  # it waits for Ray, and not for a thread
                self._late += 1
                answer.add_done_callback(self._answered)
            raise PeerGone(whom, AWAY) from error

    def _answered(self, answer: "asyncio.Future[T]") -> None:
        self._late -= 1
        if not answer.cancelled():
            answer.exception()  # taken, or asyncio reports that it never was: its caller has given up
