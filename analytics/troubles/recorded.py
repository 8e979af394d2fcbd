"""What was recorded of a time, as series. Pure.

Counts of events are by *place*: the steps of the time, from 0. Times are in seconds since the epoch.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import ceil

from msgspec import Struct

from analytics.samples import Sample

MOST_PLACES = 3600
"""A time is divided into at most so many steps of whole seconds."""


class Span(Struct, frozen=True, kw_only=True):
    """From ``since`` until before ``until``, in steps."""

    since: int
    until: int

    @property
    def step_s(self) -> int:
        return max(1, ceil((self.until - self.since) / MOST_PLACES))

    @property
    def places(self) -> int:
        return ceil((self.until - self.since) / self.step_s)

    def begin(self, place: int) -> float:
        return float(self.since + place * self.step_s)

    def end(self, place: int) -> float:
        return float(min(self.until, self.since + (place + 1) * self.step_s))

    def place(self, at: float) -> int:
        """Of a moment; the first or the last of one that is outside."""
        return min(max(0, int((at - self.since) // self.step_s)), self.places - 1)

    def rate(self, counts: Sequence[int], first: int, last: int) -> float | None:
        """A second, from place to place; None where there are no such places."""
        part = counts[max(0, first) : last + 1]
        return sum(part) / (len(part) * self.step_s) if part else None


class Flow(Struct, frozen=True, kw_only=True):
    """Mail by place, of the whole or of a site."""

    delivered: Sequence[int]
    attempted: Sequence[int]
    """Delivered, deferred, bounced and blocked."""
    spent_ms: Sequence[int]
    """What the transactions of the delivered took, summed."""


class How(StrEnum):
    """How attempts failed: what of a failure is about the host, or the way to it."""

    LOST = "connections were lost"
    TIMED_OUT = "transactions timed out"
    NO_ANSWER = "hosts did not answer"
    TLS = "TLS failed"
    DNS = "the DNS did not answer"
    SLOWED = "hosts asked for less mail"
    CLOSED = "hosts were not available"
    DEFERRED = "hosts put mail off"
    BLOCKED = "hosts refused mail as unwanted"
    OTHER = "attempts failed"


class Failures(Struct, frozen=True, kw_only=True):
    """Attempts at a site that failed in the same way."""

    site: str
    how: How
    counts: Mapping[int, int]
    """By place, only of those where some failed: sites that fail now and then are many."""
    said: str
    """One of the replies or reasons, without addresses."""


class Held(Struct, frozen=True):
    """A sample in which a site was held back by what is no usual limit."""

    at: int
    site: str
    binds: str
    waiting: int


class Posts(Struct, frozen=True, kw_only=True):
    """Posts to endpoints of webhooks, by place."""

    all: Sequence[int]
    failed: Sequence[int]
    slow: Sequence[int]
    """Answered, after longer than a second."""


class Recorded(Struct, frozen=True, kw_only=True):
    """All of it."""

    span: Span
    samples: Sequence[Sample]
    """In order."""
    taken: Sequence[int]
    """Messages accepted, by place."""
    whole: Flow
    sites: Mapping[str, Flow]
    """Of the sites with the most attempts."""
    failures: Sequence[Failures]
    held: Sequence[Held]
    posts: Posts
    set_aside: Sequence[int]
    """Messages by place over which delivery processes ended."""
    cut: Sequence["TroubleKind"] = ()
    """Kinds of trouble of which so much was recorded that only what lasted longest was read."""

    def sampled(self, begin: float, end: float) -> Sequence[Sample]:
        """The samples from ``begin`` to ``end``, those of both moments among them."""
        first = bisect_left(self.samples, begin, key=_at)
        return self.samples[first : bisect_right(self.samples, end, key=_at)]

    @property
    def is_empty(self) -> bool:
        return not (self.samples or any(self.taken) or any(self.whole.attempted))


def _at(sample: Sample) -> float:
    return sample.at


class TroubleKind(StrEnum):
    """The values are what ``--json`` says."""

    BEGAN = "began"
    """All processes began anew."""
    RESTARTED = "restarted"
    STOOD_STILL = "stood_still"
    SILENT = "silent"
    NODES = "nodes"
    NOT_SAMPLED = "not_sampled"
    JOURNAL_STARTED = "journal_started"
    JOURNAL_RECOVERED = "journal_recovered"
    JOURNAL_AWAY = "journal_away"
    EVENTS_LATE = "events_late"
    REFUSED = "refused"
    TAKEN_FELL = "taken_fell"
    DELIVERED_FELL = "delivered_fell"
    OVERDUE = "overdue"
    FAILURES = "failures"
    SLOW = "slow"
    CONNECTIONS = "connections"
    HELD = "held"
    POLICY = "policy"
    ENDPOINTS = "endpoints"
    ENDPOINTS_SLOW = "endpoints_slow"
    DAYS = "days"
    SET_ASIDE = "set_aside"


class Trouble(Struct, frozen=True, kw_only=True):
    """A stretch of time in which something was not as usual."""

    kind: TroubleKind
    subject: str = ""
    """The actor, or the site; "" is the whole."""
    begin: float
    end: float
    words: str
    """What it looked like."""
