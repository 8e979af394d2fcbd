"""A site's own state: room, rate, back-off, and making no progress."""

from typing import cast

from actors.delivery.pool import Pool
from actors.delivery.site import CLAIMED_PER_CONNECTION, STALLED_S, Site
from cluster.journal.records import Waiting
from cluster.policy.destinations import Destination


class StillPool:
    """Connections that nothing moves on."""

    limit = 2
    outstanding = 0
    connections = 0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_site(clock: Clock, pool: StillPool, *, bound: int = 100, rate: float = 0.0) -> Site:
    return Site(Destination("example.com"), clock, bound, rate, lambda _: cast(Pool, pool))


def fill(site: Site, count: int, tenant: str = "tnt_1") -> int:
    return sum(site.offer(Waiting(f"msg_{i}", 0, tenant, "example.com")) for i in range(count))


def test_no_more_is_claimed_than_connections_can_soon_carry() -> None:
    pool = StillPool()
    site = a_site(Clock(), pool)
    assert site.wanted() == 0
    fill(site, 50)
    assert site.wanted() == 2 * CLAIMED_PER_CONNECTION
    site.take()
    assert site.wanted() == 2 * CLAIMED_PER_CONNECTION - 1
    pool.outstanding = 100
    assert site.wanted() == 0


def test_a_tenant_may_not_take_all_the_room() -> None:
    site = a_site(Clock(), StillPool(), bound=30)
    assert fill(site, 100, "big") == 15
    assert fill(site, 100, "second") == 10


def test_the_rate_holds_back_and_says_for_how_long() -> None:
    clock = Clock()
    site = a_site(clock, StillPool(), rate=10.0)
    fill(site, 5)
    assert site.wanted() == 1
    site.take()
    assert site.wanted() == 0
    assert 0.09 < site.rate_wait_s() < 0.11
    clock.now += 0.1
    assert site.wanted() == 1


def test_back_off_doubles_and_lets_one_through_as_a_probe() -> None:
    clock = Clock()
    site = a_site(clock, StillPool())
    fill(site, 5)
    assert [site.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert site.wanted() == 0
    clock.now += 60
    assert site.wanted() == 1
    site.worked()
    assert site.wanted() == 5


def test_work_that_comes_to_no_end_is_noticed_within_a_minute() -> None:
    clock, pool = Clock(), StillPool()
    site = a_site(clock, pool)
    pool.outstanding = 2
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
    # Nothing on the wire is no standstill.
    pool.outstanding = 0
    clock.now += 1000
    stalled.append(site.is_stalled)
    assert stalled[2:] == [False, False]
