"""A site's own state: room, what it claims and when, back-off, suspensions, and making no progress."""

from datetime import date
from math import inf
from typing import cast

import pytest

from actors.delivery.job import Job
from actors.delivery.pool import Pool
from actors.delivery.site import AHEAD_S, CLAIMED_PER_CONNECTION, FEW, HURRIED_S, PROBES, STALLED_S, WAITING_S, Site
from actors.delivery.throttle import MARGIN
from cluster.policy.limits.binding import Bound
from cluster.policy.limits.quantities import rate
from cluster.policy.limits.shaping import NO_TENANT_LIMITS, Limits, TenantLimits
from cluster.policy.limits.warm_up import Allowance
from cluster.policy.replies.automation import Adjustments
from cluster.policy.routes.destinations import Destination
from tests.unit.delivery.builders import HOP, OTHER_HOP, Clock, ready, some_limits

TODAY = date(2026, 3, 1)


class StillPool:
    """Connections that never make progress."""

    outstanding = 0
    on_the_wire = 0
    connecting = 0
    connections = 0
    waiting = 0

    def fills_addresses(self) -> bool:
        return False

    def limits_described(self) -> tuple[str, ...]:
        return ()

    def take_back(self) -> list[Job]:
        return []


def a_site(
    clock: Clock,
    limits: Limits | None = None,
    *,
    pool: StillPool | None = None,
    bound: int = 100,
    tenant_limits: TenantLimits = NO_TENANT_LIMITS,
    allowance: Allowance | None = None,
) -> Site:
    return Site(
        Destination("example.com"),
        limits or some_limits(2),
        Adjustments((), clock()),
        clock,
        bound,
        lambda _: cast(Pool, pool or StillPool()),
        lambda _: tenant_limits,
        allowance,
    )


def fill(site: Site, count: int, tenant: str = "tnt_1") -> int:
    return sum(site.offer(ready(number, tenant)) for number in range(count))


# What it claims


def test_no_more_is_claimed_than_connections_can_soon_carry() -> None:
    pool = StillPool()
    site = a_site(Clock(), pool=pool)
    assert site.wanted() == 0
    fill(site, 50)
    assert site.wanted() == 2 * CLAIMED_PER_CONNECTION
    site.take()
    assert site.wanted() == 2 * CLAIMED_PER_CONNECTION - 1
    pool.outstanding = 100
    assert site.wanted() == 0


@pytest.mark.parametrize(
    ("places", "queued", "wanted"),
    [(54, 100, 48), (48, 100, 48), (54, 49, 49), (18, 100, 16), (12, 100, 12), (6, 100, 6), (54, 54, 54)],
)
def test_a_claim_leaves_over_what_would_be_signed_apart(places: int, queued: int, wanted: int) -> None:
    site = a_site(Clock(), some_limits(places // CLAIMED_PER_CONNECTION), bound=2 * queued)
    assert fill(site, queued) == queued
    assert site.wanted() == wanted


def test_the_recipients_of_a_message_share_a_transaction_up_to_the_limit_and_the_same_next_hop() -> None:
    site = a_site(Clock(), some_limits(recipients_per_transaction=3))
    for recipient_no in range(5):
        site.offer(ready(1, recipient_no=recipient_no))
    site.offer(ready(1, hop=OTHER_HOP, recipient_no=5))
    site.offer(ready(2, hop=OTHER_HOP))
    taken = [site.take() for _ in range(4)]
    assert [[one.waiting.recipient_no for one in some] for some in taken] == [[0, 1, 2], [3, 4], [5], [0]]
    assert [some[0].hop for some in taken] == [HOP, HOP, OTHER_HOP, OTHER_HOP]
    assert site.in_flight == 4


def test_under_a_rate_only_what_soon_leaves_is_claimed() -> None:
    site = a_site(Clock(), some_limits(20, message_rate="10/s"))
    fill(site, 40)
    assert site.wanted() == 10 * AHEAD_S


def test_under_a_slow_rate_nothing_is_claimed_long_before_its_turn() -> None:
    clock = Clock()
    site = a_site(clock, some_limits(message_rate="1/h"))
    fill(site, 2)
    assert site.wanted() == 1
    site.take()
    site.claimed()
    site.throttle.take_message()
    site.ended("tnt_1")
    assert site.wanted() == 0
    assert site.wake_at() == pytest.approx(clock.now + 3600 / MARGIN, abs=1)
    clock.now = site.wake_at() + 0.01
    assert site.wanted() == 1


def test_a_warm_up_bounds_what_is_claimed_and_its_end_the_room() -> None:
    allowance = Allowance(TODAY, 3)
    site = a_site(Clock(), allowance=allowance)
    assert fill(site, 10) == 10
    assert site.wanted() == 0, "nothing is granted yet"
    allowance.granted(TODAY, 3, 3)
    assert site.wanted() == 3
    for _ in range(3):
        site.take()
    assert site.wanted() == 0
    assert fill(site, 1) == 1, "more may be granted"
    allowance.granted(TODAY, 3, 0)
    assert site.is_used_up
    assert fill(site, 1) == 0
    assert site.bound()[0] is Bound.WARM_UP


def test_what_could_not_be_claimed_costs_a_warm_up_nothing() -> None:
    allowance = Allowance(TODAY, 100)
    allowance.granted(TODAY, 3, 3)
    site = a_site(Clock(), allowance=allowance)
    fill(site, 3)
    site.take()
    site.claim_missed(1)
    assert allowance.remaining == 3


def test_each_recipient_counts_in_a_warm_up() -> None:
    allowance = Allowance(TODAY, 100)
    allowance.granted(TODAY, 3, 3)
    site = a_site(Clock(), allowance=allowance)
    for recipient_no in range(5):
        site.offer(ready(1, recipient_no=recipient_no))
    assert len(site.take()) == 3
    assert site.wanted() == 0


# Room and tenants


def test_under_a_rate_limit_no_more_waits_than_soon_leaves() -> None:
    assert fill(a_site(Clock(), some_limits(message_rate="50/s"), bound=5000), 1000) == 50 * WAITING_S / 2
    assert fill(a_site(Clock(), some_limits(message_rate="1/h"), bound=5000), 1000) == FEW / 2
    assert fill(a_site(Clock(), some_limits(message_rate="50000/s"), bound=100), 1000) == 50


def test_a_tenant_may_not_take_all_the_room() -> None:
    site = a_site(Clock(), bound=30)
    assert fill(site, 100, "big") == 15
    assert fill(site, 100, "second") == 10


def test_a_tenant_that_is_held_back_does_not_hold_back_the_others() -> None:
    clock = Clock()
    site = a_site(clock, tenant_limits=TenantLimits(message_rate=rate("1/s")))
    fill(site, 3, "one")
    fill(site, 3, "two")
    assert [site.take()[0].waiting.tenant_id for _ in range(2)] == ["one", "two"]
    assert (site.wanted(), len(site.queue)) == (0, 4)
    bound, until = site.bound()
    assert bound is Bound.TENANT_LIMITS
    assert until == site.wake_at() == pytest.approx(clock.now + 1)
    clock.now += 1
    assert site.wanted() == 4


def test_a_suspended_tenant_gets_back_what_waits_and_the_others_go_on() -> None:
    clock = Clock()
    site = a_site(clock)
    fill(site, 2, "one")
    fill(site, 2, "two")
    assert {back.waiting.tenant_id for back in site.suspend("one", clock.now + 60).waiting} == {"one"}
    assert fill(site, 1, "one") == 0
    assert site.wanted() == 2
    clock.now += 60
    assert fill(site, 1, "one") == 1


def test_a_tenant_that_waits_for_its_connections_has_no_known_end() -> None:
    site = a_site(Clock(), tenant_limits=TenantLimits(connections=1))
    fill(site, 3)
    site.take()
    assert site.wake_at() == inf
    assert site.bound() == (Bound.TENANT_LIMITS, 0.0)


def test_a_suspended_site_takes_and_sends_nothing_before_its_time() -> None:
    clock = Clock()
    site = a_site(clock)
    fill(site, 2)
    assert len(site.suspend("", clock.now + 60).waiting) == 2
    assert (fill(site, 1), site.wanted(), site.bound()) == (0, 0, (Bound.SUSPENSION, clock.now + 60))
    site.resume("")
    assert (fill(site, 1), site.wanted()) == (1, 1)


# How it goes


def test_back_off_doubles_and_lets_one_through_as_a_probe() -> None:
    clock = Clock()
    site = a_site(clock)
    fill(site, 5)
    assert site.wake_at() == inf
    assert [site.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert site.failed(5.0) == 5
    assert site.failed() == 60
    assert site.wanted() == 0
    assert site.wake_at() == site.bound()[1] == clock.now + 60
    clock.now += 60
    assert site.wanted() == 1
    site.worked()
    assert site.wanted() == 5


def test_work_that_comes_to_no_end_is_noticed_within_a_minute() -> None:
    clock, pool = Clock(), StillPool()
    site = a_site(clock, pool=pool)
    pool.on_the_wire = 2
    site.progressed()
    stalled = []
    for later in (STALLED_S, 1.0):
        clock.now += later
        stalled.append(site.is_stalled)
    assert stalled == [False, True]
    assert STALLED_S < 60
    site.progressed()
    clock.now += 1
    stalled.append(site.is_stalled)
    # A site with nothing on the wire is not stalled.
    pool.on_the_wire = 0
    clock.now += 1000
    stalled.append(site.is_stalled)
    assert stalled[2:] == [False, False]


def test_what_its_hosts_hold_up_makes_way_soon_when_room_is_short() -> None:
    clock, pool = Clock(), StillPool()
    site = a_site(clock, pool=pool, bound=100)
    pool.connecting = 1
    for number in range(5):
        assert site.offer(ready(number))
    clock.now += HURRIED_S + 0.1
    assert site.surplus(held=50) == []
    assert len(site.surplus(held=100)) == 5
    assert site.is_stalled and not site.room("tnt")
    site.progressed()
    assert site.room("tnt") > 0


def test_while_no_connection_can_be_made_only_what_it_is_tried_with_waits() -> None:
    site = a_site(Clock(), bound=100)
    for number in range(5):
        assert site.offer(ready(number))
    site.failed()
    assert len(site.surplus(held=5)) == 5 - PROBES
    assert (len(site.queue), site.room("tnt")) == (PROBES, 0)
    site.worked()
    assert site.room("tnt") > 0


def test_it_is_idle_when_nothing_waits_and_nothing_is_open() -> None:
    pool = StillPool()
    site = a_site(Clock(), pool=pool)
    seen = [site.is_idle]
    pool.connections = 1
    seen.append(site.is_idle)
    pool.connections = 0
    fill(site, 1)
    seen.append(site.is_idle)
    site.take()
    seen.append(site.is_idle)
    site.claimed()
    assert [*seen, site.is_idle] == [True, False, False, False, True]
