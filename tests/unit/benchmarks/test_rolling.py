"""Rolling changes: when nodes change, how late mail is, and the scratch release that they change to."""

from itertools import pairwise
from typing import Any

import pytest

from benchmarks.chaos.faults import FaultKind, schedule
from benchmarks.chaos.records import Stored
from benchmarks.chaos.rolling import Lateness, Rolled, lateness, one_sided, rolling, too_late
from benchmarks.later_release import CHANGED, FIELD, ROOT, with_field
from benchmarks.sink_log import Receipt

OK, REFUSED, LATER = "r0-0-0.ok@one.example.org", "r1-0-0.no@one.example.org", "r2-0-0.later@one.example.org"


@pytest.mark.parametrize(
    ("seconds", "nodes", "count"), [(20, 2, 1), (100, 3, 2), (300, 3, 6), (900, 3, 6), (1200, 3, 12), (3600, 3, 36)]
)
def test_nodes_change_in_whole_rounds_there_and_back_where_there_is_time(
    seconds: float, nodes: int, count: int
) -> None:
    changes = rolling(seconds, nodes)
    assert len(changes) == count
    assert {one.kind for one in changes} == {FaultKind.CHANGE_RELEASE}
    times = [one.at_s for one in changes]
    assert times == sorted(times) and times[-1] < seconds
    assert all(later - earlier >= 44.9 for earlier, later in pairwise(times))


def test_no_storm_changes_releases() -> None:
    assert all(one.kind is not FaultKind.CHANGE_RELEASE for seed in range(20) for one in schedule(seed, 300))


def stored(message_id: str, recipient: str, due: float) -> Stored:
    return Stored(
        message_id=message_id,
        number=0,
        recipients=(recipient,),
        batch_id=None,
        status="delivered",
        finished_at=0.0,
        claimed_after=due,
    )


def receipt(message_id: str, recipient: str, at: float, *, accepted: bool = True) -> Receipt:
    return Receipt(at=at, session=1, message_id=message_id, recipients=(recipient,), accepted=accepted, replied=True)


def test_lateness_is_of_the_first_copies_that_the_host_takes_at_once() -> None:
    messages = [stored(f"msg_{number}", OK, 100.0) for number in range(200)]
    messages += [stored("msg_a", LATER, 100.0), stored("msg_b", REFUSED, 100.0)]
    sink = [receipt(f"msg_{number}", OK, 100.1) for number in range(196)]
    sink += [receipt("msg_196", OK, 100.5), receipt("msg_196", OK, 150.0), receipt("msg_197", OK, 100.6)]
    sink += [
        receipt("msg_198", OK, 101.0, accepted=False),
        receipt("msg_198", OK, 103.0),
        receipt("msg_199", OK, 109.0),
    ]
    sink += [receipt("msg_a", LATER, 140.0), receipt("msg_of_others", OK, 900.0)]
    assert lateness(messages, sink) == Lateness(copies=200, p50_s=0.1, p99_s=0.6, most_s=9.0)
    assert lateness(messages, []) == Lateness(copies=0, p50_s=0.0, p99_s=0.0, most_s=0.0)


@pytest.mark.parametrize(("copies", "p99_s", "is_late"), [(10, 5.0, False), (10, 5.1, True), (0, 0.0, True)])
def test_mail_is_late_when_one_copy_of_a_hundred_is(copies: int, p99_s: float, is_late: bool) -> None:
    assert bool(too_late(Lateness(copies=copies, p50_s=0.1, p99_s=p99_s, most_s=9.0))) is is_late


@pytest.mark.parametrize(
    ("changes", "by_later", "told"),
    [
        (1, 5, []),
        (1, 0, ["0 of 9 requests were accepted by the later release"]),
        (6, 9, ["9 of 9 requests were accepted by the later release"]),
        (0, 5, ["no node changed its release"]),
    ],
)
def test_both_releases_must_have_worked(changes: int, by_later: int, told: list[str]) -> None:
    none = lateness([], [])
    assert one_sided(Rolled(changes=changes, requests=9, written_by_later=by_later, lateness=none)) == told


SOURCE = '''"""A module."""

from msgspec import Struct


class First(Struct):
    """One with a method."""

    a: int
    """A number."""

    @property
    def b(self) -> int:
        return self.a


class Second(Struct):
    a: int
'''


def test_the_later_release_has_a_field_after_all_others() -> None:
    names: dict[str, Any] = {"__name__": "made"}
    exec(with_field(SOURCE, ("First", "Second")), names)
    first, second = names["First"](1), names["Second"](2)
    assert names["First"].__struct_fields__ == names["Second"].__struct_fields__ == ("a", FIELD)
    assert (first.b, getattr(first, FIELD), getattr(second, FIELD)) == (1, "new", "new")
    with pytest.raises(KeyError):
        with_field(SOURCE, ("Third",))


def test_the_structs_that_it_changes_are_there() -> None:
    for name, structs in CHANGED.items():
        assert with_field((ROOT / name).read_text(encoding="utf-8"), structs).count(FIELD) == len(structs)
