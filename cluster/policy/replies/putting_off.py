"""What becomes of attempts at a site: whether its hosts take what is tried, or most of it is put off, and why. A site
from which nothing is sent before the retries are due has nothing in memory, and is slow all the same.

Plain arithmetic on what is reported here; times are monotonic seconds.
"""

from cluster.policy.limits.binding import Bound
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.verdict import Verdict

LATELY = 32
"""Attempts that count, about."""
MOST = 0.5
"""A greater part of them put off is most."""
LATE_S = 600.0
"""When nothing was tried so long after it was due, nothing is known any longer."""

_OF_THE_WAY = {
    BounceClass.DNS_FAILURE: Bound.DNS,
    BounceClass.NO_ANSWER: Bound.BACK_OFF,
    BounceClass.CONNECTION_LOST: Bound.BACK_OFF,
}
"""Failures without a reply."""


def why_put_off(verdict: Verdict, *, is_said: bool) -> Bound:
    """What holds back mail that is put off by this verdict. ``is_said``: a host's reply says so."""
    if verdict.bounce_class is BounceClass.TLS_FAILURE:
        return Bound.TLS
    if is_said or verdict.bounce_class is None:
        return Bound.DEFERRALS
    return _OF_THE_WAY.get(verdict.bounce_class, Bound.DEFERRALS)


class PuttingOff:
    """Of one share of a site, from its first deferral on."""

    __slots__ = ("_known", "_part", "retry_at", "waiting", "why")

    def __init__(self) -> None:
        self._known = 0
        self._part = 0.0
        self.why = Bound.NOTHING
        """Of the last deferral."""
        self.waiting = 0
        """Deliveries that wait for another attempt: those put off since this process began and not settled since. What
        was cancelled meanwhile counts, too."""
        self.retry_at = 0.0
        """When the last of them is due."""

    def put_off(self, why: Bound, *, attempts: int, due_at: float) -> None:
        """An attempt was put off. ``attempts``: of the delivery, this one included."""
        self._count(1.0)
        self.why = why
        self.waiting = self.waiting + 1 if attempts == 1 else max(1, self.waiting)
        self.retry_at = max(self.retry_at, due_at)

    def settled(self, *, attempts: int) -> None:
        """A host took a delivery, or refused it for good."""
        self._count(0.0)
        if attempts > 1:
            self.waiting = max(0, self.waiting - 1)

    def binds(self, now: float) -> Bound:
        """What holds the site's mail back; ``NOTHING`` while most of it is taken."""
        is_most = self._part > MOST and self.waiting > 0
        return self.why if is_most and now < self.retry_at + LATE_S else Bound.NOTHING

    def _count(self, put_off: float) -> None:
        self._known = min(LATELY, self._known + 1)
        self._part += (put_off - self._part) / self._known
