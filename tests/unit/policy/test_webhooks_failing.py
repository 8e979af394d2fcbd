"""When endpoints fail, are tried again, and are disabled."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster.policy.webhooks.failing import Health, PostResult, after, counting, due_again
from cluster.policy.webhooks.retry_after import LONGEST_S, retry_after_s
from cluster.settings import WebhookSettings

SCHEDULE_S = WebhookSettings().retry_schedule_s
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIDDLE = 0.5
"""The jitter that changes nothing."""


def a_result(
    at: float = 0.0, status: int = 500, *, took_s: float = 0.1, retry_after_s: float | None = None
) -> PostResult:
    """A post that began so many seconds after noon."""
    began = NOON + timedelta(seconds=at)
    return PostResult(
        began=began,
        ended=began + timedelta(seconds=took_s),
        status=status,
        error="" if 200 <= status < 300 else f"answered {status}",
        retry_after_s=retry_after_s,
    )


def seconds(at: datetime | None, since: datetime) -> float | None:
    return None if at is None else round((at - since).total_seconds(), 3)


@pytest.mark.parametrize(
    ("status", "is_taken"),
    [(200, True), (204, True), (299, True), (199, False), (301, False), (404, False), (0, False)],
)
def test_only_2xx_is_a_success(status: int, is_taken: bool) -> None:
    assert a_result(status=status).is_taken is is_taken


def test_the_waits_of_events() -> None:
    result = a_result()
    waits = [seconds(due_again(result, attempts, SCHEDULE_S, MIDDLE), result.ended) for attempts in range(1, 8)]
    assert waits == [60, 300, 900, 3600, 7200, 7200, 7200]
    assert seconds(due_again(result, 1, SCHEDULE_S, 0.0), result.ended) == 54
    assert seconds(due_again(result, 1, SCHEDULE_S, 1.0), result.ended) == 66


def test_never_before_what_the_endpoint_asked_for() -> None:
    assert due_again(a_result(retry_after_s=100), 1, SCHEDULE_S, 0.0) == a_result().ended + timedelta(seconds=100)
    assert due_again(a_result(retry_after_s=10), 1, SCHEDULE_S, MIDDLE) == a_result().ended + timedelta(seconds=60)


def test_the_waits_between_probes() -> None:
    health, at, waits = Health(), 0.0, []
    for _ in range(9):
        result = a_result(at)
        health = after(health, result, SCHEDULE_S, MIDDLE)
        waits.append(seconds(health.next_at, result.ended))
        at += 1 if health.next_at is None else (health.next_at - NOON).total_seconds() - at
    assert waits == [None, None, 60, 300, 900, 3600, 7200, 7200, 7200]
    assert (health.failures, health.failed_since) == (9, a_result(0).ended)


def test_it_fails_from_the_third_failure_in_a_row() -> None:
    health, failing = Health(), []
    for at in range(3):
        health = after(health, a_result(at), SCHEDULE_S, MIDDLE)
        failing.append(health.is_failing)
    assert failing == [False, False, True]
    assert after(health, a_result(4, 200), SCHEDULE_S, MIDDLE) == Health()


def test_of_posts_that_ran_together_one_counts() -> None:
    health = after(Health(), a_result(10, took_s=5), SCHEDULE_S, MIDDLE)
    together = after(health, a_result(12, took_s=30, retry_after_s=100), SCHEDULE_S, MIDDLE)
    assert together.failures == 1
    assert seconds(together.next_at, a_result(12, took_s=30).ended) == 100, "what it asks for counts nevertheless"
    assert after(health, a_result(15.1), SCHEDULE_S, MIDDLE).failures == 2


def test_retry_after_holds_the_endpoint() -> None:
    health = after(Health(), a_result(status=429, retry_after_s=30), SCHEDULE_S, MIDDLE)
    assert not health.is_open(a_result().ended + timedelta(seconds=29))
    assert health.is_open(a_result().ended + timedelta(seconds=30))


@pytest.mark.parametrize(("minutes", "is_disabled"), [(59, False), (61, True)])
def test_ten_failures_disable_it_if_they_took_an_hour(minutes: int, is_disabled: bool) -> None:
    nine = Health(failures=9, failed_since=NOON, failed_at=NOON + timedelta(minutes=minutes - 1))
    result = a_result(minutes * 60)
    health = after(nine, result, SCHEDULE_S, MIDDLE)
    assert health.is_disabled is is_disabled
    if is_disabled:
        assert health.disabled_at == result.ended
        reason = "10 posts in a row failed since 2026-03-01 12:00 UTC, the last: answered 500"
        assert health.disabled_reason == reason
    else:
        assert health.failures == 10


def test_nine_failures_never_do() -> None:
    eight = Health(failures=8, failed_since=NOON, failed_at=NOON + timedelta(hours=23))
    assert not after(eight, a_result(86_400), SCHEDULE_S, MIDDLE).is_disabled


def test_410_disables_at_once_and_nothing_else_changes_it_back() -> None:
    health = after(Health(), a_result(status=410), SCHEDULE_S, MIDDLE)
    assert health.is_disabled
    assert not health.is_open(NOON + timedelta(days=1))
    assert after(health, a_result(1, 200), SCHEDULE_S, MIDDLE) == health
    assert after(health, a_result(1, 500), SCHEDULE_S, MIDDLE) == health


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("86401", LONGEST_S),
        ("9" * 5000, LONGEST_S),
        ("Sun, 01 Mar 2026 12:10:00 GMT", 600),
        ("Sunday, 01-Mar-26 12:10:00 GMT", 600),
        ("Sun Mar  1 12:10:00 2026", 600),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Fri, 01 Mar 2030 12:00:00 GMT", LONGEST_S),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("١٢", None),
        ("soon", None),
        ("Sun, 99 Mar 2026 12:10:00 GMT", None),
        ("Sun, 01 Mar 99999999999999999999 12:10:00 GMT", None),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    assert retry_after_s(text, NOON) == expected


@pytest.mark.parametrize(
    ("statuses", "counts"),
    [
        ([200], [True]),
        ([500], [True]),
        ([400], [True]),
        # A part was taken: the endpoint works, whatever it refused.
        ([400, 200, 422, 200], [False, True, False, True]),
        ([413, 200, 200], [False, True, True]),
        # It took nothing: one failure, not one for each part.
        ([400, 400, 400], [False, False, True]),
        ([400, 200, 503], [False, True, True]),
        ([400, 503], [False, True]),
        # No body: nothing was posted, which tells nothing of the endpoint.
        ([None], [False]),
        ([None, 200], [False, True]),
        ([None, 400, None], [False, True, False]),
    ],
)
def test_which_posts_of_the_same_events_tell_of_the_endpoint(statuses: list[int | None], counts: list[bool]) -> None:
    results = [
        PostResult(began=NOON, ended=NOON, status=status or 0, is_unwritten=status is None) for status in statuses
    ]
    assert counting(results) == counts
