"""What the API offers at once, and what it parks instead."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from cluster.journal.records import Waiting
from cluster.journal.scheduling import Lane
from cluster.routing.direct_offers import PENDING_AT_MOST, DirectOffers
from cluster.routing.dispatcher import FULL_S, Dispatcher


class Owners:
    """A dispatcher whose actors have no room for some domains."""

    def __init__(self, *full: str) -> None:
        self.full = set(full)
        self.offered: list[list[str]] = []
        self.parked: list[str] = []

    def lane_of(self, waiting: Waiting) -> Lane:
        return Lane(waiting.domain, waiting.tenant_id)

    async def offer(self, deliveries: Sequence[Waiting], contents: object) -> list[Waiting]:
        self.offered.append([waiting.message_id for waiting in deliveries])
        return [waiting for waiting in deliveries if waiting.domain in self.full]

    async def park(self, refused: Sequence[Waiting]) -> list[Lane]:
        self.parked += [waiting.message_id for waiting in refused]
        return [self.lane_of(waiting) for waiting in refused]


def offers_to(owners: Owners, window: int = PENDING_AT_MOST) -> DirectOffers:
    async def share(data: bytes) -> Any:
        raise AssertionError("nothing to share")

    return DirectOffers(cast(Dispatcher, owners), share, window)


def waiting(number: int, domain: str, tenant_id: str = "tnt_1") -> Waiting:
    return Waiting(f"msg_{number}", 0, tenant_id, domain)


async def test_a_lane_that_was_refused_is_not_offered_for_a_while() -> None:
    owners = Owners("full.example")
    offers = offers_to(owners)
    await offers._offer([waiting(1, "full.example"), waiting(2, "free.example")], {})
    assert (owners.offered, owners.parked) == ([["msg_1", "msg_2"]], ["msg_1"])
    # Another tenant's mail to the same place has room of its own.
    await offers._offer(
        [waiting(3, "full.example"), waiting(4, "free.example"), waiting(5, "full.example", "tnt_2")], {}
    )
    assert owners.offered[1:] == [["msg_4", "msg_5"]]
    assert owners.parked == ["msg_1", "msg_3", "msg_5"]


async def test_it_is_offered_again_after_that() -> None:
    owners = Owners("full.example")
    offers = offers_to(owners)
    await offers._offer([waiting(1, "full.example")], {})
    owners.full.clear()
    clock = asyncio.get_running_loop().time
    again = clock() + FULL_S
    await offers._offer([waiting(2, "full.example")], {})
    assert owners.parked == ["msg_1", "msg_2"] or clock() > again
    # What was parked without an offer does not make it full for longer.
    while clock() <= again:
        await asyncio.sleep(0.02)
    await offers._offer([waiting(3, "full.example")], {})
    assert owners.offered[-1] == ["msg_3"]
    assert "msg_3" not in owners.parked


def test_a_tenants_flood_leaves_room_for_others() -> None:
    offers = offers_to(Owners(), window=10)
    assert offers.add([waiting(n, "a.example", "tnt_a") for n in range(25)]) == 10
    assert offers.add([waiting(100, "b.example", "tnt_b")]) == 1
    assert offers.add([waiting(200 + n, "c.example", "tnt_c") for n in range(2)]) == 2
    assert offers.add([waiting(300, "a.example", "tnt_a")]) == 0  # it has the most
    assert offers.add([waiting(400 + n, "d.example", "tnt_d") for n in range(25)]) == 4
    taken = offers._next_batch()
    assert [one.message_id for one in taken if one.tenant_id == "tnt_a"] == [f"msg_{n}" for n in range(3)]
    assert Counter(one.tenant_id for one in taken) == {"tnt_a": 3, "tnt_b": 1, "tnt_c": 2, "tnt_d": 4}
    assert not offers._next_batch()
