"""What a handler of a signal sets, and the program waits for."""

import contextlib
from queue import Empty, SimpleQueue


class SignalFlag:
    """A flag that a handler may set at any moment. ``threading.Event`` is not such a flag: its lock is held when a wait
    begins and while it is set, and a handler that runs in that moment, in the same thread, waits for the lock until the
    process is killed. A put into a ``SimpleQueue`` may interrupt whatever the queue does (documentation of ``queue``).
    """

    def __init__(self) -> None:
        self._is_set = False
        self._woken = SimpleQueue[None]()

    def set(self) -> None:
        self._is_set = True
        self._woken.put(None)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Whether it is set, by the end of the time at the latest. One thread waits."""
        if not self._is_set:
            with contextlib.suppress(Empty):
                self._woken.get(timeout=timeout_s)
        return self._is_set
