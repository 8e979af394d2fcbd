"""Questions to Ray's control service, which is on the head, from a process that is no actor: ``postray up``, ``down``.

Ray answers when the service is back, and until then its call does not return, so that not even a signal is noticed. So
each question has a thread of its own, which the end of the process does not wait for, and an end in time. An actor's
event loop asks in another way (questions.py).
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, ParamSpec, TypeVar

from cluster.peers import PeerGone

ANSWER_S = 15.0
LOOK_S = 0.1

P = ParamSpec("P")
T = TypeVar("T")


class RayAway(PeerGone):
    """Ray's control service does not answer, or Ray has ended."""


class Question(Generic[T]):
    """A question that was asked. Its answer may come later, or never."""

    def __init__(self, question: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> None:
        self._answer: Future[T] = Future()

        def ask() -> None:
            try:
                self._answer.set_result(question(*arguments, **named))
            except BaseException as error:
                self._answer.set_exception(error)

        threading.Thread(target=ask, name="ray", daemon=True).start()

    def answer(self, whom: str, seconds: float) -> T:
        """The answer. Raises RayAway when there is none in time, and what the question raises."""
        until = time.monotonic() + seconds
        while not wait((self._answer,), timeout=LOOK_S).done:
            if time.monotonic() > until:
                raise RayAway(whom, f"Ray's control service, on the head, does not answer within {seconds:.0f} s")
            if has_ended():
                raise RayAway(whom, "Ray has ended")
        return self._answer.result()


def asked(whom: str, question: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The answer to a question, as by ``Question.answer``."""
    return Question(question, *arguments, **named).answer(whom, ANSWER_S)


def has_ended() -> bool:
    """Whether one of the processes of Ray that this process has started has ended: all others end with it."""
    from ray._private.worker import _global_node

    return _global_node is not None and not _global_node.remaining_processes_alive()
