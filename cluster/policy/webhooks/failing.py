"""When an endpoint fails, when it is tried again, and when it is disabled.

A post fails unless its answer has a 2xx status. The events of a failed post are due again after a wait that grows with
their attempts. From the third failure in a row the endpoint itself *fails*: then single posts probe it, with waits that
grow from probe to probe, and a success makes all that it is owed due. After ten failures in a row over at least an
hour it is disabled, and after 410 Gone at once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from cluster.policy.forms import Form

FAILING_FROM = 3
"""Failures in a row."""
DISABLED_FROM = 10
DISABLED_AFTER = timedelta(hours=1)
"""The shortest time over which these failures come: an outage of a few minutes disables nothing."""
JITTER = 0.1  # ±10 % spreads the posts of events that failed together
GONE = 410  # RFC 9110 §15.5.11
REFUSING = frozenset((400, 413, 422))
"""Statuses by which an endpoint may refuse what is in a post, or its size (RFC 9110 §15.5)."""


class PostResult(Form, frozen=True, kw_only=True):
    """What came of a post."""

    began: datetime
    ended: datetime
    status: int = 0
    """Of the answer; 0 where there was none."""
    error: str = ""
    """Why it failed; "" for a success."""
    retry_after_s: float | None = None
    """What the endpoint asked for (``retry_after``)."""
    is_unwritten: bool = False
    """Whether nothing was posted, because no body could be made of the events."""

    @property
    def is_taken(self) -> bool:
        """Whether the endpoint took what was posted."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether one of the events may be to blame, and the others may do better without it."""
        return self.is_unwritten or self.status in REFUSING


class Health(Struct, frozen=True, kw_only=True):
    """How an endpoint has answered of late."""

    failures: int = 0
    """In a row; of posts that ran at the same time, one counts."""
    failed_since: datetime | None = None
    """When the first of them ended."""
    failed_at: datetime | None = None
    """When the last of them ended."""
    next_at: datetime | None = None
    """Nothing is posted before."""
    disabled_at: datetime | None = None
    disabled_reason: str = ""

    @property
    def is_failing(self) -> bool:
        """Whether it gets one post at a time."""
        return self.failures >= FAILING_FROM

    @property
    def is_disabled(self) -> bool:
        return self.disabled_at is not None

    def is_open(self, now: datetime) -> bool:
        """Whether something may be posted to it."""
        return self.disabled_at is None and (self.next_at is None or self.next_at <= now)


def after(health: Health, result: PostResult, schedule_s: Sequence[float], jitter: float) -> Health:
    """How an endpoint is after a post. ``schedule_s``: waits between the probes of one that fails; the last repeats.
    ``jitter``: a random number in [0, 1)."""
    if health.is_disabled:
        return health  # until its owner enables it
    if result.is_taken:
        # One that began before the last failure tells nothing of what the endpoint asked for since.
        return health if health.failed_at is not None and result.began <= health.failed_at else Health()
    if result.status == GONE:
        return replace(health, disabled_at=result.ended, disabled_reason="answered 410 Gone")
    if health.failed_at is not None and result.began <= health.failed_at:
        # It ran beside one that counts. But what it was asked for counts.
        return replace(health, next_at=_later(health.next_at, _asked(result)))
    failures = health.failures + 1
    since = health.failed_since or result.ended
    if failures >= DISABLED_FROM and result.ended - since >= DISABLED_AFTER:
        reason = f"{failures} posts in a row failed since {since:%Y-%m-%d %H:%M} UTC, the last: {result.error}"
        return replace(
            health,
            failures=failures,
            failed_since=since,
            failed_at=result.ended,
            next_at=None,
            disabled_at=result.ended,
            disabled_reason=reason,
        )
    probe_at = None
    if failures >= FAILING_FROM:
        probe_at = _after_wait(result.ended, schedule_s, failures - FAILING_FROM, jitter)
    return Health(
        failures=failures,
        failed_since=since,
        failed_at=result.ended,
        next_at=_later(probe_at, _asked(result)),
    )


def counting(results: Sequence[PostResult]) -> list[bool]:
    """Which results tell how an endpoint is, of posts of the same events: all of them, and then parts of them because
    they were refused. An endpoint that takes parts works; one that takes none has failed once."""
    counts = [not one.is_refused for one in results]
    refused = [place for place, one in enumerate(results) if one.is_refused and not one.is_unwritten]
    if refused and not any(counts):
        counts[refused[-1]] = True
    return counts


def due_again(result: PostResult, attempts: int, schedule_s: Sequence[float], jitter: float) -> datetime:
    """When events are due again of which ``attempts`` (≥ 1) posts have failed, the last with ``result``. ``jitter``: a
    random number in [0, 1)."""
    due = _after_wait(result.ended, schedule_s, attempts - 1, jitter)
    asked = _asked(result)
    return due if asked is None else max(due, asked)


def _after_wait(since: datetime, schedule_s: Sequence[float], place: int, jitter: float) -> datetime:
    wait = schedule_s[min(place, len(schedule_s) - 1)]
    return since + timedelta(seconds=wait * (1 - JITTER + 2 * JITTER * jitter))


def _asked(result: PostResult) -> datetime | None:
    return None if result.retry_after_s is None else result.ended + timedelta(seconds=result.retry_after_s)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)
