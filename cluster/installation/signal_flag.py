"""What a handler of a signal sets, and the program waits for."""

import os
import select
import signal
import time


class SignalFlag:
    """A flag that a handler may set at any moment. ``threading.Event`` is not such a flag: its lock is held when a wait
    begins and while it is set, and a handler that runs in that moment, in the same thread, waits for the lock until the
    process is killed. A queue's lock is not either: a handler runs once its wait has ended, and a signal ends that wait
    only when it comes to the main thread and after the wait has begun. So this waits for a file descriptor that the
    interpreter writes to when a signal comes, to any thread (documentation of ``signal.set_wakeup_fd``).
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Whether a handler has set it, by the end of the time at the latest. For the main thread, where handlers run;
        another one gets ValueError."""
        ends_at = time.monotonic() + timeout_s
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        former = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            while not self._is_set and (left_s := ends_at - time.monotonic()) > 0:
                if select.select([woken], [], [], left_s)[0]:
                    os.read(woken, select.PIPE_BUF)
        finally:
            signal.set_wakeup_fd(former)
            os.close(woken)
            os.close(wake)
        return self._is_set
