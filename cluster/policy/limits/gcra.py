"""The rate limit: the generic cell rate algorithm (ITU-T I.371), which is a token bucket kept as one number."""

ROUNDING_S = 1e-6
"""Errors of rounding are smaller: a wait of this length is none."""


class Gcra:
    """At most ``rate`` a second in the long run, and ``burst`` at once. The caller supplies the clock."""

    __slots__ = ("_full_at", "_interval", "_tolerance")

    def __init__(self, rate: float, burst: float) -> None:
        """``rate`` > 0, per second; ``burst`` ≥ 1."""
        self._full_at = 0.0
        """When the bucket will be full again (the theoretical arrival time)."""
        self._interval = 1 / rate
        self._tolerance = self._interval * burst

    def change(self, rate: float, burst: float, now: float) -> None:
        """Change the rate from now on. What has been taken stays taken, at the rate that recovers it sooner: after one
        message at one a day, a new rate of ten a second must not wait until tomorrow."""
        owed_s = max(0.0, self._full_at - now)
        self._full_at = now + min(owed_s, owed_s / self._interval / rate)
        self._interval = 1 / rate
        self._tolerance = self._interval * burst

    def take(self, count: float, now: float) -> None:
        """Take ``count`` now. The caller has checked ``wait_s``. A negative count is given back."""
        self._full_at = max(self._full_at, now) + count * self._interval

    def taken_elsewhere(self, at: float) -> None:
        """Another process has perhaps taken one at this time. However often this is called, it is the same one."""
        self._full_at = max(self._full_at, at + self._interval)

    def wait_or_take(self, count: float, now: float) -> float:
        """Take ``count`` when one may be taken now, and return 0; otherwise return ``wait_s``."""
        full_at = self._full_at if self._full_at > now else now
        wait_s = full_at + self._interval - now - self._tolerance
        if wait_s > ROUNDING_S:
            return wait_s
        self._full_at = full_at + count * self._interval
        return 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until one may be taken."""
        return max(0.0, self._full_at + self._interval - now - self._tolerance)

    def full_in_s(self, now: float) -> float:
        """Seconds until the whole burst may be taken; not above 0 when it may be taken now."""
        return self._full_at - now

    def owed(self, now: float) -> float:
        """How many were taken that the rate has not recovered yet. Above the burst is a debt."""
        return max(0.0, self._full_at - now) / self._interval
