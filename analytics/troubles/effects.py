"""What a trouble did to mail: rates before, during and after, and what waited. Pure."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from analytics.troubles.of_events import of_events
from analytics.troubles.of_happenings import known_exactly, of_happenings
from analytics.troubles.of_samples import of_samples
from analytics.troubles.recorded import Recorded, Trouble, TroubleKind

AROUND_S = 30.0
"""Rates before and after are of so long."""
MOST = 2000
"""Troubles in a report: with more the time was one trouble."""
_OF_SITES = (TroubleKind.FAILURES, TroubleKind.SLOW, TroubleKind.HELD)


class Rates(Struct, frozen=True, kw_only=True):
    """A second; None where there is no such time in the report."""

    before: float | None
    during: float
    after: float | None


class Told(Struct, frozen=True, kw_only=True):
    """A trouble and its effect."""

    trouble: Trouble
    delivered: Rates
    """Of the site, where the trouble is that of one; otherwise of all."""
    taken: Rates
    most_waiting: int | None
    """Deliveries that were not finished, at the most; None without samples."""
    overdue_s: float | None
    """For how long at most what was due first had been due."""


def all_troubles(recorded: Recorded) -> list[Trouble]:
    """All troubles of a time, in order of time."""
    exact = list(of_happenings(recorded))
    is_known = known_exactly(exact)
    sampled = (one for one in of_samples(recorded) if not is_known(one))
    found = [_within(recorded, one) for one in (*exact, *sampled, *of_events(recorded))]
    return sorted(found, key=lambda one: (one.begin, one.end, one.kind, one.subject))


def longest(troubles: Sequence[Trouble], most: int = MOST) -> list[Trouble]:
    """The longest of them, in the order that they had. Those of sites, which are the many, make room for others: that a
    process began anew is over in a moment."""

    def gives_way(place: int) -> tuple[bool, float]:
        one = troubles[place]
        return one.kind in _OF_SITES, one.begin - one.end

    return [troubles[place] for place in sorted(sorted(range(len(troubles)), key=gives_way)[:most])]


def told(recorded: Recorded, troubles: Sequence[Trouble]) -> list[Told]:
    """Troubles with their effects."""
    longest_s = max((sample.interval_s for sample in recorded.samples), default=0.0)
    return [_with_effect(recorded, one, longest_s) for one in troubles]


def _within(recorded: Recorded, one: Trouble) -> Trouble:
    span = recorded.span
    begin = min(max(one.begin, span.since), span.until)
    return replace(one, begin=begin, end=min(max(one.end, begin), span.until))


def _with_effect(recorded: Recorded, one: Trouble, longest_s: float) -> Told:
    """``longest_s``: the longest interval of a sample."""
    flow = recorded.sites.get(one.subject, recorded.whole)
    near = [
        sample
        for sample in recorded.sampled(one.begin - longest_s, one.end + longest_s)
        if one.begin - sample.interval_s < sample.at < one.end + sample.interval_s
    ]
    return Told(
        trouble=one,
        delivered=_rates(recorded, flow.delivered, one),
        taken=_rates(recorded, recorded.taken, one),
        most_waiting=max((sample.unfinished for sample in near), default=None),
        overdue_s=max((sample.overdue_s for sample in near), default=None),
    )


def _rates(recorded: Recorded, counts: Sequence[int], one: Trouble) -> Rates:
    span = recorded.span
    first, last = span.place(one.begin), span.place(one.end)
    around = ceil(AROUND_S / span.step_s)
    during = span.rate(counts, first, last)
    assert during is not None, "a place of the span"
    return Rates(
        before=span.rate(counts, first - around, first - 1),
        during=during,
        after=span.rate(counts, last + 1, last + around),
    )
