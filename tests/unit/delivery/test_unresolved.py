"""Deliveries whose domain must be looked up first."""

import asyncio
from collections.abc import Iterable
from typing import cast

from actors.delivery.site import Ready
from actors.delivery.unresolved import Misrouted, Unresolved
from cluster.journal.journal import Unavailable
from cluster.journal.records import Waiting
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import Unreachable
from cluster.routing.router import Placed, Placer
from cluster.tasks import Tasks
from tests.unit.delivery.builders import waiting
from tests.unit.delivery.virtual_time import in_virtual_time, settle

HOP = Unreachable("not of interest", permanent=False)


class World:
    """Answers come at once; the journal is as slow as ``journal_s``, and away when it is negative."""

    def __init__(self, ours: set[str]) -> None:
        self.taken: list[str] = []
        self.parked: list[list[str]] = []
        self.journal_s = 0.0
        self._ours = ours
        self.arrivals = Unresolved(cast(Placer, self), Tasks(), self._take, self._park)

    async def learn(self, domain: str) -> None:
        await asyncio.sleep(0)

    async def place(self, delivery: Waiting) -> Placed:
        return Placed(Destination(delivery.domain), HOP)

    def _take(self, placed: Iterable[tuple[Ready, Destination]]) -> Misrouted:
        misrouted = []
        for ready, place in placed:
            if place.site in self._ours:
                self.taken.append(place.site)
            else:
                misrouted.append((ready.waiting, place))
        return misrouted

    async def _park(self, misrouted: Misrouted) -> None:
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
        world.arrivals.add(waiting(number, domain=domain))
    await settle()
    assert world.taken == ["ours.example"]
    await asyncio.sleep(2.5)
    assert world.parked == [["first.example"], ["second.example", "third.example"]]


@in_virtual_time
async def test_a_journal_that_is_away_holds_up_nothing_that_comes_later() -> None:
    world = World(set())
    world.journal_s = -1
    world.arrivals.add(waiting(1, domain="first.example"))
    await settle()
    world.journal_s = 0.0
    world.arrivals.add(waiting(2, domain="second.example"))
    await settle()
    assert world.parked == [["second.example"]]
