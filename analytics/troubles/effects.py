"""What a trouble did to mail: rates before, during and after, and what waited. Pure."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from analytics.troubles.of_events import of_events
from analytics.troubles.of_samples import of_samples
from analytics.troubles.recorded import Recorded, Trouble

AROUND_S = 30.0
"""Rates before and after are of so long."""
MOST = 1000
"""Troubles in a report: with more the time was one trouble."""


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


def told(recorded: Recorded) -> list[Told]:
    """All troubles of a time with their effects, in order of time, at most MOST."""
    found = sorted(
        [*of_samples(recorded), *of_events(recorded)], key=lambda one: (one.begin, one.end, one.kind, one.subject)
    )
    return [_with_effect(recorded, _within(recorded, one)) for one in found[:MOST]]


def _within(recorded: Recorded, one: Trouble) -> Trouble:
    span = recorded.span
    begin = min(max(one.begin, span.since), span.until)
    return Trouble(
        kind=one.kind,
        subject=one.subject,
        begin=begin,
        end=min(max(one.end, begin), span.until),
        words=one.words,
    )


def _with_effect(recorded: Recorded, one: Trouble) -> Told:
    flow = recorded.sites.get(one.subject, recorded.whole)
    near = [
        sample for sample in recorded.samples if one.begin - sample.interval_s < sample.at < one.end + sample.interval_s
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

    def rate(begin: int, end: int) -> float | None:
        part = counts[max(0, begin) : end]
        return sum(part) / (len(part) * span.step_s) if part else None

    during = rate(first, last + 1)
    assert during is not None, "a place of the span"
    return Rates(before=rate(first - around, first), during=during, after=rate(last + 1, last + 1 + around))
