"""Warm-up: how many messages a new source address may send to a site on each day of its first weeks.

A receiver judges an unknown address by how fast it begins. Days are UTC days. The journal records how much of a day's
cap was granted (cluster/journal/warm_up.py). Owners take it in portions, so that the cap holds across the cluster; the
unused part of a killed owner's portion is lost, never sent twice. Pure: the day is an argument.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct, field

PORTIONS = 20
"""A day's cap is taken in about this many portions: few statements, and little is lost when an owner is killed."""
MAX_PORTION = 1000
UNLIMITED = 2**31 - 1
"""The remaining number when there is no cap."""


class WarmUpPlan(Struct, frozen=True):
    """The caps of one source. ``per_day``: messages to one site on day 1, 2, …; after the last day there is no cap."""

    started: date
    per_day: tuple[int, ...]
    sites: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Other caps for particular sites."""

    def cap(self, site: str, day: date) -> int | None:
        """Messages that may go to the site on this day; None sets no limit. 0 before the start."""
        per_day = self.sites.get(site, self.per_day)
        number = (day - self.started).days
        if number < 0:
            return 0
        return per_day[number] if number < len(per_day) else None

    def ends(self) -> date:
        """The first day on which no site has a cap."""
        return self.started + timedelta(days=max(len(self.per_day), *map(len, self.sites.values()), 0))


class Allowance:
    """What one owner of source → site may still send today, and when it must ask the journal for more.

    Once a second the owner calls ``renew``, and ``reopen`` unless the journal names source → site as exhausted. Then,
    if ``wanted`` is not 0, it asks the journal for that many and passes the answer to ``granted``. Each message takes
    one.
    """

    def __init__(self, day: date, cap: int | None) -> None:
        self._day = day
        self._cap = cap
        self._left = 0
        self._is_spent = cap == 0

    @property
    def day(self) -> date:
        return self._day

    @property
    def cap(self) -> int | None:
        return self._cap

    @property
    def remaining(self) -> int:
        """How many messages may be sent now."""
        return UNLIMITED if self._cap is None else self._left

    @property
    def is_exhausted(self) -> bool:
        """Whether no owner may send more today."""
        return self._cap is not None and self._is_spent and self._left == 0

    def renew(self, day: date, cap: int | None) -> None:
        """Set the day and its cap. What was left of another day is dropped."""
        if day != self._day:
            self._left = 0
        if (day, cap) != (self._day, self._cap):
            self._day, self._cap, self._is_spent = day, cap, cap == 0

    def reopen(self) -> None:
        """The journal has room again: another owner returned its unused part. Without this call, the senders of offers,
        which see that room, and the owner, which does not, would pass deliveries back and forth until midnight."""
        self._is_spent = self._cap == 0

    def wanted(self) -> int:
        """How many to ask the journal for now; 0: none. Asks when half of a portion is used, so that no message
        waits."""
        if self._cap is None or self._is_spent:
            return 0
        portion = min(max(1, self._cap // PORTIONS), MAX_PORTION)
        return portion if self._left * 2 <= portion else 0

    def granted(self, day: date, asked: int, count: int) -> None:
        """The journal's answer to a request of ``day``. Fewer than ``asked`` means that the rest of the cap is
        taken."""
        if day == self._day:
            self._left += count
            self._is_spent = count < asked

    def take(self, count: int = 1) -> None:
        """Take ``count`` for messages that are sent now. The caller has checked ``remaining``."""
        self._left = max(0, self._left - count)

    def put_back(self, count: int = 1) -> None:
        """Return ``count`` that were taken but not sent."""
        self._left += count

    def leave(self) -> int:
        """Drop what is left; returns how many the journal can give to other owners."""
        left, self._left = self._left, 0
        return 0 if self._cap is None else left
