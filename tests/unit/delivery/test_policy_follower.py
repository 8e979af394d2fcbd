"""What is released, and which policy is followed, when the journal does not answer for a while."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from actors.delivery.giving_back import GivingBack
from actors.delivery.held import HeldDeliveries
from actors.delivery.job import Job
from actors.delivery.policy_follower import PolicyFollower
from actors.delivery.site import Site
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import Sites
from cluster.journal.journal import Unavailable
from cluster.policy.routes.destinations import Destination
from cluster.routing.active_policy import ActivePolicy, PolicyChange
from cluster.settings import DeliverySettings
from tests.unit.delivery.builders import Clock, job, ready
from tests.unit.delivery.test_site import StillPool

NOW = datetime.now(UTC)


class Journal:
    """Takes back deliveries, unless it is down."""

    def __init__(self) -> None:
        self.is_down = False
        self.parked: list[str] = []
        self.unclaimed: list[str] = []
        self.scheduling = self.queue = self

    async def park(self, deliveries: list[Any], lanes: list[str]) -> None:
        self._answer()
        self.parked += [waiting.message_id for waiting in deliveries]

    async def unclaim(self, keys: list[tuple[str, int]], *, owner: int) -> int:
        self._answer()
        self.unclaimed += [message_id for message_id, _ in keys]
        return len(keys)

    def _answer(self) -> None:
        if self.is_down:
            raise Unavailable("down")


class Pool(StillPool):
    """A pool with jobs for which no transaction has begun."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    def take_back(self) -> list[Job]:
        taken, self.jobs = self.jobs, []
        return taken

    def disconnect(self) -> None:
        pass


class Ownership:
    epoch = 7
    changes = 0

    def owns(self, place: Destination) -> bool:
        return True

    def came_at(self, place: Destination) -> float | None:
        return None


class SuspendedByAnOperator(ActivePolicy):
    """An operator has just suspended every site."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), cast(Any, None), DeliverySettings())
        self.change = PolicyChange(begun=frozenset({("", "")}))
        self.is_suspended = False

    async def follow(self) -> PolicyChange:
        self.is_suspended = True
        change, self.change = self.change, PolicyChange()
        return change

    def suspended_until(self, site: str, tenant_id: str) -> datetime | None:
        return NOW + timedelta(hours=1) if self.is_suspended and not tenant_id else None

    def suspended_tenants(self, site: str) -> set[str]:
        return set()


class World:
    """Two sites, each with a delivery that waits and one that is claimed."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.journal = Journal()
        self.pools = {"one": Pool([job(1)]), "two": Pool([job(2)])}
        self.held = HeldDeliveries(100)
        active_policy, turns = SuspendedByAnOperator(), SiteTurns(lambda _: False)
        ownership = cast(Any, Ownership())
        self.giving_back = GivingBack(cast(Any, self.journal), ownership, self.held)
        self.sites = Sites(
            active_policy,
            ownership,
            self.held,
            turns,
            cast(Any, self),
            clock=self.clock,
            now=lambda: NOW.timestamp(),
        )
        self.follower = PolicyFollower(active_policy, turns, self.giving_back, self.sites)
        for number, name in ((11, "one"), (12, "two")):
            assert self.sites.queue(ready(number), Destination(name))
        for number in (1, 2):
            self.held.add((f"msg_{number}", 0), "tnt_1")

    def pool_for(self, site: Site) -> Pool:
        return self.pools[site.destination.site]


async def test_a_suspension_gives_back_what_waits_and_what_is_not_begun() -> None:
    world = World()
    await world.follower.follow()
    assert (sorted(world.journal.parked), sorted(world.journal.unclaimed)) == (["msg_11", "msg_12"], ["msg_1", "msg_2"])
    assert not len(world.held)


async def test_every_site_is_suspended_though_the_journal_does_not_answer_and_nothing_is_forgotten() -> None:
    world = World()
    world.journal.is_down = True
    with pytest.raises(Unavailable):
        await world.follower.follow()
    assert all(site.is_suspended for site in world.sites)
    world.journal.is_down = False
    await world.follower.follow()
    await world.giving_back.doubtful()
    assert sorted(world.journal.unclaimed) == ["msg_1", "msg_2"]
    assert not len(world.held), "a delivery that stays held is never queued again"
