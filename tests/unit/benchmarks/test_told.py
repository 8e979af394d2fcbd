"""A storm's faults, compared with what the flight recorder tells."""

import pytest

from analytics.troubles.recorded import How, TroubleKind
from benchmarks.chaos.faults import FaultKind
from benchmarks.chaos.records import Done
from benchmarks.chaos.told import EXACT_S, NEAR_S, FoundTrouble, compare, naming, took_place, with_poison
from benchmarks.hook_log import Post
from benchmarks.sink_log import Line, Receipt

BEGAN = 1000.0


def done(kind: FaultKind, at_s: float, ended_s: float | None = None, *, hit: bool = True) -> Done:
    return Done(kind=kind, at_s=at_s, ended_s=at_s if ended_s is None else ended_s, pids=[7] if hit else [])


def found(kind: TroubleKind, at_s: float, subject: str = "", words: str = "", ended_s: float = 0.0) -> FoundTrouble:
    return FoundTrouble(kind, subject, BEGAN + at_s, BEGAN + (ended_s or at_s), words)


def receipt(at_s: float, *, accepted: bool = True, replied: bool = True) -> Line:
    return Receipt(at=BEGAN + at_s, session=1, message_id="m", recipients=("a",), accepted=accepted, replied=replied)


def test_every_fault_has_troubles_that_name_it() -> None:
    some = [
        found(kind, 0, subject, how.value)
        for kind in TroubleKind
        for subject in ("api-0", "delivery-0-1", "scheduler", "recorder", "supervisor", "webhooks", "mail_in-0", "")
        for how in How
    ]
    for kind in FaultKind:
        names = naming(kind)
        named = [one for one in some if names(one)]
        assert named and len(named) < len(some) / 4, kind


@pytest.mark.parametrize(
    ("trouble", "is_told"),
    [
        (found(TroubleKind.RESTARTED, 52, "delivery-0-1"), True),
        (found(TroubleKind.RESTARTED, 50 + EXACT_S, "delivery-0-1"), True),
        (found(TroubleKind.RESTARTED, 51 + EXACT_S, "delivery-0-1"), False),
        (found(TroubleKind.RESTARTED, 52, "api-0"), False),
        (found(TroubleKind.BEGAN, 53), True),
        (found(TroubleKind.FAILURES, 50, "delivery"), False),
    ],
)
def test_a_kill_is_told_by_a_new_process_of_its_kind_within_seconds(trouble: FoundTrouble, *, is_told: bool) -> None:
    told = compare([done(FaultKind.KILL_DELIVERY, 50)], BEGAN, 120, [trouble], [], [])
    assert (told.told, told.of, told.words) == (is_told, 1, f"{int(is_told)} of 1")
    assert told.untold == ([] if is_told else ["kill-delivery at 50 s"])


def test_a_kill_that_waits_for_its_process_strikes_at_its_end() -> None:
    waited = done(FaultKind.KILL_API, 40, 50)
    early, late = found(TroubleKind.RESTARTED, 42, "api-0"), found(TroubleKind.RESTARTED, 51, "api-0")
    assert compare([waited], BEGAN, 120, [early], [], []).told == 0
    assert compare([waited], BEGAN, 120, [late], [], []).told == 1


def test_what_only_samples_tell_may_be_farther_from_its_time() -> None:
    frozen = done(FaultKind.FREEZE_DELIVERY, 50, 54)
    for kind, is_told in ((TroubleKind.SILENT, True), (TroubleKind.STOOD_STILL, False)):
        trouble = found(kind, 50 - NEAR_S, "delivery-0-0")
        assert compare([frozen], BEGAN, 120, [trouble], [], []).told == is_told


def test_each_kill_over_a_poison_message_is_a_fault_of_its_own() -> None:
    sent = [done(FaultKind.POISON, 10, hit=False), done(FaultKind.KILL_API, 20)]
    faults = with_poison(sent, BEGAN, [(BEGAN - 3, 5), (BEGAN + 40, 6)])
    assert [(one.kind, one.at_s, one.pids) for one in faults] == [
        (FaultKind.KILL_API, 20, [7]),
        (FaultKind.POISON, 40, [6]),
    ]


def test_what_happens_to_postgres_while_all_is_down_disturbs_nothing() -> None:
    frozen = [done(FaultKind.FREEZE_POSTGRES, at, at + 4) for at in (10, 50, 78)]
    told = compare([done(FaultKind.KILL_ALL, 40, 80), *frozen], BEGAN, 120, [], [], [])
    assert (told.of, told.unmet) == (3, 1)


def test_days_passed_where_partitions_were_rewritten() -> None:
    passed = done(FaultKind.PASS_DAYS, 10, 14, hit=False)
    assert took_place(passed, BEGAN, [], [], [BEGAN + 12]) and not took_place(passed, BEGAN, [], [], [BEGAN + 20])
    days = found(TroubleKind.DAYS, 12)
    told = compare([passed, done(FaultKind.PASS_DAYS, 40, 44, hit=False)], BEGAN, 120, [days], [], [], [BEGAN + 12])
    assert (told.told, told.of, told.unmet) == (1, 1, 1)


def test_a_trouble_that_began_long_before_tells_no_fault() -> None:
    long = found(TroubleKind.JOURNAL_AWAY, 3, ended_s=120)
    faults = [done(FaultKind.FREEZE_POSTGRES, 5, 9), done(FaultKind.FREEZE_POSTGRES, 60, 64)]
    told = compare(faults, BEGAN, 120, [long], [], [])
    assert (told.told, told.by_kind) == (1, {"freeze-postgres": "1 of 2"})


def test_what_always_happens_is_seen_to_be_chance() -> None:
    always = [found(TroubleKind.RESTARTED, at_s, "delivery-0-1") for at_s in range(0, 120, 5)]
    told = compare([done(FaultKind.KILL_DELIVERY, 50), done(FaultKind.KILL_API, 70)], BEGAN, 120, always, [], [])
    assert (told.told, told.of, told.by_chance) == (1, 2, 1.0)


def test_what_nothing_met_did_not_take_place() -> None:
    drops, slow, late = (
        done(kind, 10, 14, hit=False)
        for kind in (FaultKind.SINK_DROPS_BEFORE, FaultKind.SINK_SLOW, FaultKind.ENDPOINT_LATE)
    )
    assert not took_place(drops, BEGAN, [receipt(11, replied=False)] * 2 + [receipt(11)] * 9, [])
    assert took_place(drops, BEGAN, [receipt(11, replied=False)] * 3, [])
    assert not took_place(drops, BEGAN, [receipt(20, replied=False)] * 3, [])
    refuses = done(FaultKind.SINK_REFUSES, 10, 14, hit=False)
    assert took_place(refuses, BEGAN, [receipt(11, accepted=False)] * 3, [])
    assert not took_place(slow, BEGAN, [receipt(11)] * 5, []) and took_place(slow, BEGAN, [receipt(11)] * 6, [])
    post = Post(at=BEGAN + 12, path="/", taken=True, status=200, count=1)
    assert took_place(late, BEGAN, [], [post]) and not took_place(late, BEGAN, [], [])
    assert not took_place(done(FaultKind.ENDPOINT_FAILS, 10, 14), BEGAN, [], [post])
    assert not took_place(done(FaultKind.KILL_API, 10, hit=False), BEGAN, [], [])
    told = compare([drops, done(FaultKind.KILL_API, 20)], BEGAN, 120, [], [], [])
    assert (told.told, told.of, told.unmet) == (0, 1, 1)
