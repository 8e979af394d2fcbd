"""Sites as operators read them: shares as one, with what is parked and what is suspended."""

import pytest

from api.admin.site_views import SiteView, lane_of, site_views
from cluster.policy.limits.advice import ADVICE
from cluster.policy.limits.binding import Bound
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.sites import literal, matches
from cluster.routing.site_state import TenantWaiting
from cluster.routing.views import WarmUpUse
from tests.unit.api.admin_facts import a_reply, a_source, a_state, a_suspension, ahead


def named(views: list[SiteView]) -> list[tuple[str, str, int]]:
    return [(view.source, view.site, view.depth) for view in views]


def test_the_shares_of_a_site_are_one() -> None:
    shares = [
        a_state(
            actor=f"delivery-0-{n}",
            share=n,
            shares=2,
            waiting=3 + n,
            in_flight=1,
            connections=2,
            connection_limit=10,
            message_rate=0.1,
            accepted=4,
            accepted_per_s=0.5,
            adjustments=("slowed",),
            last_replies=(a_reply(f"250 {n}", ahead(seconds=n)),),
            binds="message_rate" if n else "",
            until=ahead(seconds=9).timestamp() if n else 0.0,
        )
        for n in range(2)
    ]
    (view,) = site_views(shares, {lane_of(shares[0]): 10, lane_of(shares[1]): 20}, [], "", "")
    assert (view.waiting, view.parked, view.depth) == (7, 30, 37)
    assert (view.in_flight, view.connections, view.connection_limit) == (2, 4, 20)
    assert (view.message_rate, view.accepted, view.accepted_per_s) == (0.2, 8, 1.0)
    assert (view.binds, view.waits_for, view.until) == ("message_rate", "the message rate", ahead(seconds=9))
    assert view.adjustments == ("slowed",)
    assert view.actors == ("delivery-0-0", "delivery-0-1")
    assert [reply.text for reply in view.last_replies] == ["250 1", "250 0"]


def test_what_is_put_off_counts_as_depth_and_tenants_of_all_shares_take_turns() -> None:
    states = [
        a_state("a.example", put_off=9, retry_at=ahead(seconds=60).timestamp(), binds="dns"),
        a_state("b.example", waiting=5),
        a_state(
            "b.example", share=1, shares=2, tenants=2, turns=(TenantWaiting("tnt_a", 1), TenantWaiting("tnt_b", 3))
        ),
        a_state("b.example", share=2, shares=2, tenants=1, turns=(TenantWaiting("tnt_a", 4),)),
    ]
    first, second = site_views(states, {}, [], "", "")
    assert (first.site, first.put_off, first.retry_at, first.depth) == ("a.example", 9, ahead(seconds=60), 0)
    assert first.advice == ADVICE[Bound.DNS]
    assert (second.tenants, second.turns) == (2, (TenantWaiting("tnt_a", 5), TenantWaiting("tnt_b", 3)))


def test_the_deepest_is_first_also_when_nobody_has_it() -> None:
    states = [a_state("a.example", waiting=1), a_state("b.example", waiting=5), a_state("b.example", source="mta1")]
    views = site_views(states, {"mta1>b.example": 3, "c.example": 9, "a>b>": 1}, [], "", "")
    assert named(views) == [
        ("", "c.example", 9),
        ("", "b.example", 5),
        ("mta1", "b.example", 3),
        ("", "a.example", 1),
    ]
    assert views[0].actors == ()


def test_why_nothing_leaves_where_nobody_has_the_site() -> None:
    gone = a_source(actors=())
    (view,) = site_views([], {"mta1>a.example": 3}, [], "", "", [gone])
    assert (view.waits_for, view.until) == ("no machine has the addresses of source mta1", None)
    used_up = a_source(warm_up=(WarmUpUse(site="a.example", granted=5, cap=5),))
    (view,) = site_views([], {"mta1>a.example": 3}, [], "", "", [used_up])
    assert view.waits_for == "the warm-up of source mta1: no more today"
    (view,) = site_views([], {"mta1>b.example": 3}, [], "", "", [used_up])
    assert view.waits_for == ""
    for left, said in ((0, "the warm-up of source mta1: no more today"), (2, "")):
        holder = a_state("a.example", source="mta1", waiting=3, binds="", warm_up_cap=5, warm_up_left=left)
        (view,) = site_views([holder], {"mta1>a.example": 3}, [], "", "", [used_up])
        assert view.waits_for == said, "what is granted and not sent leaves today"
    (view,) = site_views([], {"mta1>a.example": 3}, [a_suspension("a.example")], "", "", [gone])
    assert (view.waits_for, view.until) == ("suspended", ahead(hours=1))
    (view,) = site_views([], {"a.example": 3}, [a_suspension("a.example", "tnt_acme")], "", "")
    assert view.waits_for == ""


def test_only_what_is_meant() -> None:
    states = [a_state("a.example"), a_state("b.example", source="mta1"), a_state("b.example", source="mta2")]
    assert named(site_views(states, {}, [], "b.*", "")) == [("mta1", "b.example", 0), ("mta2", "b.example", 0)]
    assert named(site_views(states, {}, [], "", "mta2")) == [("mta2", "b.example", 0)]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("", True),
        ("mail.example", True),
        ("MAIL", True),
        ("example.org", False),
        ("*.example.com", True),
        ("mail*", True),
        ("*.example", False),
        ("mail?example.com", True),
    ],
)
def test_patterns(pattern: str, meant: bool) -> None:
    assert matches(pattern, "mail.example.com") is meant


def test_what_is_suspended_is_said() -> None:
    suspensions = [
        a_suspension("a.example", reason="complaints"),
        a_suspension("", "tnt_1", made_by="automation"),
        a_suspension("b.example"),
    ]
    view, other = site_views([a_state("a.example")], {}, suspensions, "", "")
    assert (other.site, other.actors, len(other.suspended)) == ("b.example", (), 2)
    assert view.suspended == (
        "all tenants until 2026-04-23 11:00:00 UTC by operator: complaints",
        "tenant tnt_1 at every site until 2026-04-23 11:00:00 UTC by automation",
    )


def test_a_lane_is_named_as_the_destination_is() -> None:
    state = a_state("a.example", source="mta1", share=1, shares=2)
    assert lane_of(state) == str(Destination("a.example", "mta1", 1, 2))


@pytest.mark.parametrize(
    ("pattern", "part"), [("", ""), ("Google", "google"), ("*.google.com", ".google.com"), ("a?bcd*", "bcd"), ("*", "")]
)
def test_what_every_name_that_matches_has_in_it(pattern: str, part: str) -> None:
    assert literal(pattern) == part
