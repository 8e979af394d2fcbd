"""Fetching from lanes: when, from which first, and which are dropped."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from actors.delivery.held import HeldDeliveries
from actors.delivery.lane_fetcher import LANES_AT_ONCE, LaneFetcher
from actors.delivery.lanes import MAX_WAIT_S, PLENTY, OwnLanes
from actors.delivery.site import Site
from cluster.journal.journal import Unavailable
from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane, Unparked
from cluster.policy.routes.destinations import Destination
from cluster.tasks import Tasks
from tests.unit.delivery.builders import waiting
from tests.unit.virtual_time import in_virtual_time, settle

MOST = 80
ENOUGH = MOST // PLENTY


class Queue:
    def __init__(self, waits: int) -> None:
        self._waits = waits

    def waiting_of(self, tenant_id: str) -> int:
        return self._waits


class Place:
    """A site with this much room, where this many deliveries wait."""

    def __init__(self, room: int, waits: int) -> None:
        self.queue = Queue(waits)
        self._room = room

    def room(self, tenant_id: str) -> int:
        return self._room


class World:
    """An actor that owns every site but ``foreign``; the site ``suspended`` is suspended."""

    epoch = 7

    def __init__(self) -> None:
        self.scheduling = self
        self.parked: dict[Lane, int] = {}
        self.is_down = False
        self.asked: list[list[str]] = []
        self.taken: list[str] = []
        self.places: dict[str, Place] = {}
        self.tasks = Tasks()
        self.held = HeldDeliveries(MOST)
        self.lanes = OwnLanes(self.held, asyncio.get_running_loop().time)
        itself = cast(Any, self)
        fetcher = LaneFetcher(itself, itself, self.held, self.lanes, itself, itself, lease_s=60)
        self.tasks.spawn("fetching", fetcher.run())

    @property
    def room(self) -> int:
        return self.held.room

    @room.setter
    def room(self, room: int) -> None:
        """Hold deliveries until only this much room is left."""
        self.held.discard([(f"held_{number}", 0) for number in range(MOST)])
        for number in range(MOST - room):
            self.held.add((f"held_{number}", 0), "tnt_1")

    def is_shut(self, place: Destination, tenant_id: str) -> bool:
        return place.site == "suspended"

    def owns(self, place: Destination) -> bool:
        return place.site != "foreign"

    def get(self, place: Destination) -> Site | None:
        return cast(Site | None, self.places.get(place.site))

    def park(self, site: str, count: int, tenant_id: str = "tnt_1") -> Lane:
        lane = Lane(site, tenant_id)
        self.parked[lane] = count
        self.lanes.add([lane])
        return lane

    async def lease_from_lanes(self, limits: Mapping[Lane, int], limit: int, *, owner: int, lease_s: float) -> Unparked:
        assert owner == self.epoch
        self.asked.append([lane.destination for lane in limits])
        if self.is_down:
            raise Unavailable("down")
        leased: list[DueDelivery] = []
        emptied = []
        for lane, most in limits.items():
            count = min(most, self.parked[lane], limit - len(leased))
            leased += [waiting(number, lane.tenant_id, lane.destination) for number in range(count)]
            self.parked[lane] -= count
            if count < most and len(leased) < limit:
                emptied.append(lane)
        return Unparked(leased, emptied)

    async def hold_or_park(self, found: Sequence[DueDelivery]) -> None:
        self.taken += [one.domain for one in found]
        self.room -= len(found)


@in_virtual_time
async def test_many_lanes_are_taken_from_at_once_and_what_is_empty_is_forgotten() -> None:
    world = World()
    for number in range(3):
        world.park(f"d{number}", 2)
    await settle()
    assert (world.asked, len(world.taken), len(world.lanes)) == ([["d0", "d1", "d2"]], 6, 0)
    await world.tasks.stop()


@in_virtual_time
async def test_it_waits_for_room_for_a_good_many_but_not_for_ever() -> None:
    world = World()
    world.room = 0
    world.park("d", 100)
    await asyncio.sleep(MAX_WAIT_S + 1)
    world.lanes.look()
    await settle()
    world.room = ENOUGH - 1
    world.lanes.look()
    await asyncio.sleep(MAX_WAIT_S / 2)
    assert world.taken == []
    await asyncio.sleep(MAX_WAIT_S)
    assert len(world.taken) == ENOUGH - 1
    world.room = ENOUGH
    world.lanes.look()
    await asyncio.sleep(MAX_WAIT_S / 2)
    assert len(world.taken) == 2 * ENOUGH - 1
    await world.tasks.stop()


@in_virtual_time
async def test_tenants_take_turns_however_many_lanes_they_have() -> None:
    world = World()
    world.room = 0
    for number in range(2 * LANES_AT_ONCE):
        world.park(f"d{number}", 1)
    world.park("small", 1, "tnt_2")
    world.room = ENOUGH
    world.lanes.look()
    await asyncio.sleep(1)
    assert world.asked[0][:3] == ["d0", "small", "d1"]
    await world.tasks.stop()


@in_virtual_time
async def test_what_is_parked_goes_before_what_has_just_come() -> None:
    world = World()
    other = Lane("other", "tnt_1")
    assert not world.lanes.goes_before(other)
    assert world.lanes.leaves_room() == MOST
    world.room = ENOUGH - 1
    assert world.lanes.leaves_room() == ENOUGH - 1
    lane = Lane("d", "tnt_1")
    world.lanes.expect(lane)
    assert world.lanes.goes_before(lane) and world.lanes.goes_before(other)
    assert world.lanes.leaves_room() == 0
    world.room = ENOUGH
    assert world.lanes.goes_before(lane) and not world.lanes.goes_before(other)
    await world.tasks.stop()


@in_virtual_time
async def test_what_is_not_to_be_taken_is_forgotten_and_what_has_enough_here_keeps_its_turn() -> None:
    world = World()
    world.places = {"busy": Place(room=2, waits=40), "short": Place(room=40, waits=2)}
    for site in ("foreign", "suspended", "busy", "short"):
        world.park(site, 100)
    await settle()
    assert world.asked == [["short"]]
    assert len(world.taken) == 40
    assert len(world.lanes) == 2
    await world.tasks.stop()


@in_virtual_time
async def test_no_lane_is_forgotten_when_the_journal_does_not_answer() -> None:
    world = World()
    world.is_down = True
    lane = world.park("d", 3)
    await settle()
    assert (len(world.asked), world.lanes.goes_before(lane)) == (1, True)
    world.is_down = False
    world.lanes.look()
    await asyncio.sleep(2)
    assert len(world.taken) == 3
    await world.tasks.stop()
