"""When a domain's records are looked up next. Pure."""

from datetime import datetime, timedelta

FIRST = timedelta(minutes=1)
DAILY = timedelta(days=1)
FAILED = timedelta(hours=1)
"""After a look at which the DNS did not answer."""
SPREAD = 0.1
"""The share of a pause by which chance lengthens or shortens it: domains made together are not looked at together."""


def next_look(now: datetime, *, waits_since: datetime | None, has_failed: bool, random: float) -> datetime:
    """The time of the next look after one at ``now``.

    ``waits_since``: when the youngest key was made that still waits for its record, or the domain itself while it is
    not verified; None when nothing waits. ``random``: 0 <= n < 1.

    What waits is looked at at growing intervals: when it has waited for half as long again, first after a minute, at
    least daily.
    """
    pause = DAILY
    if waits_since is not None:
        pause = min(max((now - waits_since) / 2, FIRST), DAILY)
    elif has_failed:
        pause = FAILED
    return now + pause * (1 + SPREAD * (2 * random - 1))
