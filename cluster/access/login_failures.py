"""What follows a failed login: each further attempt is slower, by client and by user, in a bounded table; and the line
in the log."""

from collections import OrderedDict
from collections.abc import Callable

from cluster.keys import without_keys
from cluster.printable import printable

LONGEST_USER = 64
"""Characters of a user that are logged and counted by."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
FORGIVEN_AFTER_S = 600.0
_KEPT = 10_000


class Failures:
    """Failed attempts by name, an address or a user. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], kept: int = _KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, *names: str) -> float:
        """Count a failure; returns for how long its answer waits, in seconds."""
        return max(self._one(name) for name in names)

    def forget(self, *names: str) -> None:
        """After a success."""
        for name in names:
            self._failed.pop(name, None)

    def _one(self, name: str) -> float:
        now = self._clock()
        count, at = self._failed.pop(name, (0, now))
        count = count + 1 if now - at < FORGIVEN_AFTER_S else 1
        self._failed[name] = (count, now)
        while len(self._failed) > self._kept:
            self._failed.popitem(last=False)
        return min(float(FIRST_PAUSE_S * (1 << min(count - 1, 10))), LONGEST_PAUSE_S)


def failure_line(address: str, user: str) -> str:
    """What the log has of a failed login, in one form for programs that read logs, such as fail2ban. Some give a key as
    the user: of that it has as much as a list of keys may show."""
    return f"auth failed address={address} user={printable(without_keys(user)[:LONGEST_USER])}"
