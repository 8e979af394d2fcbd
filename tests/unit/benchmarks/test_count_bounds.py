"""Bounds of counts: exceeded, and undercut by far."""

import msgspec
import pytest

from benchmarks.counts.bounds import BROKEN, BoundVerdict, judge, read, tightened

TEXT = """\
# What they are.

["smtp.flights"]
at_most = 10
why = "one for each message"

["threads.hops"]
at_most = 5
at_least = 0
why = "none is best"
"""


def verdicts(**counts: float) -> dict[str, BoundVerdict]:
    return {one.name: one.verdict for one in judge({k.replace("_", "."): v for k, v in counts.items()}, read(TEXT))}


@pytest.mark.parametrize(
    ("flights", "verdict"),
    [
        (10.1, BoundVerdict.ABOVE),
        (10.0, BoundVerdict.WITHIN),
        (5.0, BoundVerdict.WITHIN),
        (4.9, BoundVerdict.LOOSE),
    ],
)
def test_a_bound_has_two_sides(flights: float, verdict: BoundVerdict) -> None:
    assert verdicts(smtp_flights=flights, threads_hops=1)["smtp.flights"] is verdict


def test_a_bound_may_say_how_low_a_count_may_be() -> None:
    assert verdicts(smtp_flights=10, threads_hops=0)["threads.hops"] is BoundVerdict.WITHIN
    assert verdicts(smtp_flights=10, threads_hops=-0.1)["threads.hops"] is BoundVerdict.LOOSE


def test_a_bound_of_nothing_and_a_count_without_one() -> None:
    found = verdicts(smtp_flights=9, other=7)
    assert found == {
        "smtp.flights": BoundVerdict.WITHIN,
        "other": BoundVerdict.UNBOUNDED,
        "threads.hops": BoundVerdict.GONE,
    }
    assert BoundVerdict.UNBOUNDED not in BROKEN


def test_a_bound_says_why() -> None:
    with pytest.raises(msgspec.ValidationError, match="why"):
        read('["a"]\nat_most = 1\n')


def test_tightening_lowers_and_never_raises() -> None:
    bounds = read(tightened(TEXT, {"smtp.flights": 2.0}))
    assert bounds["smtp.flights"].at_most == 2.3
    assert bounds["smtp.flights"].why == "one for each message"
    assert tightened(TEXT, {"smtp.flights": 9.9}) == TEXT
    assert tightened(TEXT, {"smtp.flights": 100.0}) == TEXT


def test_tightening_leaves_alone_what_may_be_low_by_chance() -> None:
    assert tightened(TEXT, {"threads.hops": 1.0}) == TEXT


def test_tightening_needs_a_count() -> None:
    assert tightened(TEXT, {}) == TEXT
    assert tightened(TEXT, {"smtp.flights": 0.0}) == TEXT
