"""The batches of a run of estimates, and the verdict on what was told of them."""

import tomllib
from datetime import date

from benchmarks.estimates.cases import Case, Expected, cases, routing, shaping
from benchmarks.estimates.record import Answer, CaseRecord, judged
from cluster.policies import check_policies
from cluster.settings import DeliverySettings

CASE = Case(name="one", site=1, count=10)


def answer(at_s: float = 5, earliest_s: float | None = 20, latest_s: float | None = 30) -> Answer:
    return Answer(at_s=at_s, earliest_s=earliest_s, latest_s=latest_s, reason="" if earliest_s else "because")


def test_there_are_enough_batches_in_varied_circumstances_and_postray_takes_their_policies() -> None:
    some = cases()
    assert len([one for one in some if one.expected is Expected.RANGE]) >= 20
    assert len({one.name for one in some}) == len(some)
    assert all(one.rule == other.rule for one in some for other in some if one.site == other.site)
    assert sum(one.count for one in cases(0.1)) < sum(one.count for one in some) / 8
    text = shaping(some, "tnt_01")
    assert len(tomllib.loads(text)["rule"]) == 1 + len({one.site for one in some if one.rule or one.tenant_rule})
    check_policies(DeliverySettings(mode="direct"), text, routing(date(2026, 11, 30)))


def test_an_answer_is_right_when_the_end_is_within_its_range() -> None:
    ended = CaseRecord(case=CASE, ended_s=25, answers=[])
    assert ended.within(answer(), 100)
    assert not ended.within(answer(earliest_s=27), 100) and not ended.within(answer(latest_s=23), 100)
    assert ended.within(answer(earliest_s=26), 100), "moments are told to the second"
    assert not ended.within(answer(latest_s=None), 100) and not ended.within(answer(earliest_s=None), 100)
    open_ended = CaseRecord(case=CASE, ended_s=None, answers=[])
    assert open_ended.within(answer(earliest_s=500), 100) and not open_ended.within(answer(), 100)


def test_the_sums_of_a_run() -> None:
    nothing = answer(earliest_s=None, latest_s=None)
    paused = Case(name="paused", site=2, count=10, expected=Expected.NULL)
    found = judged(
        [
            CaseRecord(case=CASE, ended_s=25, answers=[nothing, answer(), answer(earliest_s=40, latest_s=50)]),
            CaseRecord(case=paused, ended_s=None, answers=[nothing, answer()]),
        ],
        100,
    )
    assert (found["within"], found["share"], found["nulls_right"]) == ("1 of 2", 0.5, "1 of 2")
    assert found["by_case"] == {"one": "1 of 2", "paused": "null 1 of 2"}
    assert (found["nulls"], found["median_width"]) == ({"because": 2}, 0.5)
