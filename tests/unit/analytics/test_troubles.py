"""Troubles are found in made-up series, and none where there is only noise."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from analytics.troubles.effects import Told
from analytics.troubles.recorded import Failures, Flow, Held, How, Posts, Span, TroubleKind
from analytics.troubles.sections import LOOKS
from analytics.troubles.stretches import around, averaged, bursts, falls, joined, rises
from tests.unit.analytics.troubled import LIVING, SECONDS, SITE, T0, found, noise, recorded, samples, told, within


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_trouble(seed: int) -> None:
    rare = Failures(site=SITE, how=How.LOST, counts=dict(enumerate(noise(0.3, seed + 9))), said="")
    assert found(recorded(seed, failures=[rare])) == []


@given(st.lists(st.integers(0, 40), min_size=30, max_size=300))
def test_whatever_the_series_nothing_breaks_and_stretches_are_in_it(values: list[int]) -> None:
    for stretches in (
        falls(values, window=5, memory=20),
        bursts(values, [2 * value for value in values], window=5, least=3, share=0.05, apart=3),
        rises(values, values, window=5, times=3, more=10),
        joined([value > 20 for value in values], 2),
    ):
        ends = [place for stretch in stretches for place in stretch]
        assert ends == sorted(ends) and all(0 <= place < len(values) for place in ends)
    assert sum(around(values, 1)) == sum(values)
    assert len(averaged(values, 50)) <= 50


def test_a_steady_share_of_failures_is_usual_and_a_burst_is_not() -> None:
    counts = within(noise(1, 3), 200, 204, lambda count: count + 10)
    whole = noise(50, 1)
    ((first, last),) = bursts(counts, whole, window=5, least=3, share=0.05, apart=3)
    assert 197 <= first <= 200 and 204 <= last <= 207
    all_fail = bursts(whole, whole, window=5, least=3, share=0.05, apart=3)
    assert all_fail == [(0, SECONDS - 1)], "what fails all the time is never usual"


def test_delivery_that_stands_still_while_mail_comes() -> None:
    delivered = within(noise(50, 2), 300, 320, lambda _: 0)
    flow = Flow(delivered=delivered, attempted=delivered, spent_ms=[20 * count for count in delivered])
    (one,) = told(recorded(whole=flow, sites={}))
    assert one.trouble.kind is TroubleKind.DELIVERED_FELL
    assert abs(one.trouble.begin - T0 - 300) <= 3 and abs(one.trouble.end - T0 - 321) <= 5
    assert one.trouble.words.startswith("delivery stood still, from 5") or "fell from 5" in one.trouble.words
    before, during, after = one.delivered.before, one.delivered.during, one.delivered.after
    assert before is not None and after is not None
    assert 45 < before < 55 and during < 10 and 40 < after < 55
    assert (one.most_waiting, one.overdue_s) == (40, 0.0)


@pytest.mark.parametrize("known", [31, 60, 200])
def test_a_fall_that_lasts_until_the_end_begins_where_it_fell(known: int) -> None:
    assert falls([100] * known + [45] * 30, window=5, memory=60) == [(known, known + 29)]


def test_an_end_of_all_mail_is_no_trouble_and_a_pause_is() -> None:
    ended = within(noise(50, 2), 400, SECONDS, lambda _: 0)
    flow = Flow(delivered=ended, attempted=ended, spent_ms=ended)
    assert found(recorded(taken=ended, whole=flow, sites={})) == []
    paused = within(noise(50, 2), 400, 430, lambda _: 0)
    (kind, _, begin, end), *_ = found(recorded(taken=paused, whole=flow, sites={}))
    assert kind is TroubleKind.TAKEN_FELL and abs(begin - 400) <= 3 and abs(end - 431) <= 5
    refused = samples({410: {"refused": 3}, 420: {"refused": 4}})
    assert [one[0] for one in found(recorded(taken=ended, whole=flow, sites={}, samples=refused))] == [
        TroubleKind.TAKEN_FELL
    ]


def test_failures_are_told_by_their_kind_their_site_and_what_was_said() -> None:
    lost = Failures(site=SITE, how=How.LOST, counts={100: 9, 101: 9, 102: 9}, said="closed by …")
    late = Failures(site=SITE, how=How.TIMED_OUT, counts={150: 2}, said="")
    (one,) = told(recorded(failures=[lost, late]))
    assert (one.trouble.kind, one.trouble.subject) == (TroubleKind.FAILURES, SITE)
    assert (one.trouble.begin, one.trouble.end) == (T0 + 100, T0 + 103)
    assert one.trouble.words.startswith("connections were lost: 27 of 1")
    assert one.trouble.words.endswith("such as “closed by …”")


def test_a_slow_host() -> None:
    delivered = noise(50, 2)
    spent = [count * (2000 if 250 <= i <= 256 else 20) for i, count in enumerate(delivered)]
    flow = Flow(delivered=delivered, attempted=delivered, spent_ms=spent)
    ((kind, subject, begin, end),) = found(recorded(sites={SITE: flow}))
    assert (kind, subject) == (TroubleKind.SLOW, SITE) and abs(begin - 250) <= 3 and abs(end - 257) <= 3


def test_starts_of_processes_are_told_once_each_and_those_of_all_as_one() -> None:
    one = {"started": {"delivery-0-1": T0 + 93}}
    again = samples({100: one, 110: one, 120: one, 300: {"started": {"delivery-0-1": T0 + 295}}})
    restarted = TroubleKind.RESTARTED
    assert found(recorded(samples=again)) == [
        (restarted, "delivery-0-1", 93, 93),
        (restarted, "delivery-0-1", 295, 295),
    ]
    whole = noted(
        ("ray_began", "host", 199, 199), *(("began", actor, 200 + i, 200 + i) for i, actor in enumerate(LIVING))
    )
    assert found(recorded(samples=samples(whole))) == [(TroubleKind.BEGAN, "", 199, 207)]
    twice = noted(
        *(("ray_began", host, at, at) for host, at in (("a", 199), ("b", 210.5), ("b", 400))),
        *(("began", actor, at, at) for actor, at in (("api-0", 201), ("api-1", 213), ("api-0", 214), ("api-1", 405))),
    )
    assert found(recorded(samples=samples(twice))) == [
        (TroubleKind.BEGAN, "", 199, 213),
        (TroubleKind.RESTARTED, "api-0", 214, 214),
        (TroubleKind.BEGAN, "", 400, 405),
    ]
    before = {"started": dict.fromkeys(LIVING, T0 - 20)}
    assert found(recorded(samples=samples({10: before}))) == [], "what began before the time is not of it"


def noted(*some: tuple[str, str, float, float]) -> dict[int, dict[str, Any]]:
    """Notes, by seconds, in two samples: each is told again."""
    happened = tuple((kind, actor, round((T0 + at) * 1000), round((T0 + end) * 1000)) for kind, actor, at, end in some)
    return {590: {"happened": happened}, 600: {"happened": happened}}


def test_each_start_that_a_process_noted_is_told_though_samples_missed_it() -> None:
    notes = noted(*(("began", "api-0", at, at) for at in (93.2, 97.4, 101.7)), ("began", "supervisor", 99.5, 99.5))
    notes[590]["started"] = {"api-0": T0 + 102, "webhooks": T0 + 400}
    assert found(recorded(samples=samples(notes, without=tuple(range(90, 590, 10)))))[1:] == [
        (TroubleKind.RESTARTED, "api-0", pytest.approx(93.2), pytest.approx(93.2)),
        (TroubleKind.RESTARTED, "api-0", pytest.approx(97.4), pytest.approx(97.4)),
        (TroubleKind.RESTARTED, "supervisor", pytest.approx(99.5), pytest.approx(99.5)),
        (TroubleKind.RESTARTED, "api-0", pytest.approx(101.7), pytest.approx(101.7)),
        (TroubleKind.RESTARTED, "webhooks", 400, 400),
    ]


def test_a_process_that_stood_still_is_told_once_and_exactly() -> None:
    notes = noted(("stood_still", "recorder", 93.5, 97), ("stood_still", "recorder", 300, 302), ("later", "x", 50, 60))
    notes[100] = {"stood_s": {"recorder": 3.5, "api-0": 2.0}}
    assert found(recorded(samples=samples(notes))) == [
        (TroubleKind.STOOD_STILL, "api-0", 90, 100),  # it has noted nothing
        (TroubleKind.STOOD_STILL, "recorder", 93.5, 97),
        (TroubleKind.STOOD_STILL, "recorder", 300, 302),
    ]


def test_the_journal_was_away_where_several_processes_had_no_answer_at_the_same_time() -> None:
    notes = noted(
        *(("journal_away", actor, begin, end) for actor, begin, end in (("a", 50, 54), ("b", 51, 55), ("c", 53, 56))),
        *(("journal_away", actor, begin, begin + 2.0) for actor, begin in (("a", 58), ("b", 59), ("a", 90))),
    )
    notes[60] = {"journal_slow": 40, "journal_ms": 4000.0}
    away = TroubleKind.JOURNAL_AWAY
    assert found(recorded(samples=samples(notes))) == [(away, "", 51, 55), (away, "", 59, 60)]
    bridged = noted(
        ("journal_away", "slow", 100, 130),
        *(("journal_away", actor, at, at) for at in (104, 120) for actor in ("a", "b")),
    )
    assert found(recorded(samples=samples(bridged))) == [(away, "", 104, 104), (away, "", 120, 120)]


def test_starts_of_the_journal_that_samples_missed_are_told_once() -> None:
    notes = noted(("journal_started", "", 98.2, 98.2), ("journal_recovered", "", 98.4, 98.4))
    recovered = noted(("journal_recovered", "", 140, 140), ("journal_recovered", "", 140, 140))
    notes[600] = recovered[600] | {"journal_started": T0 + 99}
    assert found(recorded(samples=samples(notes))) == [
        (TroubleKind.JOURNAL_STARTED, "", pytest.approx(98.2), pytest.approx(98.2)),
        (TroubleKind.JOURNAL_RECOVERED, "", 140, 140),
    ]


def test_days_that_went_are_told_by_their_courses() -> None:
    notes = noted(*(("rewritten", "", at, at + 0.25) for at in (100, 101, 104.5, 120)))
    notes[110] = {"partitions": 3}
    assert found(recorded(samples=samples(notes))) == [
        (TroubleKind.DAYS, "", 100, 104.75),
        (TroubleKind.DAYS, "", 120, 120.25),
    ]


def test_the_journal_is_told_apart_when_it_starts_recovers_or_does_not_answer() -> None:
    later: dict[int, dict[str, Any]]
    later = {at: {"journal_started": T0 + 98, "journal_recovered": T0 + 98} for at in range(110, 310, 10)}
    later |= {at: {"journal_started": T0 + 98, "journal_recovered": T0 + 305} for at in range(310, 610, 10)}
    later[100] = {"journal_ms": None, "journal_failures": 40}
    later[500] |= {"journal_slow": 9}
    assert found(recorded(samples=samples(later))) == [
        (TroubleKind.JOURNAL_AWAY, "", 90, 100),
        (TroubleKind.JOURNAL_STARTED, "", 98, 98),
        (TroubleKind.JOURNAL_RECOVERED, "", 305, 305),
        (TroubleKind.JOURNAL_AWAY, "", 490, 500),
    ]


def test_each_trouble_that_samples_tell() -> None:
    changed: dict[int, dict[str, Any]] = {
        100: {"stood_s": {"recorder": 4.2, "api-0": 0.4}},
        150: {"silent": ("webhooks",)},
        160: {"silent": ("webhooks",)},
        200: {"log_lag_s": 45.0},
        250: {"overdue_s": 90.0},
        300: {"connections_failed": 12},
        350: {"partitions": 3},
        400: {"refused": 11},
        **{at: {"nodes": 2} for at in range(450, 610, 10)},
    }
    for at in range(500, 610, 10):
        changed[at] = changed[at] | {"policy_version": 2}
    assert found(recorded(samples=samples(changed))) == [
        (TroubleKind.STOOD_STILL, "recorder", 90, 100),
        (TroubleKind.SILENT, "webhooks", 140, 160),
        (TroubleKind.EVENTS_LATE, "", 190, 200),
        (TroubleKind.OVERDUE, "", 240, 250),
        (TroubleKind.CONNECTIONS, "", 290, 300),
        (TroubleKind.DAYS, "", 340, 350),
        (TroubleKind.REFUSED, "", 390, 400),
        (TroubleKind.NODES, "", 440, 450),
        (TroubleKind.POLICY, "", 490, 500),
    ]


def test_samples_that_are_missing_and_a_site_that_is_held_back() -> None:
    held = [Held(T0 + at, SITE, "suspension", 10 * at) for at in (100, 110, 120, 400)]
    gap = recorded(samples=samples(without=(200, 210, 220)), held=held)
    assert found(gap) == [
        (TroubleKind.HELD, SITE, 90, 120),
        (TroubleKind.NOT_SAMPLED, "", 190, 230),
        (TroubleKind.HELD, SITE, 390, 400),
    ]
    assert told(gap)[0].trouble.words == "suspended; up to 1,200 waited"


def test_endpoints_that_fail_and_that_are_slow_and_messages_set_aside() -> None:
    zeros = [0] * SECONDS
    failed, slow = (within(zeros, at, at + 2, lambda _: 1) for at in (100, 300))
    aside = within(zeros, 500, 500, lambda _: 2)
    posts = Posts(all=[1] * SECONDS, failed=failed, slow=slow)
    assert found(recorded(posts=posts, set_aside=aside)) == [
        (TroubleKind.ENDPOINTS, "", 100, 103),
        (TroubleKind.ENDPOINTS_SLOW, "", 300, 303),
        (TroubleKind.SET_ASIDE, "", 500, 501),
    ]


def test_a_long_time_has_longer_steps() -> None:
    assert (Span(since=0, until=3600).step_s, Span(since=0, until=3601).step_s) == (1, 2)
    week = Span(since=T0, until=T0 + 7 * 86_400)
    assert week.places <= 3600 and week.place(T0 - 5) == 0 and week.place(T0 + 8 * 86_400) == week.places - 1
    assert week.end(week.places - 1) == T0 + 7 * 86_400


def test_every_kind_has_its_place_in_the_picture() -> None:
    assert set(LOOKS) == set(TroubleKind)


def test_troubles_lie_within_the_time_that_was_asked_for() -> None:
    held = [Held(T0 + 2, SITE, "suspension", 1)]
    (one,) = told(replace(recorded(), held=held))
    assert isinstance(one, Told) and one.trouble.begin == T0 and one.delivered.before is None
