"""When a deferred delivery is tried again."""

from collections.abc import Sequence
from datetime import datetime, timedelta

JITTER = 0.1  # a tenth either way spreads the return of mail that was deferred together


def next_attempt(
    schedule_s: Sequence[float], attempts: int, *, now: datetime, expires_at: datetime, jitter: float
) -> datetime | None:
    """The time of the next attempt after ``attempts`` (≥ 1) transient failures; None when the lifetime ends before.

    ``jitter`` is a random number in [0, 1). RFC 5321 §4.5.4.1 asks for at least 30 minutes between attempts after
    the first tries and for 4 to 5 days of trying; schedule and lifetime are settings.
    """
    wait = schedule_s[min(attempts, len(schedule_s)) - 1]
    due = now + timedelta(seconds=wait * (1 - JITTER + 2 * JITTER * jitter))
    return due if due < expires_at else None
