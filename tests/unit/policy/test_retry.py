"""When a deferred delivery is retried, and how that depends on the reason."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cluster.policy.limits.retry import SCHEDULES_S, next_attempt, schedule_for
from cluster.policy.replies.bounce_class import BounceClass
from cluster.settings import DeliverySettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULE = (60.0, 300.0, 900.0)


def attempts(lifetime: timedelta, jitter: float, waits: Sequence[float] = SCHEDULE) -> list[int]:
    """Whole seconds from the first attempt to each later one."""
    now, attempts, times = NOW, 1, []
    while due := next_attempt(waits, attempts, now=now, expires_at=NOW + lifetime, jitter=jitter):
        times.append(round((due - NOW).total_seconds()))
        now, attempts = due, attempts + 1
    return times


def minutes(bounce_class: BounceClass, lifetime: timedelta) -> list[int]:
    """The attempts after the first, with the default settings."""
    waits = schedule_for(bounce_class, DeliverySettings().retry_schedule_s)
    return [seconds // 60 for seconds in attempts(lifetime, 0.5, waits)]


def test_the_schedule() -> None:
    assert attempts(timedelta(hours=1), jitter=0.5) == [60, 360, 1260, 2160, 3060, 3546]


def test_jitter_is_a_tenth_either_way() -> None:
    assert attempts(timedelta(seconds=400), jitter=0.0)[:2] == [54, 324]
    assert attempts(timedelta(seconds=400), jitter=0.9999) == [66, 396]


def test_no_attempt_after_the_lifetime() -> None:
    assert attempts(timedelta(seconds=8), jitter=0.5) == []


def test_mail_that_matters_for_minutes_has_a_last_attempt() -> None:
    waits = schedule_for(BounceClass.RATE_LIMITED, DeliverySettings().retry_schedule_s)
    assert attempts(timedelta(seconds=240), 0.5, waits) == [216]
    assert attempts(timedelta(seconds=30), 0.5) == [25]
    assert attempts(timedelta(days=3), 0.5, waits)[-1] in range(3 * 86400 - 60, 3 * 86400)


def test_a_message_of_less_than_a_minute_is_tried_twice() -> None:
    waits = schedule_for(BounceClass.RATE_LIMITED, DeliverySettings().retry_schedule_s)
    for lifetime, times in ((60, [54]), (59, [53]), (45, [40]), (44, [39]), (30, [25]), (12, [7]), (9, [])):
        for jitter in (0.0, 0.5, 0.99):
            assert attempts(timedelta(seconds=lifetime), jitter, waits) == times


def test_a_second_attempt_is_not_followed_by_one_within_seconds() -> None:
    waits = schedule_for(BounceClass.RATE_LIMITED, DeliverySettings().retry_schedule_s)
    for lifetime in range(1, 1000):
        times = [0, *attempts(timedelta(seconds=lifetime), 0.5, waits), lifetime]
        assert all(after - before >= 5 for before, after in pairwise(times) if after != lifetime), times


def test_a_failure_of_no_class_of_its_own_has_the_general_schedule() -> None:
    assert minutes(BounceClass.OTHER, timedelta(hours=8)) == [1, 6, 21, 51, 111, 231, 471, 479]
    assert schedule_for(None, SCHEDULE) == SCHEDULE


def test_classes_have_schedules_of_their_own() -> None:
    day = timedelta(days=1)
    assert minutes(BounceClass.GREYLISTED, day) == [1, 6, 16, 36, 96, 216, 456, 696, 936, 1176, 1416, 1439]
    assert minutes(BounceClass.RATE_LIMITED, day) == [5, 20, 50, 110, 230, 470, 710, 950, 1190, 1430, 1439]
    assert minutes(BounceClass.MAILBOX_FULL, day) == [60, 180, 420, 660, 900, 1140, 1380, 1439]
    assert minutes(BounceClass.BLOCKLISTED, day) == [30, 90, 210, 450, 690, 930, 1170, 1410, 1439]
    assert minutes(BounceClass.CONNECTION_LOST, timedelta(hours=2)) == [0, 2, 12, 42, 102, 119]
    assert minutes(BounceClass.NO_ANSWER, timedelta(hours=2)) == [2, 7, 22, 52, 112, 119]
    assert minutes(BounceClass.DNS_FAILURE, timedelta(hours=2)) == [0, 0, 1, 3, 13, 43, 103, 119]


def test_every_schedule_slows_down() -> None:
    assert all(list(waits) == sorted(waits) and waits[0] > 0 for waits in SCHEDULES_S.values())


def test_the_general_schedule_bounds_all_others() -> None:
    assert set(schedule_for(BounceClass.MAILBOX_FULL, (0.05,))) == {0.05}
    assert schedule_for(BounceClass.GREYLISTED, (10.0, 400.0))[:3] == (60.0, 300.0, 400.0)
