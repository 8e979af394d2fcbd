"""From timestamps to figures."""

import pytest

from benchmarks.records import Sample
from benchmarks.series import BIN_S, KEPT, percentile, thinned, throughput


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([5.0], 0.99, 5.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (list(map(float, range(1, 101))), 0.5, 50.0),
        (list(map(float, range(1, 101))), 0.99, 99.0),
        (list(map(float, range(1, 101))), 1.0, 100.0),
        (list(map(float, range(1, 11))), 0.99, 10.0),
    ],
)
def test_percentiles_are_of_the_values_themselves(values: list[float], part: float, expected: float) -> None:
    assert percentile(values, part) == expected


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_throughput_counts_by_bins_and_leaves_out_the_last() -> None:
    moments = [100.0, 100.1, 100.0 + BIN_S, 100.0 + 2 * BIN_S]
    assert throughput(moments, 100.0) == (Sample(0.0, 2 / BIN_S), Sample(BIN_S, 1 / BIN_S))


def test_throughput_shows_when_nothing_came() -> None:
    rates = [sample.rate for sample in throughput([0.0, 3 * BIN_S, 4 * BIN_S], 0.0)]
    assert rates == [1 / BIN_S, 0.0, 0.0, 1 / BIN_S]


def test_what_came_before_the_start_does_not_count() -> None:
    assert throughput([99.0, 100.0, 101.0], 100.0)[0].rate == 1 / BIN_S
    assert throughput([], 100.0) == ()


def test_thinning_keeps_the_ends_and_the_order() -> None:
    values = [float(i) for i in reversed(range(10 * KEPT))]
    kept = thinned(values)
    assert len(kept) == KEPT
    assert (kept[0], kept[-1]) == (0.0, 10 * KEPT - 1)
    assert list(kept) == sorted(kept)
    assert thinned([2.0, 1.0]) == (1.0, 2.0)
