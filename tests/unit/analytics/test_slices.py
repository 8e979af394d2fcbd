"""Which slices are counted, and which events are left."""

from hypothesis import given
from hypothesis import strategies as st

from analytics.metrics import QUARTER_S
from analytics.slices import AT_REST_S, RECENT_S, SLICE_S, Slices, start_of
from analytics.tallies import Uncounted

NOW = 1_775_001_600
STARTS = st.integers(0, 4 * QUARTER_S // SLICE_S - 1).map(lambda number: number * SLICE_S)


def test_a_slice_is_due_once_it_is_over_and_at_rest() -> None:
    slices = Slices()
    assert not slices.touch([NOW], NOW + 1.0)
    assert slices.due(NOW + SLICE_S + AT_REST_S - 1, 9) is None
    assert slices.due(NOW + SLICE_S + AT_REST_S, 9) == range(NOW, NOW + SLICE_S, SLICE_S)
    assert not slices.touch([NOW], NOW + SLICE_S + 5.0)
    assert slices.due(NOW + SLICE_S + AT_REST_S, 9) is None


def test_the_latest_ones_come_first_without_a_gap() -> None:
    slices = Slices()
    at = [NOW + number * SLICE_S for number in range(12)]
    slices.touch([at[1], at[2], at[6], at[8], at[9]], NOW + 120.0)
    slices.touch([at[5]], NOW + 600.0)
    later = NOW + 605.0
    assert slices.due(later, 2) == range(at[8], at[10], SLICE_S)
    assert slices.due(later, 9) == range(at[6], at[10], SLICE_S)  # nothing was inserted into the one between
    slices.counted(range(at[6], at[10], SLICE_S), 7)
    assert slices.due(later, 9) == range(at[0], at[3], SLICE_S)
    assert slices.end == at[10]
    assert slices.due(later, 9, {NOW}) is None  # the quarter is counted itself


def test_an_insert_takes_the_tally_away() -> None:
    slices = Slices()
    slices.touch([NOW], NOW + 1.0)
    slices.counted([NOW], 7)
    assert slices.tallies == {NOW: 7}
    assert slices.touch([NOW], NOW + 2.0 * RECENT_S)  # however late
    assert slices.tallies == {}
    assert slices.due(NOW + 3.0 * RECENT_S, 9) is None  # its quarter is counted instead


def test_what_is_counted_with_its_quarter_is_forgotten() -> None:
    slices = Slices()
    slices.touch([NOW, NOW + QUARTER_S], NOW + QUARTER_S)
    slices.counted([NOW], 7)
    slices.forget(NOW, NOW + QUARTER_S)
    assert slices.tallies == {}
    assert slices.due(NOW + 2.0 * RECENT_S, 9) == range(NOW + QUARTER_S, NOW + QUARTER_S + SLICE_S, SLICE_S)


@given(st.sets(st.integers(0, 3)), st.sets(STARTS))
def test_each_moment_is_in_one_of_tallies_slices_and_runs(quarters: set[int], counted: set[int]) -> None:
    runs = tuple([(QUARTER_S * number, QUARTER_S * (number + 1)) for number in sorted(quarters)])
    slices = {start: 7 for start in counted if start // QUARTER_S in quarters}
    uncounted = Uncounted(runs, tuple(sorted(slices.items())))
    for moment in range(0, 4 * QUARTER_S, 5):
        in_runs = sum(first <= moment < end for first, end in uncounted.runs)
        expected = moment // QUARTER_S in quarters and start_of(moment) not in slices
        assert in_runs == expected
    assert all(first < end for first, end in uncounted.runs)
