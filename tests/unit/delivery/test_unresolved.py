"""Deliveries whose domain must be looked up first."""

import asyncio
from typing import Any, cast

from actors.delivery.giving_back import Misrouted
from actors.delivery.held import HeldDeliveries, key_of
from actors.delivery.site import ReadyDelivery
from actors.delivery.unresolved import Unresolved
from cluster.journal.journal import Unavailable
from cluster.journal.records import DueDelivery
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import Unreachable
from cluster.routing.router import RoutedDelivery
from cluster.tasks import Tasks
from tests.unit.delivery.builders import waiting
from tests.unit.virtual_time import in_virtual_time, settle

HOP = Unreachable("not of interest", permanent=False)


class World:
    """Answers come at once; the journal takes ``journal_s``, and is unreachable when that is negative."""

    def __init__(self, ours: set[str]) -> None:
        self.taken: list[str] = []
        self.parked: list[list[str]] = []
        self.journal_s = 0.0
        self.held = HeldDeliveries(100)
        self._ours = ours
        itself = cast(Any, self)
        self.unresolved = Unresolved(itself, self.held, itself, itself, Tasks())

    def add(self, number: int, domain: str) -> None:
        """Add a delivery as the actor does when it admits one."""
        delivery = waiting(number, domain=domain)
        self.held.add(key_of(delivery), delivery.tenant_id)
        self.unresolved.add(delivery)

    async def learn(self, domain: str) -> None:
        await asyncio.sleep(0)

    async def place(self, delivery: DueDelivery) -> RoutedDelivery:
        return RoutedDelivery(Destination(delivery.domain), HOP)

    def queue(self, ready: ReadyDelivery, place: Destination) -> bool:
        if place.site not in self._ours:
            return False
        self.taken.append(place.site)
        return True

    async def park(self, misrouted: Misrouted) -> None:
        if self.journal_s < 0:
            raise Unavailable("away")
        await asyncio.sleep(self.journal_s)
        self.parked.append([place.site for _, place in misrouted])


@in_virtual_time
async def test_ours_wait_here_and_others_are_parked_together_while_the_journal_is_busy() -> None:
    world = World({"ours.example"})
    world.journal_s = 1.0
    domains = ["first.example", "ours.example", "second.example", "third.example"]
    for number, domain in enumerate(domains):
        world.add(number, domain)
    await settle()
    assert world.taken == ["ours.example"]
    await asyncio.sleep(2.5)
    assert world.parked == [["first.example"], ["second.example", "third.example"]]
    assert len(world.held) == 1, "what is parked is held no more"


@in_virtual_time
async def test_a_journal_that_is_away_holds_up_nothing_that_comes_later() -> None:
    world = World(set())
    world.journal_s = -1
    world.add(1, "first.example")
    await settle()
    world.journal_s = 0.0
    world.add(2, "second.example")
    await settle()
    assert world.parked == [["second.example"]]
