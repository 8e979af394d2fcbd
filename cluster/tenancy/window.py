"""One limit of one tenant in one process: what may still be accepted, and what is asked.

A request is accepted while the tenant is not in debt, and then charged in full. So a request of any size is possible
under any limit, and is paid for afterwards. Pure, but for the clocks that it is given.
"""

import math
from collections.abc import Callable

from cluster.policy.limits.gcra import ROUNDING_S, Gcra
from cluster.tenancy.exceeded import RateExceeded
from cluster.tenancy.limits import Limit

MEMORY_S = 1.0
"""The time constant of the mean demand."""
NEGLIGIBLE = 0.001
"""A mean demand below this part of the limit counts as none."""
LASTING_S = 1.0
"""When more than the share was asked for so long, what is left of the burst is dropped. It is for load that comes and
goes; load a little above the limit would spread it over many seconds, as more than the limit in each."""

Clock = Callable[[], float]


class Window:
    """This process's share of a tenant's limit."""

    __slots__ = (
        "_asked",
        "_bucket",
        "_burst",
        "_clock",
        "_cost",
        "_found",
        "_latest",
        "_mean",
        "_over_s",
        "_text",
        "_wall",
        "demand",
        "is_contested",
        "limit",
        "per_s",
        "share",
    )

    def __init__(self, limit: Limit, per_s: float, share: float, clock: Clock, wall: Clock) -> None:
        """``per_s`` is the limit of the cluster and ``share`` the part of this process, in 1/s, above 0. ``clock`` is
        monotonic; ``wall`` has Unix seconds."""
        self.limit = limit
        self.per_s = per_s
        self.share = self._found = share
        self.demand = 0.0
        """What was asked of this process lately, in 1/s, refused requests included."""
        self.is_contested = False
        """Whether other processes report a demand."""
        self._asked = 0.0
        self._mean = 0.0
        self._latest = (0.0, 0.0, 0.0, 0.0)
        """What was asked in the last intervals, in 1/s: when it was nothing, the mean need not fade out first."""
        self._over_s = 0.0
        """For how long more than the share was asked."""
        self._cost = 1.0
        """The mean cost of a request."""
        self._clock = clock
        self._wall = wall
        self._text = b"%d" % (per_s * limit.span_s)
        self._burst = max(1.0, share * limit.span_s)
        self._bucket = Gcra(share, self._burst)

    # What requests do.

    def require(self) -> None:
        """Raises RateExceeded while the tenant is in debt."""
        wait_s = self._bucket.wait_s(self._clock())
        if wait_s > ROUNDING_S:
            self._asked += self._cost
            raise self._refusal(wait_s)

    def charge(self, cost: int) -> None:
        """Charge a request. Raises RateExceeded while the tenant is in debt; then nothing is charged."""
        self._asked += cost
        wait_s = self._bucket.wait_or_take(cost, self._clock())
        if wait_s:
            raise self._refusal(wait_s)
        if cost != self._cost:
            self._cost += (cost - self._cost) / 8

    def spend(self, cost: int) -> None:
        """Charge what is done already, in debt or not."""
        self._asked += cost
        self._bucket.take(cost, self._clock())

    def give_back(self, cost: int) -> None:
        """Take back a charge."""
        self._bucket.take(-cost, self._clock())

    def headers(self) -> list[tuple[bytes, bytes]]:
        """X-RateLimit-Limit, -Remaining and -Reset: the limit over the cluster; how much this process would accept at
        once; and when it would accept the most, in Unix seconds, rounded up."""
        full_in_s = self._bucket.full_in_s(self._clock())
        if full_in_s < 0.0:
            full_in_s = 0.0
        left = self._burst - (full_in_s - ROUNDING_S) * self.share
        return [
            (b"x-ratelimit-limit", self._text),
            (b"x-ratelimit-remaining", b"%d" % int(left) if left > 0.0 else b"0"),
            (b"x-ratelimit-reset", b"%d" % int(self._wall() + full_in_s + 1)),
        ]

    # What the exchange with the other processes does.

    def measure(self, interval_s: float) -> None:
        """Add what was asked in the last ``interval_s`` to the mean demand, and see whether more than the share was
        asked all the time."""
        asked_per_s = self._asked / interval_s
        self._asked = 0.0
        if self._mean:
            self._mean += (1 - math.exp(-interval_s / MEMORY_S)) * (asked_per_s - self._mean)
        else:
            self._mean = asked_per_s
        if self._mean < NEGLIGIBLE * self.per_s:
            self._mean = 0.0
        self._latest = (asked_per_s, *self._latest[:-1])
        self.demand = min(self._mean, max(self._latest))
        if asked_per_s > self.share:
            if self._over_s < LASTING_S <= self._over_s + interval_s and self.limit.span_s <= LASTING_S:
                now = self._clock()
                self._bucket.take(max(0.0, self._left(now)), now)
            self._over_s += interval_s
        elif self.demand < self.share:
            self._over_s = 0.0

    def set_share(self, found: float) -> None:
        """Use the share that was ``found``: a smaller one at once, a larger one when it is found twice in a row,
        because by then the other processes have read the same demands and use theirs."""
        share, self._found = min(found, self._found), found
        if share != self.share:
            now = self._clock()
            left = self._left(now)
            self.share, self._burst = share, max(1.0, share * self.limit.span_s)
            self._bucket = Gcra(share, self._burst)
            # A change gives nothing: what is left stays as it is, or is cut to the new burst.
            self._bucket.take(self._burst - min(left, self._burst), now)

    def recover(self, interval_s: float) -> None:
        """No process used anything in the last ``interval_s``: what is owed recovers at the rate of the whole limit."""
        now = self._clock()
        self._bucket.take(-min(self._bucket.owed(now), interval_s * (self.per_s - self.share)), now)

    def change(self, per_s: float) -> None:
        """Change the limit of the cluster. The share keeps its part of it, and no debt lasts longer than before."""
        self.share *= per_s / self.per_s
        self._found = self.share
        self.per_s = per_s
        self._text = b"%d" % (per_s * self.limit.span_s)
        self._burst = max(1.0, self.share * self.limit.span_s)
        self._bucket.change(self.share, self._burst, self._clock())

    def is_idle(self) -> bool:
        """Whether it is like a new one: nothing is asked, and nothing owed."""
        return not self._asked and not self.demand and self._bucket.full_in_s(self._clock()) <= 0

    def _left(self, now: float) -> float:
        """How many may be taken at once; below 0 is a debt."""
        return self._burst - self._bucket.owed(now)

    def _refusal(self, wait_s: float) -> RateExceeded:
        if not self.is_contested:  # the share grows to the whole limit
            wait_s *= self.share / self.per_s
        most = self.per_s * self.limit.span_s
        shown = f"{most:,.0f}" if most >= 1 else f"{most:g}"
        return RateExceeded(
            f"At most {shown} {self.limit.meaning}, over all keys of the tenant; Retry-After says when to try again",
            max(1, math.ceil(wait_s)),
        )
