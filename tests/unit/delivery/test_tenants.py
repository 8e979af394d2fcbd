"""The limits of tenants at a site: they hold, and they end in time."""

from math import inf

import pytest

from actors.delivery.tenants import Tenants
from cluster.policy.limits.fairness import FairQueue
from cluster.policy.limits.quantities import rate
from cluster.policy.limits.shaping import NO_TENANT_LIMITS, TenantLimits
from cluster.policy.routes.destinations import Destination

PLACE = Destination("example.com")
SLOW = TenantLimits(message_rate=rate("2/s"))
NARROW = TenantLimits(connections=2)


class Site:
    """A queue with two tenants' mail, of whom "limited" has limits."""

    def __init__(self, limits: TenantLimits, place: Destination = PLACE) -> None:
        self.limits = limits
        self.queue: FairQueue[int] = FairQueue()
        for number in range(20):
            self.queue.push("limited", number)
            self.queue.push("free", number)
        self.tenants = Tenants(place, self.limits_of, self.queue)

    def limits_of(self, tenant_id: str) -> TenantLimits:
        return self.limits if tenant_id == "limited" else NO_TENANT_LIMITS

    def is_held(self) -> bool:
        return self.queue.ready < len(self.queue)

    def begin(self, now: float, count: int = 1) -> None:
        for _ in range(count):
            self.tenants.began("limited", now)


def test_a_rate_holds_back_and_releases_in_time() -> None:
    site = Site(SLOW)
    site.begin(10.0)
    assert site.is_held()
    assert site.tenants.wake_at() == pytest.approx(10.5)
    site.tenants.ended("limited", 10.1)
    site.tenants.release(10.4)
    assert site.is_held()
    site.tenants.release(10.5)
    assert not site.is_held()
    assert site.tenants.wake_at() == inf


def test_connections_hold_back_until_one_is_free() -> None:
    site = Site(NARROW)
    site.begin(10.0)
    assert not site.is_held()
    site.begin(10.0)
    assert site.is_held()
    assert site.tenants.wake_at() == inf, "no clock decides that"
    site.tenants.release(1e9)
    assert site.is_held()
    site.tenants.ended("limited", 11.0)
    assert not site.is_held()


def test_with_both_the_rate_still_holds_when_a_connection_is_free() -> None:
    site = Site(TenantLimits(message_rate=rate("2/s"), connections=1))
    site.begin(10.0)
    site.tenants.ended("limited", 10.1)
    assert site.is_held()
    assert site.tenants.wake_at() == pytest.approx(10.5)
    site.tenants.release(10.5)
    assert not site.is_held()


def test_who_has_no_limits_is_never_held() -> None:
    site = Site(SLOW)
    for _ in range(100):
        site.tenants.began("free", 10.0)
    assert not site.is_held()
    site.tenants.ended("free", 10.0)
    site.tenants.ended("unheard of", 10.0)


def test_a_share_has_its_part_of_a_limit() -> None:
    site = Site(TenantLimits(message_rate=rate("2/s"), connections=4), Destination("example.com", shares=2))
    site.begin(10.0)
    assert site.tenants.wake_at() == pytest.approx(11.0)
    site.begin(11.0)
    assert site.tenants.wake_at() == inf


def test_a_limit_that_is_lifted_holds_no_tenant_any_more() -> None:
    for limits in (TenantLimits(message_rate=rate("1/d")), TenantLimits(connections=1)):
        site = Site(limits)
        site.begin(10.0)
        assert site.is_held()
        site.limits = NO_TENANT_LIMITS
        site.tenants.shape(site.limits_of, 11.0)
        site.tenants.release(11.0)
        assert not site.is_held()


def test_a_lower_limit_is_come_down_to() -> None:
    site = Site(TenantLimits(connections=10))
    site.begin(10.0, 8)
    site.limits = NARROW
    site.tenants.shape(site.limits_of, 11.0)
    assert site.is_held()
    for _ in range(6):
        site.tenants.ended("limited", 12.0)
        assert site.is_held()
    site.tenants.ended("limited", 12.0)
    assert not site.is_held()


def test_other_rules_do_not_give_a_turn_before_its_time() -> None:
    site = Site(SLOW)
    site.begin(10.0)
    for _ in range(5):
        site.tenants.shape(site.limits_of, 10.1)
        site.tenants.release(10.1)
        assert site.is_held()
    assert site.tenants.wake_at() == pytest.approx(10.5)


def test_a_suspension_ends_by_itself_and_is_forgotten() -> None:
    site = Site(NO_TENANT_LIMITS)
    site.tenants.suspend("limited", 20.0)
    site.tenants.release(19.0)
    assert site.tenants.is_suspended("limited", 19.9)
    assert not site.tenants.is_suspended("free", 19.9)
    assert not site.tenants.is_suspended("limited", 20.0)
    site.tenants.release(20.0)
    assert not site.tenants.is_suspended("limited", 19.9)


def test_a_rate_holds_over_a_move() -> None:
    site = Site(SLOW)
    site.tenants.queued("limited", 100.0)
    assert not site.is_held(), "no other actor has sent"
    site.tenants.took_over(100.0, 100.1)
    site.tenants.queued("limited", 100.1)
    site.tenants.queued("free", 100.1)
    assert site.is_held()
    assert site.tenants.wake_at() == pytest.approx(100.5)
    site.tenants.release(100.5)
    assert not site.is_held()
    site.begin(100.5)
    site.tenants.ended("limited", 100.5)
    assert site.tenants.wake_at() == pytest.approx(101.0)
    site.tenants.took_over(100.8, 100.8)
    assert site.tenants.wake_at() == pytest.approx(101.3), "it was away, and is back"


def test_what_another_has_sent_long_ago_does_not_count() -> None:
    site = Site(SLOW)
    site.tenants.took_over(100.0, 200.0)
    site.tenants.queued("limited", 200.0)
    assert not site.is_held()
