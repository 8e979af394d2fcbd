"""Warming a source up: how many messages a new address may send to a site on each day of its first weeks.

A receiver judges an address that it has never seen by how fast it begins. Days are those of UTC. The journal holds what
was granted of a day's cap (cluster/journal/warm_up.py); owners take it in portions, so that the cap holds across the
cluster, and what a killed owner held is lost rather than sent twice. Pure: the day is an argument.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct, field

PORTIONS = 20
"""A day's cap is taken in about so many portions: few statements, and little lost with an owner that is killed."""
MAX_PORTION = 1000
UNLIMITED = 2**31 - 1
"""What remains when there is no cap."""


class Plan(Struct, frozen=True):
    """The caps of one source. ``per_day``: messages to one site on day 1, 2, …; after the last there is no cap."""

    started: date
    per_day: tuple[int, ...]
    sites: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Other caps for single sites."""

    def cap(self, site: str, day: date) -> int | None:
        """Messages that may go to the site on this day; None sets no bound. 0 before the start."""
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

    The owner, once a second: ``renew``, and ``reopen`` unless the journal names source → site as exhausted; then, when
    ``wanted`` is not 0, it asks the journal for that many and tells ``granted`` the answer. Each message takes one.
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
        """How many may go now."""
        return UNLIMITED if self._cap is None else self._left

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing more may go today, whoever asks."""
        return self._cap is not None and self._is_spent and self._left == 0

    def renew(self, day: date, cap: int | None) -> None:
        """The day and its cap as they are now. What was left of another day is worth nothing any more."""
        if day != self._day:
            self._left = 0
        if (day, cap) != (self._day, self._cap):
            self._day, self._cap, self._is_spent = day, cap, cap == 0

    def reopen(self) -> None:
        """The journal has room again: another owner gave back what it did not use. Else who offers deliveries, and
        sees that, and the owner, who does not, would pass them to and fro until midnight."""
        self._is_spent = self._cap == 0

    def wanted(self) -> int:
        """How many to ask the journal for now; 0: none. Asks when half of a portion is used, so that none waits."""
        if self._cap is None or self._is_spent:
            return 0
        portion = min(max(1, self._cap // PORTIONS), MAX_PORTION)
        return portion if self._left * 2 <= portion else 0

    def granted(self, day: date, asked: int, count: int) -> None:
        """The journal's answer to a question that was asked on ``day``: less than asked is all there is."""
        if day == self._day:
            self._left += count
            self._is_spent = count < asked

    def take(self, count: int = 1) -> None:
        """So many are sent now; there should have been as many."""
        self._left = max(0, self._left - count)

    def put_back(self, count: int = 1) -> None:
        """So many that were taken were not sent after all."""
        self._left += count

    def leave(self) -> int:
        """Let go of what is left; returns how many the journal can give to others."""
        left, self._left = self._left, 0
        return 0 if self._cap is None else left
