"""The sites of an actor as others see them: those that are there, those that were dropped, and samples of them."""

import asyncio
from typing import Any, cast

import pytest

from actors.delivery.held import HeldDeliveries
from actors.delivery.inspection import find_sites
from actors.delivery.ownership import Ownership
from actors.delivery.sampling import AT_ONCE, sample_sites
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import DROPPED_KEPT_S, Sites
from cluster.policy.limits.binding import Bound
from cluster.policy.replies.verdict import UNRESOLVED, Judgement
from cluster.policy.routes.destinations import Destination
from cluster.routing.active_policy import ActivePolicy
from cluster.settings import DeliverySettings
from tests.unit.delivery.builders import ready
from tests.unit.delivery.test_sites import Couriers
from tests.unit.virtual_time import in_virtual_time


def some_sites() -> Sites:
    """The sites of an actor that owns everything; the active policy is the settings'."""
    active_policy = ActivePolicy(cast(Any, None), cast(Any, None), DeliverySettings())
    ownership = Ownership(cast(Any, None), "delivery-0-0", "node", lambda: 0.0)
    turns = SiteTurns(lambda _: False)
    clock = asyncio.get_running_loop().time
    courier = cast(Any, Couriers())
    return Sites(active_policy, ownership, HeldDeliveries(100), turns, courier, clock=clock, now=clock)


@in_virtual_time
async def test_a_site_is_dropped_when_it_has_been_idle_and_made_anew_when_there_is_work() -> None:
    sites = some_sites()
    site = sites.of(Destination("one"))
    site.offer(ready(1))
    assert not sites.drop_if_idle(site)
    site.queue.clear()
    site.failed()
    assert not sites.drop_if_idle(site)
    await asyncio.sleep(1.01)
    assert sites.drop_if_idle(site)
    assert (len(sites), sites.get(site.destination)) == (0, None)
    assert sites.of(site.destination) is not site


@in_virtual_time
async def test_the_names_of_dropped_sites_are_known_for_a_day_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.delivery.sites.DROPPED_KEPT", 2)
    sites = some_sites()
    sites.of(Destination("here"))
    for name in ("first", "second", "third"):
        assert sites.drop_if_idle(sites.of(Destination(name)))
    assert sorted(sites.names()) == ["here", "second", "third"]
    await asyncio.sleep(DROPPED_KEPT_S - 1)
    assert sites.drop_if_idle(sites.of(Destination("second")))
    await asyncio.sleep(1)
    assert sorted(sites.names()) == ["here", "second"]


@in_virtual_time
async def test_a_dropped_site_is_shown_until_what_it_put_off_was_tried_again() -> None:
    sites = some_sites()
    place = Destination("one")
    site = sites.of(place)
    site.heard(UNRESOLVED, is_said=False, attempts=1, due_in_s=60.0)
    site.stats.add(Judgement.DEFERRED, "", "no answer of the DNS")
    assert site.bound() == (Bound.DNS, 0.0)
    assert sites.drop_if_idle(site)
    now = asyncio.get_running_loop().time()
    assert (
        find_sites(sites, "two", 9, "delivery-0-0", now, 0.0)
        == find_sites(sites, "", 0, "delivery-0-0", now, 0.0)
        == []
    )
    (state,) = find_sites(sites, "on", 9, "delivery-0-0", now, 1000.0)
    assert (state.site, state.binds, state.put_off, state.retry_at) == ("one", Bound.DNS, 1, now + 1060)
    assert [reply.text for reply in state.last_replies] == ["no answer of the DNS"]
    anew = sites.of(place)
    assert anew.bound() == (Bound.DNS, 0.0)
    (state,) = find_sites(sites, "", 9, "delivery-0-0", now, 0.0)
    assert (state.put_off, state.retry_at) == (1, now + 60)
    anew.heard(UNRESOLVED, is_said=False, attempts=2, due_in_s=None)
    assert anew.bound() == (Bound.NOTHING, 0.0)
    assert sites.drop_if_idle(anew)
    assert find_sites(sites, "", 9, "delivery-0-0", now, 0.0) == []


@in_virtual_time
async def test_it_is_told_whose_mail_takes_turns_at_a_site() -> None:
    sites = some_sites()
    site = sites.of(Destination("one"))
    site.offer(ready(1))
    now = asyncio.get_running_loop().time()
    (state,) = find_sites(sites, "", 9, "delivery-0-0", now, 0.0)
    assert (state.tenants, state.turns) == (1, ())
    for tenant, count in (("tnt_much", 5), ("tnt_some", 2)):
        for number in range(count):
            site.queue.push(tenant, ready(number))
    (state,) = find_sites(sites, "", 9, "delivery-0-0", now, 0.0)
    assert state.tenants == 3
    assert [(one.tenant_id, one.waiting) for one in state.turns][:2] == [("tnt_much", 5), ("tnt_some", 2)]


@in_virtual_time
async def test_a_sample_has_the_sites_with_work_and_the_counts_of_those_that_ended_since() -> None:
    sites = some_sites()
    loop = asyncio.get_running_loop()
    busy, busier, idle = (sites.of(Destination(name)) for name in ("busy", "busier", "idle"))
    for number in range(3):
        busy.offer(ready(number))
    for number in range(5):
        busier.offer(ready(number))
    idle.stats.add(Judgement.ACCEPTED, "mx", "250 ok")
    quiet = sites.of(Destination("quiet"))
    first = await sample_sites(sites, 0.0, 1, "delivery-0-0", 7, 0.0)
    assert [(one.site, one.waiting) for one in first.sites] == [("busier", 5)]
    assert (first.left_out, first.ended, first.policy_version) == (2, (), 7), "what is idle has told something"

    await asyncio.sleep(1)
    assert sites.drop_if_idle(idle) and sites.drop_if_idle(quiet)
    second = await sample_sites(sites, first.at, 9, "delivery-0-0", 7, 0.0)
    assert [(one.site, one.accepted, one.began) for one in second.ended] == [("idle", 1, idle.stats.began)]
    assert second.ended[0].last_reply is not None and second.ended[0].last_reply.text == "250 ok"
    assert [one.site for one in second.sites] == ["busy", "busier"]
    assert (await sample_sites(sites, second.at, 9, "delivery-0-0", 7, 0.0)).ended == ()
    assert loop.time() == second.at


@in_virtual_time
async def test_the_loop_does_other_work_while_many_sites_are_sampled() -> None:
    sites = some_sites()
    for number in range(3 * AT_ONCE):
        sites.of(Destination(f"site{number}")).offer(ready(number))
    sampling = asyncio.ensure_future(sample_sites(sites, 0.0, 1000, "delivery-0-0", 7, 0.0))
    turns = 0
    while not sampling.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 3
    assert len(sampling.result().sites) == 3 * AT_ONCE
