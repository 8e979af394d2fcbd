"""How a limit is shared: the shares of processes that know the same never exceed it, and none goes without."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cluster.tenancy.shares import LEAST, share_of

DEMANDS = st.lists(st.one_of(st.just(0.0), st.floats(0.001, 1e7)), min_size=1, max_size=12)


def shares(limit: float, demands: list[float]) -> list[float]:
    """The share of each process, as each finds it. Those with a demand of 0 report none."""
    found = []
    for number, own in enumerate(demands):
        others = demands[:number] + demands[number + 1 :]
        reported = [demand for demand in others if demand]
        found.append(share_of(limit, own, reported, len(others) - len(reported)))
    return found


@given(DEMANDS, st.floats(0.01, 1e6))
def test_the_shares_sum_to_the_limit(demands: list[float], limit: float) -> None:
    total = sum(shares(limit, demands))
    assert limit * (1 - 1e-9) <= total <= limit * (1 + LEAST + 1e-9)


@given(DEMANDS, st.floats(0.01, 1e6))
def test_none_goes_without_and_no_demand_below_an_equal_share_is_cut(demands: list[float], limit: float) -> None:
    equal = limit / len(demands)
    for demand, share in zip(demands, shares(limit, demands), strict=True):
        assert share >= LEAST * equal * (1 - 1e-9)
        assert share >= min(demand, equal) * (1 - 1e-9)


@given(DEMANDS, st.floats(0.01, 1e6))
def test_who_asks_for_more_gets_no_less(demands: list[float], limit: float) -> None:
    ranked = [share for _, share in sorted(zip(demands, shares(limit, demands), strict=True))]
    assert all(one <= next_ * (1 + 1e-9) for one, next_ in pairwise(ranked))


def test_what_one_alone_asks_for_it_gets() -> None:
    assert shares(100, [500, 0, 0]) == [100, 1 / 3, 1 / 3]
    assert shares(100, [500]) == [100]


def test_small_demands_are_met_and_large_ones_share_the_rest() -> None:
    assert shares(100, [10, 500, 50]) == [10, 45, 45]
    assert shares(90, [10, 20]) == [40, 50]
