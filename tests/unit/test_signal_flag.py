"""What handlers of signals set: a handler runs in the main thread, between any two instructions of what runs there."""

import sys
import threading
from collections.abc import Callable
from typing import Any

from cluster.commands.hanging_up import HangUp
from cluster.installation.signal_flag import SignalFlag

ENDS_S = 20.0


def ends(run: Callable[[], Any], handler: Callable[[], Any]) -> bool:
    """Whether ``run`` ends when the handler runs before each of its instructions, in its thread."""

    def before_each(frame: Any, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            handler()
        return before_each

    def traced() -> None:
        sys.settrace(before_each)
        try:
            run()
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    thread.join(ENDS_S)
    return not thread.is_alive()


def test_a_flag_is_set_at_any_moment() -> None:
    flag = SignalFlag()

    def run() -> None:
        flag.wait(0.01)
        flag.set()

    assert ends(run, flag.set)
    assert flag.is_set()


def test_a_wait_ends_with_the_flag_or_with_its_time() -> None:
    flag = SignalFlag()
    assert not flag.wait(0.01)
    threading.Timer(0.01, flag.set).start()
    assert flag.wait(ENDS_S)
    assert flag.wait(0)


def test_a_reload_is_asked_for_while_another_is() -> None:
    reloaded = threading.Semaphore(0)
    hang_up = HangUp(lambda: "done", lambda _: reloaded.release(), lambda: None)
    assert ends(hang_up, hang_up)
    assert reloaded.acquire(timeout=ENDS_S)
