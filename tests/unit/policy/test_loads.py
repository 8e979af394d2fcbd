"""What an actor carries, measured."""

import pytest

from cluster.policy.balance import loads
from cluster.policy.balance.loads import ActorLoad, DestinationLoad, Rates, known
from cluster.policy.routes.destinations import Destination

ONE, TWO = Destination("one.example"), Destination("two.example", "out1")


def carry(rates: Rates, place: Destination, per_s: int, seconds: int) -> None:
    for _ in range(seconds // 10):
        for _ in range(per_s * 10):
            rates.carried(place)
        rates.pass_time(10.0)


def test_a_steady_rate_is_what_it_is() -> None:
    rates = Rates()
    carry(rates, ONE, 5, 600)
    assert rates.heaviest(lambda _: False) == {ONE: pytest.approx(300, rel=0.01)}
    assert rates.per_min == pytest.approx(300, rel=0.01)


def test_while_a_destination_moves_the_sum_of_both_owners_is_right() -> None:
    former, new = Rates(), Rates()
    carry(former, ONE, 5, 600)
    for _ in range(12):
        carry(new, ONE, 5, 10)
        former.pass_time(10.0)
        assert former.per_min + new.per_min == pytest.approx(300, rel=0.01)
    assert former.per_min < 50


def test_what_is_over_is_forgotten() -> None:
    rates = Rates()
    carry(rates, ONE, 1, 10)
    for _ in range(100):
        rates.pass_time(10.0)
    assert (len(rates), rates.per_min) == (0, 0.0)


def test_the_heaviest_are_named_and_the_others_counted_by_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "REPORTED", 1)
    rates = Rates()
    for _ in range(3):
        rates.carried(ONE)
    rates.carried(TWO)
    rates.pass_time(60.0)
    named = rates.heaviest(lambda _: False)
    assert list(named) == [ONE]
    assert rates.others(named) == {"out1": pytest.approx(rates.per_min / 4)}
    assert list(rates.heaviest(lambda place: place == TWO)) == [ONE, TWO]


def test_no_more_than_a_bound_is_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "MEASURED_AT_MOST", 2)
    rates = Rates()
    for turn in range(2):
        for n in range(5):
            rates.carried(Destination(f"mx{turn}{n}.example", "out1"))
        rates.pass_time(60.0)
        assert len(rates) == 2
    gained = 5 * (1 - 2.718281828**-1)
    assert rates.per_min == pytest.approx(gained + gained * 2.718281828**-1)


def test_reports_of_one_destination_are_added_up() -> None:
    some = [DestinationLoad(name="one.example", per_min=5.0, hot_s=hot, most_shares=n) for hot, n in ((0, 4), (20, 3))]
    other = DestinationLoad(name="no>#destination", per_min=1.0)
    (found,) = known([ActorLoad(destinations=(one, other)) for one in some])
    assert (found.place, found.per_min, found.hot_s, found.most_shares) == (ONE, 10.0, 20, 3)
