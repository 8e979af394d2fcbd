"""From the counts of actors to those of an interval."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from actors.sampling.counting import SiteCounting, site_samples, standings
from analytics.samples import SiteSample
from cluster.routing.site_state import LastReply, SiteEnded, SitesSampled, SiteState

NOTHING = (0, 0, 0, 0, 0.0)


def a_state(site: str = "a.example", **changed: object) -> SiteState:
    state = SiteState(
        actor="delivery-0-0",
        source="",
        site=site,
        share=0,
        shares=1,
        waiting=0,
        in_flight=0,
        connections=0,
        connection_limit=10,
        message_rate=0.0,
        accepted=0,
        deferred=0,
        bounced=0,
        accepted_per_s=0.0,
        waits_for="",
        until=0.0,
        adjustments=(),
        last_replies=(),
        began=1.0,
    )
    return replace(state, **changed)


def an_end(site: str = "a.example", *, accepted: int, began: float) -> SiteEnded:
    return SiteEnded(
        source="",
        site=site,
        share=0,
        began=began,
        accepted=accepted,
        deferred=0,
        bounced=0,
        transactions=accepted,
        spent_s=accepted / 2,
        last_reply=LastReply(at=9.0, host="mx.a.example", text="250 ok", kind="accepted"),
    )


def sampled(at: float, *sites: SiteState, ended: Sequence[SiteEnded] = ()) -> SitesSampled:
    return SitesSampled(at=at, policy_version=3, sites=sites, ended=tuple(ended))


def test_counts_that_only_grow_become_those_of_the_interval() -> None:
    counting = SiteCounting()
    assert counting.of_interval({"d": sampled(10.0, a_state(accepted=100))}) == {}, "they may be of hours"
    assert counting.since() == {"d": 10.0}
    later = a_state(accepted=105, deferred=2, bounced=1, transactions=4, spent_s=1.5)
    assert counting.of_interval({"d": sampled(20.0, later)}) == {("", "a.example"): (5, 2, 1, 4, 1.5)}


def test_a_site_that_ends_and_begins_between_two_samples_loses_nothing() -> None:
    counting = SiteCounting()
    counting.of_interval({"d": sampled(10.0, a_state(accepted=3))})
    ended = [an_end(accepted=5, began=1.0), an_end(accepted=7, began=12.0)]
    found = counting.of_interval({"d": sampled(20.0, a_state(accepted=10, began=15.0), ended=ended)})
    assert found["", "a.example"][0] == 2 + 7 + 10
    assert counting.of_interval({"d": sampled(30.0, a_state(accepted=11, began=15.0))})["", "a.example"][0] == 1


def test_a_site_of_which_only_the_end_was_seen_counts() -> None:
    counting = SiteCounting()
    counting.of_interval({"d": sampled(10.0)})
    found = counting.of_interval({"d": sampled(20.0, ended=[an_end(accepted=5, began=11.0)])})
    assert found == {("", "a.example"): (5, 0, 0, 5, 2.5)}
    (sample,) = site_samples(
        {"d": sampled(20.0, ended=[an_end(accepted=5, began=11.0)])}, found, {}, (), at=20, interval_s=10.0, most=9
    )
    assert (sample.accepted, sample.queued, sample.connection_limit, sample.reply) == (5, 0, 0, "250 ok")


def test_an_actor_that_did_not_answer_keeps_its_place_and_one_that_is_gone_does_not() -> None:
    counting = SiteCounting()
    counting.of_interval({"d": sampled(10.0, a_state(accepted=3)), "e": sampled(10.0, a_state(accepted=3))})
    counting.forget(["d", "e"])
    assert counting.of_interval({"e": sampled(20.0, a_state(accepted=4))})["", "a.example"][0] == 1
    counting.forget(["d"])
    assert counting.since() == {"d": 10.0}
    assert counting.of_interval({"d": sampled(30.0, a_state(accepted=9))})["", "a.example"][0] == 6


def test_the_shares_of_a_site_are_summed_and_the_busiest_come_first() -> None:
    one = a_state(
        waiting=3,
        ready=1,
        in_flight=1,
        connections=2,
        message_rate=0.5,
        connections_per_ip=2,
        binds="connections",
        warm_up_cap=50,
        last_replies=(LastReply(at=5.0, host="mx", text="421 <ada@a.example> slow", kind="deferred"),),
    )
    two = replace(one, share=1, waiting=4, binds="message_rate", last_replies=())
    idle = a_state("b.example", connections=1)
    parked = {"a.example": 10, "src>c.example": 100, "a>b>": 1}
    counts = {("", "d.example"): (1, 0, 0, 1, 0.1), ("", "e.example"): NOTHING}
    answers = {"d": sampled(9.0, one, idle), "e": sampled(9.0, two)}
    found = site_samples(answers, counts, parked, {"c.example"}, at=20, interval_s=10.0, most=9)
    assert [(sample.source, sample.site) for sample in found] == [
        ("src", "c.example"),
        ("", "a.example"),
        ("", "d.example"),
        ("", "b.example"),
    ]
    whole = found[1]
    assert (whole.queued, whole.held_back, whole.parked, whole.in_flight, whole.connections) == (7, 5, 10, 2, 4)
    assert (whole.connection_limit, whole.message_rate, whole.connections_per_ip) == (20, 1.0, 4)
    assert (whole.warm_up_cap, whole.binds, whole.policy_version) == (50, "message_rate", 3)
    assert (whole.reply_at, whole.reply_host, whole.reply) == (5, "mx", "421 <…> slow")
    assert (found[0].binds, found[0].parked, found[0].queued) == ("suspension", 100, 0)
    assert len(site_samples(answers, counts, parked, (), at=20, interval_s=10.0, most=2)) == 2
    assert {one.binds for one in site_samples(answers, {}, {}, {""}, at=20, interval_s=10.0, most=9)} == {"suspension"}


def a_sample(at: int, *, waiting: int, accepted: int, **changed: object) -> SiteSample:
    sample = SiteSample(
        site="a.example",
        source="",
        at=at,
        interval_s=10.0,
        queued=waiting,
        accepted=accepted,
        deferred=1,
        transactions=accepted,
        spent_s=accepted / 10,
        connections=2,
        connection_limit=3,
        binds="connections",
    )
    return replace(sample, **changed)


def test_a_rate_is_measured_where_there_was_mail_all_the_time() -> None:
    key = ("", "a.example")
    history = [
        {key: a_sample(0, waiting=50, accepted=5)},
        {key: a_sample(10, waiting=40, accepted=9)},
        {},
        {key: a_sample(30, waiting=30, accepted=7)},
        {key: a_sample(40, waiting=20, accepted=19)},
        {key: a_sample(50, waiting=0, accepted=3)},
    ]
    (found,) = standings(history[:5], [key, ("", "b.example")])
    assert (found.measured, found.measured_s) == (10 + 20, 20.0)
    assert (found.attempted, found.deferred, found.transactions) == (44, 4, 40)
    assert found.spent_s == pytest.approx(4.0)
    assert (found.waiting, found.connections, found.connection_limit, found.binds) == (20, 2, 3, "connections")
    (done,) = standings([*history, {}], [key])
    assert (done.waiting, done.connection_limit, done.binds, done.measured) == (0, 0, "", 30)
    assert standings([], [key]) == []
