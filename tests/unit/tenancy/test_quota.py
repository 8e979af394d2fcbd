"""A daily quota in one process: what it refuses, what readings tell it, and where the day ends."""

import pickle

import pytest

from cluster.tenancy.exceeded import QuotaExceeded, RateExceeded
from cluster.tenancy.quota import DAY_S, FRESH_S, Quota, date_of

DAY = 20_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return DAY * DAY_S + DAY_S - 3600 + self.now - 100


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quota(clock: Clock) -> Quota:
    quota = Quota(100, clock.monotonic, clock.wall)
    quota.read(DAY, 20, 30, clock.now)
    return quota


def test_messages_are_accepted_while_all_of_them_fit(quota: Quota) -> None:
    quota.charge(49)
    with pytest.raises(QuotaExceeded) as caught:
        quota.charge(2)
    assert caught.value.detail == "Daily quota exceeded"
    assert caught.value.retry_after_s == 3600
    assert "1 of 100" in caught.value.help
    quota.charge(1)
    with pytest.raises(QuotaExceeded):
        quota.require()
    quota.give_back(1)
    quota.require()


def test_a_lowered_quota_refuses_at_once(quota: Quota) -> None:
    quota.most = 50
    with pytest.raises(QuotaExceeded) as caught:
        quota.require()
    assert dict(caught.value.headers())[b"x-ratelimit-remaining"] == b"0"


def test_what_is_not_committed_yet_counts_whatever_a_reading_says(quota: Quota, clock: Clock) -> None:
    quota.charge(40)
    quota.read(DAY, 20, 31, clock.now)
    assert quota.left.left == 9


def test_a_commit_that_was_taken_for_failed_counts_once_it_is_read(quota: Quota, clock: Clock) -> None:
    quota.charge(40)
    quota.give_back(40)
    quota.read(DAY, 60, 30, clock.now)
    assert quota.left.left == 10


def test_what_the_worker_has_committed_counts_before_it_is_read_and_only_once(quota: Quota, clock: Clock) -> None:
    quota.add(10)
    quota.read(DAY, 20, 30, clock.now)
    assert quota.left.left == 40
    quota.read(DAY, 20, 40, clock.now)
    assert quota.left.left == 40


def test_a_reading_is_fresh_for_a_time_and_within_its_day(quota: Quota, clock: Clock) -> None:
    assert quota.is_fresh()
    clock.now += FRESH_S
    assert not quota.is_fresh()
    quota.read(DAY, 20, 30, clock.now)
    assert quota.is_fresh()
    clock.now += 3600
    quota.read(DAY, 20, 30, clock.now)
    assert not quota.is_fresh()
    quota.read(DAY + 1, 0, 0, clock.now)
    assert quota.is_fresh() and quota.left.left == 100


def test_the_fields_of_an_answer_are_those_of_the_day(quota: Quota) -> None:
    assert dict(quota.headers()) == {
        b"x-ratelimit-limit": b"100",
        b"x-ratelimit-remaining": b"50",
        b"x-ratelimit-reset": b"%d" % ((DAY + 1) * DAY_S),
    }


@pytest.mark.parametrize(
    "error", [QuotaExceeded("help", 5, 100, 3, 1_700_000_000), RateExceeded("help", 7)], ids=lambda e: type(e).__name__
)
def test_a_refusal_survives_pickling(error: QuotaExceeded | RateExceeded) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.detail, copy.help, copy.retry_after_s) == (error.detail, error.help, error.retry_after_s)
    if isinstance(error, QuotaExceeded):
        assert copy.headers() == error.headers()


def test_days_are_those_of_utc() -> None:
    assert str(date_of(0)) == "1970-01-01"
    assert str(date_of(DAY)) == "2024-10-04"
