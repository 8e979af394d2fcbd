"""Looking into lanes that have no owner."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane, LanePosition
from cluster.routing.stranded import LANES_AT_ONCE, PAGE, Stranded


class Lanes:
    """A journal, and a dispatcher by which mail of the pool "moves" now has another place."""

    def __init__(self) -> None:
        self.held: dict[Lane, list[DueDelivery]] = {}
        self.looked_at: Counter[str] = Counter()
        """Rows, by the name of the lane."""
        self.scheduling = self

    def put(self, name: str, *pools: str) -> Lane:
        lane = Lane(name, "tnt_1")
        own = self.held.setdefault(lane, [])
        own += [DueDelivery(f"msg_{len(own) + i:06}", 0, "tnt_1", "a.example", pool) for i, pool in enumerate(pools)]
        return lane

    async def parked_in(self, after: Mapping[Lane, LanePosition], each: int) -> dict[Lane, list[DueDelivery]]:
        assert len(after) <= LANES_AT_ONCE
        found = {}
        for lane, position in after.items():
            behind = [w for w in self.held[lane] if (w.message_id, w.recipient_no) > tuple_of(position)]
            found[lane] = behind[:each]
            self.looked_at[lane.destination] += len(found[lane])
        return found

    async def leave_lanes(self, deliveries: Sequence[DueDelivery], lanes: Sequence[Lane]) -> int:
        for waiting, lane in zip(deliveries, lanes, strict=True):
            self.held[lane].remove(waiting)
        return len(deliveries)

    async def prepare(self, deliveries: Iterable[DueDelivery]) -> None:
        pass

    def has_left(self, waiting: DueDelivery, lane: Lane) -> bool:
        return waiting.pool == "moves"


def tuple_of(position: LanePosition) -> tuple[str, int]:
    return position.message_id, position.recipient_no


def looking_into(lanes: Lanes) -> Stranded:
    stranded = Stranded(cast(Any, lanes), cast(Any, lanes))
    stranded.are(lanes.held)
    return stranded


async def test_a_long_lane_is_looked_through_part_by_part_and_from_its_start_again() -> None:
    lanes = Lanes()
    lane = lanes.put("ghost>a.example", *["stays"] * PAGE, "moves", "stays")
    stranded = looking_into(lanes)
    assert await stranded.round() == 0
    assert lanes.looked_at[lane.destination] == PAGE
    stranded.are(lanes.held)
    assert await stranded.round() == 1
    # Mail that has become due meanwhile is found with the next look.
    lanes.held[lane][0] = DueDelivery("msg_000000", 0, "tnt_1", "a.example", "moves")
    stranded.are(lanes.held)
    assert await stranded.round() == 1
    assert {waiting.pool for waiting in lanes.held[lane]} == {"stays"}


async def test_all_of_many_short_lanes_are_looked_into_in_one_round() -> None:
    lanes = Lanes()
    for i in range(2 * LANES_AT_ONCE + 1):
        lanes.put(f"ghost>{i}.example", "moves", "stays")
    assert await looking_into(lanes).round() == 2 * LANES_AT_ONCE + 1


async def test_long_lanes_do_not_keep_others_from_their_turn() -> None:
    lanes = Lanes()
    for i in range(LANES_AT_ONCE):
        lanes.put(f"ghost>{i}.example", *["stays"] * (PAGE // LANES_AT_ONCE + 1))
    last = lanes.put("last>a.example", "moves")
    stranded = looking_into(lanes)
    moved = [await stranded.round() for _ in range(2)]
    assert sum(moved) == 1
    assert lanes.held[last] == []
    assert sum(lanes.looked_at.values()) <= 2 * (PAGE + LANES_AT_ONCE)


async def test_a_lane_that_has_an_owner_again_is_left_to_it() -> None:
    lanes = Lanes()
    lanes.put("ghost>a.example", "moves")
    stranded = looking_into(lanes)
    stranded.are([])
    assert await stranded.round() == 0
