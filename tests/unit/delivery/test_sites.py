"""The sites of an actor: turns between them, and the next inspection in time."""

import asyncio
from collections import Counter
from typing import cast

from actors.delivery.pool import Pool
from actors.delivery.site import CLAIMED_PER_CONNECTION, LEAD, STALLED_S, Site
from actors.delivery.site_turns import SiteTurns, Taken
from cluster.policy.limits.quantities import rate
from cluster.policy.limits.shaping import NO_TENANT_LIMITS, TenantLimits
from cluster.policy.replies.automation import Adjustments
from cluster.policy.routes.destinations import Destination
from tests.unit.delivery.builders import ready, some_limits
from tests.unit.delivery.test_site import StillPool
from tests.unit.virtual_time import in_virtual_time, settle


class Woken(asyncio.Event):
    """Counts how often it was set."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def set(self) -> None:
        self.times += 1
        super().set()


class Couriers:
    """Their connections do nothing."""

    def pool_for(self, site: Site) -> Pool:
        return cast(Pool, StillPool())


class World:
    def __init__(self, connections: int = 20, tenant_limits: TenantLimits = NO_TENANT_LIMITS) -> None:
        self.owned = True
        self.light: set[str] = set()
        self.turns = SiteTurns(lambda tenant_id: tenant_id in self.light)
        self._work = self.turns.work = Woken()
        self._light_work = self.turns.light_work = Woken()
        self._sites: dict[str, Site] = {}
        self._connections = connections
        self._tenant_limits = tenant_limits

    @property
    def woken(self) -> int:
        return self._work.times

    @property
    def woken_light(self) -> int:
        return self._light_work.times

    def site(self, name: str) -> Site:
        if name not in self._sites:
            clock = asyncio.get_running_loop().time
            self._sites[name] = Site(
                Destination(name),
                some_limits(self._connections),
                Adjustments((), clock()),
                clock,
                10_000,
                Couriers().pool_for,
                lambda _: self._tenant_limits,
            )
        return self._sites[name]

    def fill(self, name: str, count: int, tenant_id: str = "tnt_1") -> Site:
        site = self.site(name)
        for number in range(count):
            site.offer(ready(number, tenant_id))
        self.turns.look_at(site, tenant_id)
        return site

    def batch(self, limit: int, most: int = 1000, *, light_only: bool = False) -> list[Taken]:
        return self.turns.next_batch(limit, most, lambda _: self.owned, light_only=light_only)

    def counts(self, limit: int) -> Counter[str]:
        return Counter(taken.site.destination.site for taken in self.batch(limit))


def tenants_of(batch: list[Taken]) -> list[str]:
    return [ready.waiting.tenant_id for taken in batch for ready in taken.deliveries]


@in_virtual_time
async def test_sites_take_turns_and_none_starves_behind_a_deep_one() -> None:
    world = World()
    world.fill("deep", 1000)
    for number in range(10):
        world.fill(f"small{number}", 2)
    first, second = world.counts(40), world.counts(40)
    assert first == Counter({"deep": 40})
    assert second == Counter({**{f"small{number}": 2 for number in range(10)}, "deep": 20})


@in_virtual_time
async def test_two_deep_sites_share_in_turns() -> None:
    world = World()
    world.fill("one", 1000)
    world.fill("two", 1000)
    assert [set(world.counts(20)) for _ in range(4)] == [{"one"}, {"two"}, {"one"}, {"two"}]


@in_virtual_time
async def test_what_is_light_is_claimed_alone_and_waits_for_no_turns() -> None:
    world = World()
    world.light = {"few"}
    for number in range(100):
        world.fill(f"flooded{number}", 100)
    woken = [world.woken_light]
    world.fill("flooded99", 2, "few")
    assert [*woken, world.woken_light] == [0, 1]
    assert tenants_of(world.batch(64, light_only=True)) == ["few", "few"]
    assert not world.batch(64, light_only=True)
    assert tenants_of(world.batch(64)) == ["tnt_1"] * 64
    assert "flooded99" in {taken.site.destination.site for _ in range(100) for taken in world.batch(64)}


@in_virtual_time
async def test_at_a_site_that_takes_little_light_tenants_and_others_have_as_much() -> None:
    world = World(connections=1)
    world.light = {"few"}
    world.fill("one", 400)
    world.fill("one", 200, "few")
    began: Counter[str] = Counter()
    site = world.site("one")
    for number in range(300):
        for taken in world.batch(64, light_only=number % 3 == 0):
            (tenant_id,) = tenants_of([taken])
            began[tenant_id] += 1
            taken.site.claimed()
            taken.site.ended(tenant_id)
        world.turns.look_at(site, "few")
        if not site.queue.waiting_of("few"):
            break
        assert abs(began["few"] - began["tnt_1"]) <= 2 * LEAD
    assert began["few"] == 200


@in_virtual_time
async def test_many_recipients_of_one_message_count_as_many() -> None:
    world = World()
    world.light = {"few"}
    site = world.site("one")
    for number in range(3):
        for recipient_no in range(50):
            site.offer(ready(number, recipient_no=recipient_no))
    world.turns.look_at(site, "tnt_1")
    assert tenants_of(world.batch(1)) == ["tnt_1"] * 50
    world.fill("one", 60, "few")
    world.turns.look_at(site, "tnt_1")
    assert not world.batch(0, light_only=True)
    assert tenants_of(world.batch(100, light_only=True)) == ["few"] * 60
    assert tenants_of(world.batch(100)) == ["tnt_1"] * 100


@in_virtual_time
async def test_what_its_claimer_leaves_is_for_the_others() -> None:
    world = World()
    world.light = {"few"}
    world.fill("light", 2, "few")
    assert len(world.batch(64)) == 2
    world.fill("busy", 100, "few")
    world.fill("heavy", 1)
    assert world.counts(64) == Counter({"heavy": 1}), "many light tenants do not hold up the others"
    assert len(world.batch(64)) == 64


@in_virtual_time
async def test_a_tenant_that_is_light_no_longer_has_its_turn_among_the_others() -> None:
    world = World()
    world.light = {"few"}
    world.fill("one", 2, "few")
    world.light = set()
    woken = world.woken
    assert not world.batch(64, light_only=True)
    assert world.woken == woken + 1
    assert len(world.batch(64)) == 2


@in_virtual_time
async def test_a_claim_begins_no_transaction_once_it_has_deliveries_enough() -> None:
    world = World()
    world.fill("one", 100)
    assert (len(world.batch(64, 10)), len(world.batch(64, 50))) == (10, 50)


@in_virtual_time
async def test_a_site_is_not_looked_at_before_something_changes() -> None:
    world = World(connections=1)
    site = world.fill("one", 100)
    assert len(world.batch(64)) == CLAIMED_PER_CONNECTION
    assert world.batch(64) == []
    woken = world.woken
    for _ in range(CLAIMED_PER_CONNECTION * 2 // 5):
        assert world.batch(64) == []
        site.claimed()
        world.turns.look_at(site)
    assert world.woken == woken + CLAIMED_PER_CONNECTION * 2 // 5
    assert len(world.batch(64)) == CLAIMED_PER_CONNECTION * 2 // 5


@in_virtual_time
async def test_what_a_clock_holds_back_is_looked_at_again_in_time() -> None:
    world = World()
    site = world.fill("one", 10)
    site.failed()
    assert world.batch(64) == []
    assert world.batch(64) == []
    woken = world.woken
    await asyncio.sleep(0.99)
    assert world.woken == woken
    await asyncio.sleep(0.02)
    assert world.woken == woken + 1
    assert len(world.batch(64)) == 1


@in_virtual_time
async def test_a_tenant_gets_its_next_turn_in_time() -> None:
    world = World(tenant_limits=TenantLimits(message_rate=rate("2/s")))
    world.fill("one", 3)
    began = []
    for _ in range(300):
        for taken in world.batch(64):
            taken.site.claimed()
            taken.site.ended("tnt_1")
            world.turns.look_at(taken.site)
            began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
    assert [round(at - began[0], 1) for at in began] == [0.0, 0.5, 1.0]


@in_virtual_time
async def test_what_is_not_ours_to_send_waits_until_all_are_looked_at() -> None:
    world = World(tenant_limits=TenantLimits(message_rate=rate("2/s")))
    site = world.fill("one", 10)
    assert len(world.batch(64)) == 1
    world.turns.look_at(site)
    await asyncio.sleep(5)
    world.owned = False
    assert world.batch(64) == []
    woken = world.woken
    for _ in range(100):
        await settle()
        assert world.batch(64) == []
    assert world.woken == woken, "nothing that the clock says would help"
    world.owned = True
    world.turns.look_at_all()
    assert world.batch(64) == [], "another actor may have sent one just now"
    await asyncio.sleep(0.6)
    assert len(world.batch(64)) == 1


@in_virtual_time
async def test_a_dropped_site_is_forgotten_with_its_timer() -> None:
    world = World()
    site = world.fill("one", 1)
    site.failed()
    world.batch(64)
    site.queue.clear()
    world.turns.forget(site)
    woken = world.woken
    await asyncio.sleep(5)
    assert (world.woken, world.batch(64), world.turns.at_work()) == (woken, [], [])


@in_virtual_time
async def test_those_at_work_are_the_ones_with_something_to_do_and_their_rest_counts_as_no_standstill() -> None:
    world = World()
    busy, resting = world.fill("busy", 1), world.site("resting")
    assert world.turns.at_work() == [busy]
    busy.take()
    assert world.turns.at_work() == [busy]
    busy.claimed()
    assert world.turns.at_work() == []
    await asyncio.sleep(STALLED_S + 1)
    world.fill("resting", 1)
    cast(StillPool, resting.pool).on_the_wire = 1
    assert world.turns.at_work() == [resting]
    assert not resting.is_stalled
    world.turns.forget(resting)
    assert world.turns.at_work() == []
