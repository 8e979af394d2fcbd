"""When a deferred delivery is tried again."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cluster.policy.replies.bounce_class import BounceClass

JITTER = 0.1  # a tenth either way spreads the return of mail that was deferred together

LAST_PART, LAST_LEAST, LAST_MOST = 0.1, timedelta(seconds=5), timedelta(seconds=60)
"""Of the time that is left, so much is kept for the last attempt itself: it must be claimed, sent and answered."""
LAST_GAP, LAST_GAP_PART = timedelta(seconds=60), 0.25
"""The last attempt comes so long after the one before it, or after such a part of the wait, or not at all."""
SECOND_GAP_PART = 0.5
"""The second attempt may come sooner, where less is left: after such a part of it. A message that has a minute has no
other chance."""

_SLOWLY = (1800.0, 3600.0, 7200.0, 14400.0)

SCHEDULES_S: dict[BounceClass, tuple[float, ...]] = {
    # The next transaction may be the next second: only this one was full.
    BounceClass.TOO_MANY_RECIPIENTS: (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0),
    # The session is what is over. After the first times it is the host's habit.
    BounceClass.CONNECTION_LOST: (30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # RFC 6647 §5: hosts ask for 1 minute to 1 day; postgrey, the most common, for 5 minutes.
    BounceClass.GREYLISTED: (60.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 14400.0),
    BounceClass.NO_ANSWER: (120.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # It may be our own resolver that restarts: no host is troubled by looking again soon.
    BounceClass.DNS_FAILURE: (15.0, 30.0, 60.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # Whoever is told to slow down and comes back at once is told so for longer.
    BounceClass.RATE_LIMITED: (300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # A person must act first: there, or here.
    BounceClass.MAILBOX_FULL: (3600.0, 7200.0, 14400.0),
    BounceClass.BLOCKLISTED: _SLOWLY,
    BounceClass.AUTHENTICATION: _SLOWLY,
    BounceClass.SOURCE_DNS: _SLOWLY,
    BounceClass.SPAM: _SLOWLY,
}
"""Seconds between attempts; the last repeats. The others have the schedule of the settings or of the site."""


def schedule_for(bounce_class: BounceClass | None, default_schedule_s: Sequence[float]) -> Sequence[float]:
    """The waits after failures of a class. The default's longest bounds them: who sets short waits wants all short."""
    own = SCHEDULES_S.get(bounce_class) if bounce_class is not None else None
    if own is None:
        return default_schedule_s
    longest = max(default_schedule_s)
    return tuple(min(wait, longest) for wait in own)


def tried_until(expires_at: datetime, send_at: datetime, *, shaped_s: float, default_s: float) -> datetime:
    """Until when a message that is put off is tried again: the end of its own lifetime, or an earlier one where shaping
    gives its site or domain a shorter lifetime than the settings' (``default_s``). That counts from the send time."""
    if shaped_s >= default_s:
        return expires_at
    return min(expires_at, send_at + timedelta(seconds=shaped_s))


def next_attempt(
    schedule_s: Sequence[float], attempts: int, *, now: datetime, expires_at: datetime, jitter: float
) -> datetime | None:
    """The time of the next attempt after ``attempts`` (≥ 1) transient failures; None when the lifetime is as good as
    over. Where the wait would last longer than the lifetime, there is a last attempt before its end.

    ``jitter`` is a random number in [0, 1). RFC 5321 §4.5.4.1 asks for at least 30 minutes between attempts after
    the first tries and for 4 to 5 days of trying; schedule and lifetime are settings.
    """
    wait = schedule_s[min(attempts, len(schedule_s)) - 1]
    due = now + timedelta(seconds=wait * (1 - JITTER + 2 * JITTER * jitter))
    if due < expires_at:
        return due
    left = expires_at - now
    last = expires_at - min(max(left * LAST_PART, LAST_LEAST), LAST_MOST)
    gap = min(LAST_GAP, (due - now) * LAST_GAP_PART)
    if attempts == 1:
        gap = min(gap, max(left * SECOND_GAP_PART, LAST_LEAST))
    return last if last - now >= gap else None
