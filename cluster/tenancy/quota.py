"""A tenant's daily quota as one process knows it: its own messages exactly, those of the others as of the last reading.
Pure, but for the clocks that it is given. The journal has the truth: each commit counts its messages.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime

from msgspec import Struct

from cluster.tenancy.exceeded import QuotaExceeded

FRESH_S = 1.0
"""How old a reading may be when a request is accepted. Several processes together accept at most what they do in this
time beyond the quota."""
DAY_S = 86_400

Clock = Callable[[], float]


class QuotaLeft(Struct, frozen=True):
    """What is left of a quota of ``most`` messages; below 0 when the quota was lowered."""

    most: int
    left: int

    def require(self, messages: int, now: float) -> None:
        """Raises QuotaExceeded when they do not all fit. ``now`` is in Unix seconds."""
        if messages > self.left:
            raise self.exceeded(messages, now)

    def exceeded(self, messages: int, now: float) -> QuotaExceeded:
        left = max(0, self.left)
        midnight = (now // DAY_S + 1) * DAY_S
        return QuotaExceeded(
            f"{left:,} of {self.most:,} messages are left today, and the request has {messages:,}; "
            "the next day begins at midnight UTC",
            max(1, math.ceil(midnight - now)),
            self.most,
            left,
            int(midnight),
        )


class Quota:
    """The messages of the current day (UTC)."""

    __slots__ = ("_clock", "_others", "_own", "_read_at", "_wall", "day", "most", "was_asked")

    def __init__(self, most: int, clock: Clock, wall: Clock) -> None:
        """``clock`` is monotonic; ``wall`` has Unix seconds."""
        self.most = most
        self.was_asked = False
        """Whether it was used since the last reading; the limiter resets it."""
        self._clock = clock
        self._wall = wall
        self.day = -1
        self._own = 0
        self._others = 0
        self._read_at = -math.inf

    def is_fresh(self) -> bool:
        """Whether the last reading is of today and not too old."""
        return self._wall() // DAY_S == self.day and self._clock() - self._read_at < FRESH_S

    def needs_reading(self) -> bool:
        """Whether it was used since the last reading, which will not be fresh for much longer."""
        return self.was_asked and self._clock() - self._read_at >= FRESH_S / 2

    def require(self) -> None:
        """Raises QuotaExceeded when nothing is left of the day."""
        self.was_asked = True
        self.left.require(1, self._wall())

    def charge(self, messages: int) -> None:
        """Count messages that are about to be committed. Raises QuotaExceeded when they do not all fit."""
        self.was_asked = True
        self.left.require(messages, self._wall())
        self._own += messages

    def give_back(self, messages: int) -> None:
        """Take back a charge."""
        self._own -= messages

    @property
    def left(self) -> QuotaLeft:
        return QuotaLeft(self.most, self.most - self._own - self._others)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """X-RateLimit-Limit, -Remaining and -Reset of the day."""
        return self.left.exceeded(0, self._wall()).headers()

    def add(self, messages: int) -> None:
        """Count messages that this process's worker has committed, until a reading has them."""
        self._others += messages

    def read(self, day: int, own: int, others: int, at: float) -> None:
        """Take a reading, begun ``at`` (monotonic): the messages of a day that this process has committed, and those of
        the others. Counts only grow in a day. Of its own messages the process knows more, unless a commit has
        succeeded that it took for failed, or that it made in an earlier life."""
        if day != self.day:
            self.day, self._own, self._others = day, 0, 0
        self._own = max(self._own, own)
        self._others = max(self._others, others)
        self._read_at = at


def date_of(day: int) -> date:
    """The date of a day, which is counted since 1970."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date()
