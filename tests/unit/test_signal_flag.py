"""What handlers of signals set: a handler runs in the main thread, between any two instructions of what runs there."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cluster.commands.hanging_up import HangUp
from cluster.installation.signal_flag import SignalFlag

ENDS_S = 20.0


@contextmanager
def handled(number: int, handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    former = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, former)


def interrupt_each(run: Callable[[], Any], handler: Callable[[], Any]) -> None:
    """Call the handler before each instruction of ``run``. Raises TimeoutError when that does not end."""

    def before_each(frame: Any, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            handler()
        return before_each

    def late(*_: object) -> None:
        raise TimeoutError

    with handled(signal.SIGALRM, late):
        signal.setitimer(signal.ITIMER_REAL, ENDS_S)
        former = sys.gettrace()
        sys.settrace(before_each)
        try:
            run()
        finally:
            sys.settrace(former)
            signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_flag_is_set_at_any_moment() -> None:
    flag = SignalFlag()

    def run() -> None:
        flag.wait(0.01)
        flag.set()

    interrupt_each(run, flag.set)
    assert flag.is_set()


def test_a_wait_ends_with_its_time() -> None:
    assert not SignalFlag().wait(0.01)


def test_a_wait_ends_with_a_signal_that_comes_to_another_thread() -> None:
    flag = SignalFlag()
    began = time.monotonic()

    def get_signal() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    with handled(signal.SIGUSR1, lambda *_: flag.set()):
        timer = threading.Timer(0.05, get_signal)
        timer.start()
        assert flag.wait(ENDS_S)
        timer.join()
    assert time.monotonic() - began < ENDS_S / 2
    assert flag.wait(0)


def test_a_signal_that_does_not_set_it_leaves_the_wait() -> None:
    with handled(signal.SIGUSR1, lambda *_: None):
        timer = threading.Timer(0.01, signal.raise_signal, [signal.SIGUSR1])
        timer.start()
        assert not SignalFlag().wait(0.05)
        timer.join()


def test_a_reload_is_asked_for_while_another_is() -> None:
    reloaded = threading.Semaphore(0)
    hang_up = HangUp(lambda: "done", lambda _: reloaded.release(), lambda: None)
    interrupt_each(hang_up, hang_up)
    assert reloaded.acquire(timeout=ENDS_S)
