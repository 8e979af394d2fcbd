"""How soon delivery is back to its rate after a change of nodes, by the sink's log."""

import pytest

from benchmarks.chaos.rates import late, recoveries
from benchmarks.chaos.records import Change, ChangeKind, Recovery, Span

STORM = (1000.0, 1060.0)


def arrivals(*gaps: Span, rate: float = 20.0) -> list[float]:
    """A steady rate through the storm, with nothing in the gaps."""
    times = [STORM[0] + i / rate for i in range(round((STORM[1] - STORM[0]) * rate))]
    return [at for at in times if not any(began <= at < ended for began, ended in gaps)]


def change(at: float, kind: ChangeKind = ChangeKind.NODE_KILLED) -> Change:
    return Change(kind=kind, at=at, ended_at=at)


def test_what_changes_nothing_is_back_at_once() -> None:
    (found,) = recoveries([change(1020.0)], arrivals(), [], STORM)
    assert found == Recovery(kind=ChangeKind.NODE_KILLED, at_s=20.0, back_s=0.0, watched_s=37.0)


@pytest.mark.parametrize(("gap_s", "back_s"), [(5.0, 4.25), (12.0, 11.0), (20.0, 18.75)])
def test_a_gap_lasts_until_nearly_as_much_arrives_as_before(gap_s: float, back_s: float) -> None:
    (found,) = recoveries([change(1020.0)], arrivals((1020.0, 1020.0 + gap_s)), [], STORM)
    assert found.back_s == pytest.approx(back_s, abs=0.3)
    assert len(late([found])) == (back_s > 15)


def test_half_of_the_rate_is_not_the_rate() -> None:
    times = [at for i, at in enumerate(arrivals()) if at < 1020.0 or i % 2 or at > 1040.0]
    (found,) = recoveries([change(1020.0)], times, [], STORM)
    assert found.back_s is not None and found.back_s > 17
    assert len(late([found])) == 1


def test_time_in_which_nobody_could_deliver_does_not_count() -> None:
    away = [(1022.0, 1028.0), (1025.0, 1032.0), (1050.0, 1055.0)]
    (found,) = recoveries([change(1020.0)], arrivals((1020.0, 1040.0)), away, STORM)
    assert found.back_s == pytest.approx(9.0, abs=0.3)
    assert late([found]) == []


def test_each_change_is_looked_at_until_the_next_one() -> None:
    changes = [change(1010.0), change(1020.0, ChangeKind.JOINED), change(1040.0, ChangeKind.DRAINED)]
    found = recoveries(changes, arrivals((1010.0, 1045.0)), [], STORM)
    assert [one.back_s is None for one in found] == [True, True, False]
    assert [one.watched_s for one in found] == [7.0, 17.0, 17.0]
    (said,) = late(found)
    assert said.startswith("joined at 20 s")


def test_nothing_is_asked_of_what_came_too_late_to_be_seen() -> None:
    (found,) = recoveries([change(1059.0)], arrivals((1059.0, 1060.0)), [], STORM)
    assert found.back_s is None and found.watched_s == 0.0
    assert late([found]) == []


def test_a_storm_without_changes() -> None:
    assert recoveries([], arrivals(), [], STORM) == []
