"""The schedule of faults: it depends on the seed alone, has enough kills, and no fault outlasts the run."""

from itertools import pairwise

import pytest

from benchmarks.chaos.faults import (
    LONGEST_PART,
    OF_NODES,
    ONCE,
    PACES,
    ChaosFault,
    FaultKind,
    FaultLane,
    after_delay,
    longest_outage_s,
    possible,
    schedule,
)

SEEDS = range(200)


def test_the_same_seed_makes_the_same_schedule_and_another_seed_another() -> None:
    assert schedule(7, 120) == schedule(7, 120)
    assert schedule(7, 120) != schedule(8, 120)


@pytest.mark.parametrize("seconds", [10, 20, 60, 120, 600])
def test_everything_is_over_before_the_storm_is(seconds: float) -> None:
    for seed in SEEDS:
        for fault in schedule(seed, seconds):
            assert fault.at_s > 0
            assert fault.at_s + fault.duration_s < seconds
            assert fault.duration_s <= seconds * LONGEST_PART + 0.01
            assert 0 <= fault.pick < 1


def test_the_faults_of_a_lane_follow_each_other() -> None:
    for seed in SEEDS:
        for lane in FaultLane:
            faults = [fault for fault in schedule(seed, 120) if fault.lane is lane]
            for former, later in pairwise(faults):
                assert later.at_s > former.at_s + former.duration_s


def test_two_minutes_hold_many_kills_of_every_kind() -> None:
    for seed in SEEDS:
        kills = [fault.kind for fault in schedule(seed, 120) if fault.lane is FaultLane.KILLS]
        assert len(kills) >= 28
        assert kills.count(FaultKind.KILL_ALL) == 1
        assert set(kills) == {kind for kind in FaultKind if kind.startswith("kill")} - OF_NODES - {
            FaultKind.KILL_CLEARING
        }


def test_nodes_come_and_go_in_every_way_and_the_head_dies_once() -> None:
    for seed in SEEDS:
        kinds = possible(tuple(FaultKind), 3, remembers=False)
        of_nodes = [fault.kind for fault in schedule(seed, 120, kinds) if fault.lane is FaultLane.NODES]
        assert set(of_nodes) <= OF_NODES
        assert len(of_nodes) >= 6
        assert of_nodes.count(FaultKind.KILL_HEAD) == 1 and FaultKind.HEAD_AWAY not in of_nodes
        assert len(set(of_nodes)) >= 4
        assert any(kind is not FaultKind.KILL_HEAD for kind in of_nodes[:1]), "the first cluster changes too"
        assert any(fault.kind in OF_NODES for fault in schedule(seed, 30))
        assert all(fault.kind is not FaultKind.KILL_HEAD for fault in schedule(seed, 30))


def test_a_head_that_remembers_goes_away_and_comes_back_and_nothing_ends_with_it() -> None:
    kinds = possible(tuple(FaultKind), 3, remembers=True)
    for seed in SEEDS:
        of_nodes = [fault.kind for fault in schedule(seed, 120, kinds) if fault.lane is FaultLane.NODES]
        assert of_nodes.count(FaultKind.HEAD_AWAY) == 1 and FaultKind.KILL_HEAD not in of_nodes


@pytest.mark.parametrize("kind", list(ONCE))
def test_what_a_run_has_once_may_be_all_that_it_has(kind: FaultKind) -> None:
    for seed in SEEDS:
        (fault,) = schedule(seed, 60, [kind])
        assert fault.kind is kind
        assert ONCE[kind].earliest * 60 <= fault.at_s <= ONCE[kind].latest * 60 + 0.01


@pytest.mark.parametrize("remembers", [False, True])
def test_one_machine_has_no_faults_of_nodes(remembers: bool) -> None:
    assert OF_NODES.isdisjoint(possible(tuple(FaultKind), 0, remembers=remembers))


def test_what_a_run_has_once_is_not_put_off_by_faults_that_are_late() -> None:
    kinds = (FaultKind.ADD_NODE, FaultKind.DRAIN_NODE, FaultKind.KILL_HEAD, FaultKind.LEAVE_NODE)
    faults = [ChaosFault(at_s, kind, 1, 0) for at_s, kind in zip((10, 20, 30, 40), kinds, strict=True)]
    assert after_delay(faults, 29) == faults
    assert after_delay(faults, 30) == after_delay(faults, 90) == faults[2:]
    assert after_delay(faults[3:], 90) == faults[3:]
    assert after_delay([], 90) == []


def test_a_storm_over_one_machine_is_the_same_without_faults_of_nodes() -> None:
    for seed in SEEDS:
        without = schedule(seed, 120, [kind for kind in FaultKind if kind not in OF_NODES])
        assert without == [fault for fault in schedule(seed, 120) if fault.kind not in OF_NODES]


def test_days_pass_again_and_again_and_that_is_interrupted() -> None:
    for seed in SEEDS:
        of_days = [fault.kind for fault in schedule(seed, 120) if fault.lane is FaultLane.DAYS]
        assert of_days.count(FaultKind.PASS_DAYS) >= 7
        assert of_days.count(FaultKind.KILL_CLEARING) >= 3


def test_a_minute_holds_poison_and_leaves_time_for_it_to_be_set_aside() -> None:
    for seed in SEEDS:
        poison = [fault for fault in schedule(seed, 60) if fault.kind is FaultKind.POISON]
        assert 1 <= len(poison) <= 3


def test_a_short_storm_leaves_no_time_to_start_everything_again() -> None:
    assert all(fault.kind is not FaultKind.KILL_ALL for seed in SEEDS for fault in schedule(seed, 30))


def test_only_the_kinds_that_are_wanted() -> None:
    wanted = {FaultKind.KILL_API, FaultKind.SINK_SLOW}
    assert {fault.kind for fault in schedule(1, 120, wanted)} == wanted
    assert schedule(1, 120, ()) == []


def test_leaving_out_a_kind_leaves_the_other_lanes_alone() -> None:
    def outages(faults: list[ChaosFault]) -> list[ChaosFault]:
        return [fault for fault in faults if fault.lane is FaultLane.OUTAGES]

    without = [kind for kind in FaultKind if kind is not FaultKind.KILL_API]
    assert outages(schedule(3, 120, without)) == outages(schedule(3, 120))


def test_the_longest_outage_is_of_the_journal_or_of_a_delivery_actor() -> None:
    faults = [
        ChaosFault(1, FaultKind.FREEZE_CLICKHOUSE, 9, 0),
        ChaosFault(2, FaultKind.STOP_POSTGRES, 4, 0),
        ChaosFault(3, FaultKind.FREEZE_DELIVERY, 5, 0),
    ]
    assert longest_outage_s(faults) == 5
    assert longest_outage_s([]) == 0


def test_every_kind_has_its_pace() -> None:
    assert PACES.keys() | ONCE.keys() == set(FaultKind)
    assert PACES.keys().isdisjoint(ONCE)
