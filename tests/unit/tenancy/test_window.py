"""One limit in one process: debts, charges that are taken back, shares that change, and what an answer shows."""

import pytest

from cluster.tenancy.exceeded import RateExceeded
from cluster.tenancy.limits import Limit
from cluster.tenancy.window import Window


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_window(clock: Clock, per_s: float = 10, share: float | None = None, limit: Limit = Limit.MESSAGES) -> Window:
    return Window(limit, per_s, per_s if share is None else share, clock, lambda: 1_000_000 + clock.now)


def shown(window: Window) -> tuple[int, int, int]:
    names, values = zip(*window.headers(), strict=True)
    assert names == (b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")
    return tuple(map(int, values))  # type: ignore[return-value]  # three


def accepted(window: Window, cost: int = 1) -> int:
    """How many requests of this cost are accepted at once."""
    for number in range(10_000):
        try:
            window.charge(cost)
        except RateExceeded:
            return number
    raise AssertionError("no limit")


def test_a_second_s_worth_is_accepted_at_once_and_then_the_rate(clock: Clock) -> None:
    window = a_window(clock)
    assert accepted(window) == 10
    clock.now += 0.5
    assert accepted(window) == 5


def test_a_request_of_any_size_is_accepted_and_paid_for_afterwards(clock: Clock) -> None:
    window = a_window(clock)
    window.charge(1000)
    with pytest.raises(RateExceeded) as caught:
        window.require()
    assert caught.value.retry_after_s == 100
    assert shown(window) == (10, 0, 1_000_201)
    clock.now += 99
    with pytest.raises(RateExceeded):
        window.charge(1)
    clock.now += 0.2
    window.require()
    window.charge(1000)


def test_a_refused_request_costs_nothing_and_a_charge_can_be_taken_back(clock: Clock) -> None:
    window = a_window(clock)
    window.charge(8)
    window.charge(8)
    for _ in range(5):
        with pytest.raises(RateExceeded):
            window.charge(8)
    window.give_back(8)
    assert shown(window)[1] == 2
    assert accepted(window) == 2


def test_what_is_taken_back_twice_gives_no_more_than_the_limit(clock: Clock) -> None:
    window = a_window(clock)
    window.charge(1)
    window.give_back(1000)
    assert accepted(window) == 10


def test_what_an_answer_shows_of_a_limit_by_the_minute(clock: Clock) -> None:
    window = a_window(clock, per_s=1 / 6, limit=Limit.CREATIONS)
    assert shown(window) == (10, 10, 1_000_101)
    window.charge(1)
    assert shown(window) == (10, 9, 1_000_107)
    assert accepted(window) == 9
    with pytest.raises(RateExceeded) as caught:
        window.charge(1)
    assert caught.value.retry_after_s == 6
    assert "10 new keys and webhooks a minute" in caught.value.help


def test_a_larger_share_waits_until_it_is_found_twice_and_a_smaller_one_does_not(clock: Clock) -> None:
    window = a_window(clock, share=5)
    window.set_share(10)
    assert window.share == 5
    window.set_share(10)
    assert window.share == 10
    window.set_share(2)
    assert window.share == 2


def test_a_change_of_the_share_gives_nothing_and_keeps_a_debt(clock: Clock) -> None:
    window = a_window(clock, share=5)
    assert accepted(window) == 5
    for _ in range(2):
        window.set_share(10)
    assert accepted(window) == 0
    clock.now += 1
    window.set_share(2)
    assert accepted(window) == 2
    window.give_back(1)
    window.charge(21)
    for _ in range(2):
        window.set_share(10)
    clock.now += 1.95
    assert accepted(window) == 0
    clock.now += 0.2
    assert accepted(window) == 1


def test_load_a_little_above_the_limit_uses_the_burst_for_a_second_only(clock: Clock) -> None:
    window = a_window(clock, per_s=100)
    for second in range(4):
        total = 0
        for tick in range(8):
            for _ in range(15):  # 120 a second
                try:
                    window.charge(1)
                    total += 1
                except RateExceeded:
                    pass
            clock.now += 0.125
            if tick % 2:
                window.measure(0.25)
                window.set_share(100)
        assert total <= (200, 105, 105, 105)[second]
    assert total >= 95


def test_load_in_bursts_gets_the_whole_limit(clock: Clock) -> None:
    window = a_window(clock, per_s=100)
    totals = []
    for _ in range(10):
        totals.append(accepted(window))
        for _ in range(3):
            clock.now += 0.25
            window.measure(0.25)
    assert totals[5:] == [75] * 5


def test_a_limit_by_the_minute_keeps_its_burst(clock: Clock) -> None:
    window = a_window(clock, per_s=1 / 6, limit=Limit.CREATIONS)
    for _ in range(9):
        window.charge(1)
        clock.now += 0.25
        window.measure(0.25)
        window.set_share(1 / 6)
    window.charge(1)


def test_a_quiet_process_recovers_at_the_rate_of_the_whole_limit(clock: Clock) -> None:
    window = a_window(clock, share=2)
    window.charge(20)
    clock.now += 1  # 2 have recovered by the share
    window.recover(1.0)
    assert accepted(window) == 0
    clock.now += 1
    window.recover(1.0)
    assert accepted(window) == 2


def test_no_debt_lasts_longer_when_the_limit_changes(clock: Clock) -> None:
    window = a_window(clock, per_s=10_000)
    window.charge(25_000)
    window.change(1)
    clock.now += 2
    assert accepted(window) == 0
    clock.now += 0.6
    assert accepted(window) == 1
    assert shown(window)[0] == 1
    window.change(1000)
    clock.now += 1
    assert accepted(window) == 1000


def test_retry_after_is_that_of_the_whole_limit_while_no_other_process_asks(clock: Clock) -> None:
    window = a_window(clock, per_s=10, share=0.1)
    window.charge(30)
    with pytest.raises(RateExceeded) as caught:
        window.charge(1)
    assert caught.value.retry_after_s == 3
    window.is_contested = True
    with pytest.raises(RateExceeded) as caught:
        window.charge(1)
    assert caught.value.retry_after_s == 300


def test_the_demand_counts_refused_requests_at_the_size_of_the_others(clock: Clock) -> None:
    window = a_window(clock, per_s=1000)
    for _ in range(60):
        window.charge(100)
        clock.now += 0.1
    window.measure(6.0)
    steady = window.demand
    assert steady == pytest.approx(1000, rel=0.01)
    window.charge(10_000_000)
    window._asked = 0
    for _ in range(60):
        with pytest.raises(RateExceeded):
            window.require()
    window.measure(6.0)
    assert window.demand > 900


def test_it_is_idle_when_it_is_like_a_new_one(clock: Clock) -> None:
    window = a_window(clock)
    assert window.is_idle()
    window.charge(5)
    assert not window.is_idle()
    clock.now += 0.6
    for _ in range(60):
        window.measure(0.25)
    assert window.is_idle()
