"""What a share of source → site may do now: its limits, as automation has adjusted them, and its rate turns."""

from collections.abc import Callable
from math import ceil

from cluster.policy.limits.gcra import Gcra
from cluster.policy.limits.shaping import Limits
from cluster.policy.replies.automation import Adjustments
from cluster.policy.routes.destinations import Destination

MARGIN = 0.95
"""The part of a rate that is used: a host counts in its own windows, and evenly sent messages arrive with jitter."""
LATE_S = 0.005
"""A start that is late by up to this much is made up for, since timers are no finer."""
CARRIED_S = 10.0
"""A rate limit also bounds the connections: to what it needs if every transaction takes this long."""


class Throttle:
    """``clock``: monotonic seconds. ``behind``: how many deliveries are queued behind the submitted jobs."""

    __slots__ = ("_adjustments", "_clock", "_messages", "_openings", "_place", "behind", "limits")  # one for each site

    def __init__(
        self,
        place: Destination,
        limits: Limits,
        adjustments: Adjustments,
        clock: Callable[[], float],
        behind: Callable[[], int],
    ) -> None:
        self._place = place
        self._adjustments = adjustments
        self._clock = clock
        self._messages = _Turns()
        self._openings = _Turns()
        self.behind = behind
        self.limits = limits

    def connections(self) -> int:
        """How many connections may be open."""
        limit = self._place.part_of(self._adjustments.connections(self.limits.connections))
        rate = self.message_rate()
        return min(limit, max(1, ceil(rate * CARRIED_S))) if rate else limit

    def message_rate(self) -> float:
        """How many messages may begin per second; 0 sets no limit."""
        limit = self.limits.message_rate
        rate = self._adjustments.message_rate(limit.per_second if limit else 0.0)
        return self._part_of(rate) if rate else 0.0

    def connections_per_address(self) -> int:
        """How many connections may be open to one address; 0 sets no limit."""
        limit = self.limits.connections_per_ip
        return self._place.part_of(limit) if limit else 0

    def most_shares(self) -> int:
        """Into how many shares the limits of the whole can be divided: each has a connection at least."""
        connections = self._adjustments.connections(self.limits.connections)
        return max(1, min(connections, self.limits.connections_per_ip or connections))

    def message_wait_s(self) -> float:
        """Seconds until a transaction may begin."""
        now, rate = self._clock(), self.message_rate()
        wait = self._messages.wait_s(rate, now)
        return wait + self._slot_wait_s(now + wait, rate) if 0 < rate < 1 else wait

    def take_message(self) -> None:
        """A transaction begins now."""
        self._messages.take(self.message_rate(), self._clock())

    def opening_rate(self) -> float:
        """How many connections may be opened per second; 0 sets no limit."""
        rate = self.limits.connection_rate
        return self._part_of(rate.per_second) if rate else 0.0

    def opening_wait_s(self) -> float:
        """Seconds until a connection may be opened."""
        return self._openings.wait_s(self.opening_rate(), self._clock())

    def take_opening(self) -> None:
        """A connection is opened now."""
        self._openings.take(self.opening_rate(), self._clock())

    def took_over(self, at: float) -> None:
        """Another actor has perhaps begun a transaction at this time, and opened a connection."""
        self._messages.taken_elsewhere(self.message_rate(), at)
        self._openings.taken_elsewhere(self.opening_rate(), at)

    def _slot_wait_s(self, at: float, rate: float) -> float:
        """For a share with less than one message per second: seconds from ``at`` to its next slot. The shares have
        successive slots; otherwise all could send their next message at the same time. This is exact for shares on one
        machine, which have the same clock."""
        cycle = 1 / (rate * MARGIN)
        slot = cycle / self._place.shares
        into = (at - self._place.share * slot) % cycle
        return 0.0 if self._place.shares == 1 or into < slot * (1 - MARGIN) else cycle - into

    def _part_of(self, rate: float) -> float:
        """This share's part of a rate: whole messages per second if there are enough for all shares. With fractions,
        each share could round up in the same second, and together they would exceed the rate."""
        shares = self._place.shares
        if rate < shares:
            return rate / shares
        return float(self._place.part_of(int(rate))) if shares > 1 else rate


class _Turns:
    """A GCRA at a rate that may change; 0 sets no limit."""

    __slots__ = ("_gcra", "_rate")  # there are two for each site

    def __init__(self) -> None:
        self._rate = 0.0
        self._gcra: Gcra | None = None

    def take(self, rate: float, now: float) -> None:
        if (gcra := self._at(rate, now)) is not None:
            gcra.take(1, now)

    def taken_elsewhere(self, rate: float, at: float) -> None:
        if (gcra := self._at(rate, at)) is not None:
            gcra.taken_elsewhere(at)

    def wait_s(self, rate: float, now: float) -> float:
        gcra = self._at(rate, now)
        return gcra.wait_s(now) if gcra else 0.0

    def _at(self, rate: float, now: float) -> Gcra | None:
        if rate != self._rate:
            self._rate = rate
            burst = 1 + rate * LATE_S
            if not rate:
                self._gcra = None
            elif self._gcra is None:
                self._gcra = Gcra(rate * MARGIN, burst)
            else:
                self._gcra.change(rate * MARGIN, burst, now)
        return self._gcra
