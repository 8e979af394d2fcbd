"""The verdict on a soak: which processes grew, and which mail is in transit."""

import pytest
from msgspec.structs import replace

from benchmarks.soak.observing import ObservedProcess, ProcessState
from benchmarks.soak.record import ALL, Look, SoakRecord, broken, judge, keyed, slope
from benchmarks.soak.scenario import Balance, SoakOptions


def held(own: float, descriptors: int = 50) -> ProcessState:
    return ProcessState(resident=own + 80, proportional=own + 10, own=own, descriptors=descriptors, threads=9)


def looks(own_at: dict[str, list[float]], every_s: float = 10.0) -> list[Look]:
    count = len(next(iter(own_at.values())))
    return [
        Look(i * every_s, 0, {name: held(sizes[i]) for name, sizes in own_at.items() if sizes[i]}) for i in range(count)
    ]


def test_what_grows_by_more_than_a_tenth_is_told() -> None:
    steps = range(120)  # twenty minutes
    found = judge(
        looks({"flat": [100.0] * 120, "grows": [100 + i / 3 for i in steps], "small": [2 + i / 120 for i in steps]}),
        settled_s=600,
    )
    by_name = {one.name: one for one in found}
    assert by_name["flat"].grew == ()
    assert by_name["grows"].grew == ("memory",)
    assert by_name["grows"].slope == pytest.approx(2.0)
    assert by_name["small"].grew == ()  # half a MiB is no growth, whatever the ratio
    assert by_name[ALL].settled.own == pytest.approx(sum(by_name[n].settled.own for n in by_name if n != ALL))


def test_growth_before_the_settled_minute_is_none() -> None:
    (one, *_) = judge(looks({"one": [min(100.0, i * 2) for i in range(120)]}), settled_s=600)
    assert one.grew == ()


def test_a_moment_alone_is_not_the_state() -> None:
    sizes = [100.0] * 119 + [500.0]
    (one, *_) = judge(looks({"one": sizes}), settled_s=600)
    assert one.grew == ()


def test_descriptors_are_judged_too() -> None:
    series = [Look(i * 10.0, 0, {"recorder": held(100, 220 + i)}) for i in range(119)]
    (one, *_) = judge(series, settled_s=600)
    assert one.grew == ("descriptors",)


def test_files_that_postgres_keeps_open_count_in_the_sum() -> None:
    def grown(by: int) -> dict[str, tuple[str, ...]]:
        names = ("postgres checkpointer", "api")
        series = [
            Look(i * 10.0, 0, {name: held(100, 90 + (by if i > 90 and name != "api" else 0)) for name in names})
            for i in range(119)
        ]
        return {one.name: one.grew for one in judge(series, settled_s=600)}

    assert grown(15) == {"postgres checkpointer": (), "api": (), ALL: ()}
    assert grown(40) == {"postgres checkpointer": (), "api": (), ALL: ("descriptors",)}


def test_who_came_or_went_is_judged_only_within_the_sum() -> None:
    names = {one.name for one in judge(looks({"stays": [5.0] * 20, "goes": [5.0] * 10 + [0.0] * 10}), settled_s=60)}
    assert names == {"stays", ALL}


def test_processes_of_one_name_are_told_apart_by_their_pids() -> None:
    one, other, alone = (
        ObservedProcess("postgres for api", 7, 1.0),
        ObservedProcess("postgres for api", 8, 1.0),
        ObservedProcess("api", 9, 1.0),
    )
    assert set(keyed({one: held(1), other: held(2), alone: held(3)})) == {
        "postgres for api #7",
        "postgres for api #8",
        "api",
    }


def test_a_slope_needs_points() -> None:
    assert slope([]) == slope([(0.0, 1.0)]) == 0.0
    assert slope([(0.0, 1.0), (1.0, 3.0)]) == 2.0


def test_what_is_broken_is_said() -> None:
    record = SoakRecord(
        scenario="soak",
        started_at="",
        took_s=0,
        commit="",
        machine={},
        settings={},
        settled_s=600,
        promised=10,
        delivered=10,
        lost=0,
        copies=0,
        growth=judge(looks({"grows": [100.0 + i for i in range(120)]}), settled_s=600),
        looks=(),
    )
    assert any(said.startswith("grows:") for said in broken(record))
    assert broken(replace(record, growth=(), lost=1, copies=2)) == [
        "1 of 10 messages lost",
        "2 messages delivered twice",
    ]


def test_messages_are_remembered_only_while_they_are_under_way() -> None:
    balance = Balance()
    balance.promise("a")
    balance.arrive("b")  # before its 202 is read
    assert (balance.lost, balance.copies) == (1, 1)
    balance.arrive("a")
    balance.promise("b")
    assert (balance.lost, balance.copies, balance.promised, balance.delivered) == (0, 0, 2, 2)
    balance.arrive("a")
    assert (balance.lost, balance.copies) == (0, 1)


def test_a_short_run_is_compared_with_its_middle() -> None:
    assert SoakOptions(minutes=60).settled_s == 600
    assert SoakOptions(minutes=8).settled_s == 240
