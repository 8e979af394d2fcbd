"""When a deferred delivery is retried."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cluster.policy.replies.bounce_class import BounceClass

JITTER = 0.1  # ±10 % spreads the retries of mail that was deferred together

LAST_PART, LAST_LEAST, LAST_MOST = 0.1, timedelta(seconds=5), timedelta(seconds=60)
"""The part of the remaining time that is reserved for the last attempt: it must be claimed, sent and answered."""
LAST_GAP, LAST_GAP_PART = timedelta(seconds=60), 0.25
"""The last attempt comes at least this long after the one before it, or after this part of the wait, whichever is
shorter; otherwise there is none."""
SECOND_GAP_PART = 0.5
"""The second attempt may come sooner, after this part of the remaining time, if that is shorter: a message with a
lifetime of a minute has no other chance."""

_SLOWLY = (1800.0, 3600.0, 7200.0, 14400.0)

SCHEDULES_S: dict[BounceClass, tuple[float, ...]] = {
    # Only this transaction was full: the next one may follow within a second.
    BounceClass.TOO_MANY_RECIPIENTS: (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0),
    # Only the session is over. After several losses it is the host's usual behaviour.
    BounceClass.CONNECTION_LOST: (30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # RFC 6647 §5: hosts ask for 1 minute to 1 day; postgrey, the most common, for 5 minutes.
    BounceClass.GREYLISTED: (60.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 14400.0),
    BounceClass.NO_ANSWER: (120.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # Our own resolver may be restarting: asking again soon burdens no host.
    BounceClass.DNS_FAILURE: (15.0, 30.0, 60.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # A host that limits us extends the limit when we return too early.
    BounceClass.RATE_LIMITED: (300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0),
    # A person must act first, at the destination or here.
    BounceClass.MAILBOX_FULL: (3600.0, 7200.0, 14400.0),
    BounceClass.BLOCKLISTED: _SLOWLY,
    BounceClass.AUTHENTICATION: _SLOWLY,
    BounceClass.SOURCE_DNS: _SLOWLY,
    BounceClass.SPAM: _SLOWLY,
}
"""Seconds between attempts; the last repeats. Other classes use the schedule of the settings or of the site."""


def schedule_for(bounce_class: BounceClass | None, default_schedule_s: Sequence[float]) -> Sequence[float]:
    """The waits after failures of a class, in seconds. No wait exceeds the longest of ``default_schedule_s``: an
    operator who sets short waits wants all of them short."""
    own = SCHEDULES_S.get(bounce_class) if bounce_class is not None else None
    if own is None:
        return default_schedule_s
    longest = max(default_schedule_s)
    return tuple(min(wait, longest) for wait in own)


def tried_until(expires_at: datetime, send_at: datetime, *, shaped_s: float, default_s: float) -> datetime:
    """Until when a deferred message is retried: the end of its own lifetime, or an earlier time if shaping gives its
    site or domain a lifetime (``shaped_s``) below that of the settings (``default_s``). The shaped one counts from
    ``send_at``."""
    if shaped_s >= default_s:
        return expires_at
    return min(expires_at, send_at + timedelta(seconds=shaped_s))


def next_attempt(
    schedule_s: Sequence[float], attempts: int, *, now: datetime, expires_at: datetime, jitter: float
) -> datetime | None:
    """The time of the next attempt after ``attempts`` (≥ 1) transient failures; None when too little of the lifetime
    is left. When the wait would exceed the lifetime, a last attempt comes before its end.

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
