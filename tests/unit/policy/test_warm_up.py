"""Warm-up plans and the portions that an owner is granted."""

from datetime import date, timedelta

import pytest

from cluster.policy.limits.warm_up import MAX_PORTION, UNLIMITED, Allowance, WarmUpPlan

START = date(2026, 11, 1)
TODAY = START
TOMORROW = START + timedelta(days=1)
PLAN = WarmUpPlan(START, (50, 100, 500), {"google.com": (0, 10, 20, 40, 80)})


def caps(site: str, days: range) -> list[int | None]:
    return [PLAN.cap(site, START + timedelta(days=n)) for n in days]


def test_the_plan_day_by_day() -> None:
    assert caps("example.com", range(-2, 5)) == [0, 0, 50, 100, 500, None, None]
    assert caps("google.com", range(-1, 6)) == [0, 0, 10, 20, 40, 80, None]


def test_the_end_of_a_plan_is_that_of_its_slowest_site() -> None:
    assert PLAN.ends() == date(2026, 11, 6)
    assert WarmUpPlan(START, (1, 2)).ends() == date(2026, 11, 3)
    assert WarmUpPlan(START, ()).ends() == START


def fill(allowance: Allowance, journal: int) -> int:
    """Grant what it asks for from the journal's remaining number; returns what remains then."""
    while wanted := allowance.wanted():
        count = min(wanted, journal)
        allowance.granted(allowance.day, wanted, count)
        journal -= count
    return journal


@pytest.mark.parametrize("cap", [1, 2, 19, 50, 1000, 100_000])
def test_a_day_ends_with_the_cap_used_and_no_more(cap: int) -> None:
    allowance = Allowance(TODAY, cap)
    left = cap
    sent = 0
    while not allowance.is_exhausted:
        left = fill(allowance, left)
        if allowance.remaining:
            allowance.take()
            sent += 1
    assert (sent, left, allowance.remaining, allowance.wanted()) == (cap, 0, 0, 0)


@pytest.mark.parametrize(("cap", "portion"), [(1, 1), (50, 2), (1000, 50), (1_000_000, MAX_PORTION)])
def test_portions(cap: int, portion: int) -> None:
    assert Allowance(TODAY, cap).wanted() == portion


def test_more_is_asked_for_before_it_runs_out() -> None:
    allowance = Allowance(TODAY, 1000)
    allowance.granted(TODAY, 50, 50)
    allowance.take(24)
    assert allowance.wanted() == 0
    allowance.take()
    assert (allowance.wanted(), allowance.remaining) == (50, 25)


def test_before_the_first_portion_nothing_goes_and_nothing_is_over() -> None:
    allowance = Allowance(TODAY, 10)
    assert (allowance.remaining, allowance.is_exhausted) == (0, False)


def test_a_cap_of_nothing_is_over_at_once() -> None:
    allowance = Allowance(TODAY, 0)
    assert (allowance.remaining, allowance.is_exhausted, allowance.wanted()) == (0, True, 0)


def test_without_a_cap_nothing_is_asked_for() -> None:
    allowance = Allowance(TODAY, None)
    allowance.take(5)
    assert (allowance.remaining, allowance.is_exhausted, allowance.wanted()) == (UNLIMITED, False, 0)
    assert allowance.leave() == 0


def test_less_than_asked_is_all_there_is() -> None:
    allowance = Allowance(TODAY, 1000)
    allowance.granted(TODAY, 50, 3)
    assert (allowance.remaining, allowance.wanted(), allowance.is_exhausted) == (3, 0, False)
    allowance.take(3)
    assert allowance.is_exhausted
    allowance.put_back()
    assert (allowance.remaining, allowance.is_exhausted) == (1, False)


def test_a_new_day_begins_with_nothing_and_asks_again() -> None:
    allowance = Allowance(TODAY, 1000)
    allowance.granted(TODAY, 50, 40)
    allowance.renew(TODAY, 1000)
    assert (allowance.remaining, allowance.wanted()) == (40, 0)
    allowance.renew(TOMORROW, 2000)
    assert (allowance.remaining, allowance.wanted(), allowance.is_exhausted) == (0, 100, False)


def test_an_answer_of_yesterday_counts_for_nothing() -> None:
    allowance = Allowance(TODAY, 1000)
    allowance.renew(TOMORROW, 1000)
    allowance.granted(TODAY, 50, 50)
    assert allowance.remaining == 0


def test_another_cap_is_asked_about_anew() -> None:
    allowance = Allowance(TODAY, 10)
    allowance.granted(TODAY, 1, 0)
    assert allowance.is_exhausted
    allowance.renew(TODAY, 20)
    assert (allowance.is_exhausted, allowance.wanted()) == (False, 1)
    allowance.renew(TODAY, None)
    assert allowance.remaining == UNLIMITED


def test_what_others_gave_back_is_asked_for() -> None:
    allowance = Allowance(TODAY, 1000)
    allowance.granted(TODAY, 50, 0)
    allowance.renew(TODAY, 1000)
    assert (allowance.is_exhausted, allowance.wanted()) == (True, 0)
    allowance.reopen()
    assert (allowance.is_exhausted, allowance.wanted()) == (False, 50)
    nothing = Allowance(TODAY, 0)
    nothing.reopen()
    assert nothing.is_exhausted


def test_what_is_left_goes_back_once() -> None:
    allowance = Allowance(TODAY, 1000)
    allowance.granted(TODAY, 50, 50)
    allowance.take(20)
    assert (allowance.leave(), allowance.leave()) == (30, 0)
