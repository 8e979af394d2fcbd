"""How often a tenant's mail bounces hard and draws complaints, and when that is too often. Pure.

Each rate covers the recipients whose deliveries ended last. Individual ends are not kept: as new ones come, earlier
ones weigh less, so that together they never exceed the window.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from cluster.events import Bounced, Delivered, Event

BACK_BELOW = 0.8
"""A rate that had passed its limit may pass it again once it was below this share of it."""


class Rate(StrEnum):
    """A rate that has a limit."""

    BOUNCES = "bounce rate"
    COMPLAINTS = "complaint rate"

    @property
    def window(self) -> int:
        """How many recipients it covers. Complaints are rare: among 1,000, three by chance would be 0.3 %."""
        return 1_000 if self is Rate.BOUNCES else 10_000

    @property
    def least(self) -> int:
        """With fewer recipients it says nothing yet."""
        return self.window // 10


End = Literal["delivered", "hard", "other"]
"""What the end of one recipient's delivery counts as: a host took it, a hard bounce, another refusal for good. Plain
text: each of thousands a second is a parameter of a statement."""


class Ends(Struct, frozen=True, kw_only=True):
    """Recipients of a tenant whose delivery ended, and what was reported later. Mail that was never tried does not
    count."""

    ended: int = 0
    """A host took the message, or refused it for good."""
    hard: int = 0
    """Hard bounces, in reply to the message or reported later."""
    delivered: int = 0
    """A host took the message."""
    complaints: int = 0


class Window(Struct, frozen=True, kw_only=True):
    """The recipients that a rate covers."""

    of: float = 0.0
    bad: float = 0.0
    """Those of them that bounced, or complained."""
    is_over: bool = False
    """The rate passed its limit, and was not below ``BACK_BELOW`` of it since."""

    def share(self, rate: Rate) -> float | None:
        """From 0 to 1; None with too few recipients."""
        return min(self.bad / self.of, 1.0) if self.of >= rate.least else None

    def plus(self, of: int, bad: int, size: int) -> "Window":
        """With further recipients; the window has room for ``size``. All numbers are floats: the journal takes those of
        several tenants as one array, which may not have whole numbers beside others."""
        if of >= size:
            return Window(of=float(size), bad=size * bad / of, is_over=self.is_over)
        kept = min(self.of, float(size - of))
        former = self.bad * kept / self.of if self.of else self.bad
        return Window(of=kept + of, bad=former + bad, is_over=self.is_over)


class Rates(Struct, frozen=True, kw_only=True):
    """Both rates of a tenant."""

    bounces: Window = Window()
    complaints: Window = Window()

    @property
    def is_over(self) -> bool:
        return self.bounces.is_over or self.complaints.is_over


class RateLimits(Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1; 0 is no limit."""

    bounces: float
    complaints: float


class Passed(Struct, frozen=True):
    """A rate that is over its limit."""

    rate: Rate
    share: float
    of: int
    limit: float

    def __str__(self) -> str:
        what = "bounced hard" if self.rate is Rate.BOUNCES else "complained"
        return (
            f"{_percent(self.share)} of the last {self.of:,} recipients {what}, more than the {_percent(self.limit)} "
            "that is allowed"
        )


def counted(former: Rates, ends: Ends, limits: RateLimits) -> Rates:
    """The rates with further ends."""
    bounces = former.bounces.plus(ends.ended, ends.hard, Rate.BOUNCES.window)
    complaints = former.complaints.plus(ends.delivered, ends.complaints, Rate.COMPLAINTS.window)
    return Rates(
        bounces=_judged(bounces, Rate.BOUNCES, limits.bounces),
        complaints=_judged(complaints, Rate.COMPLAINTS, limits.complaints),
    )


def over(rates: Rates, limits: RateLimits) -> list[Passed]:
    """The rates that have passed their limits."""
    return [
        Passed(rate, window.share(rate) or 0.0, round(window.of), limit)
        for rate, window, limit in (
            (Rate.BOUNCES, rates.bounces, limits.bounces),
            (Rate.COMPLAINTS, rates.complaints, limits.complaints),
        )
        if window.is_over
    ]


def newly_over(former: Rates, now: Rates, limits: RateLimits) -> list[Passed]:
    """The rates that passed their limits between the two."""
    were = {Rate.BOUNCES: former.bounces.is_over, Rate.COMPLAINTS: former.complaints.is_over}
    return [passed for passed in over(now, limits) if not were[passed.rate]]


def end_of(event: Event) -> End | None:
    """What an event counts as; None where it ends no delivery, or the mail was never tried."""
    if isinstance(event, Delivered):
        return "delivered"
    if isinstance(event, Bounced):
        return "hard" if event.bounce_type == "hard" else "other"
    return None


def ends_of(events: Iterable[Event]) -> Mapping[str, Ends]:
    """What events count for, by tenant."""
    counts: dict[str, Counter[End]] = {}
    for event in events:
        if (end := end_of(event)) is not None:
            counts.setdefault(event.tenant_id, Counter())[end] += 1
    return {
        tenant_id: Ends(ended=count.total(), hard=count["hard"], delivered=count["delivered"])
        for tenant_id, count in counts.items()
    }


def _judged(window: Window, rate: Rate, limit: float) -> Window:
    share = window.share(rate)
    if not limit:
        is_over = False
    elif share is None:
        is_over = window.is_over
    else:
        is_over = share > limit or (window.is_over and share >= BACK_BELOW * limit)
    return Window(of=window.of, bad=window.bad, is_over=is_over)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
