"""Deliveries that the API offers at once, and those that it parks instead."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane
from cluster.routing.direct_offers import PENDING_AT_MOST, DirectOffers
from cluster.routing.dispatcher import FULL_S, Dispatcher
from tests.unit.virtual_time import in_virtual_time

BATCH_WINDOW_S = 0.01
"""How long offers wait for each other: the batch window."""


class Owners:
    """A dispatcher whose actors have no room for some domains."""

    def __init__(self, *full: str) -> None:
        self.full = set(full)
        self.taken: list[Sequence[DueDelivery]] = []
        self.parked: list[str] = []

    def lane_of(self, waiting: DueDelivery) -> Lane:
        return Lane(waiting.domain, waiting.tenant_id)

    async def offer(self, deliveries: Sequence[DueDelivery], contents: object) -> list[DueDelivery]:
        self.taken.append(deliveries)
        return [waiting for waiting in deliveries if waiting.domain in self.full]

    @property
    def offered(self) -> list[list[str]]:
        return [[waiting.message_id for waiting in deliveries] for deliveries in self.taken]

    async def park(self, refused: Sequence[DueDelivery]) -> list[Lane]:
        self.parked += [waiting.message_id for waiting in refused]
        return [self.lane_of(waiting) for waiting in refused]


@asynccontextmanager
async def offers_to(owners: Owners, window: int = PENDING_AT_MOST) -> AsyncIterator[DirectOffers]:
    async def share(data: bytes) -> Any:
        raise AssertionError("nothing to share")

    offers = DirectOffers(cast(Dispatcher, owners), share, window, BATCH_WINDOW_S)
    running = asyncio.create_task(offers.run())
    yield offers
    running.cancel()
    await asyncio.wait({running})


async def offered() -> None:
    """Wait until the added deliveries are offered."""
    await asyncio.sleep(2 * BATCH_WINDOW_S)


def waiting(number: int, domain: str, tenant_id: str = "tnt_1") -> DueDelivery:
    return DueDelivery(f"msg_{number}", 0, tenant_id, domain)


@in_virtual_time
async def test_a_lane_that_was_refused_is_not_offered_for_a_while() -> None:
    owners = Owners("full.example")
    async with offers_to(owners) as offers:
        offers.add([waiting(1, "full.example"), waiting(2, "free.example")])
        await offered()
        assert (owners.offered, owners.parked) == ([["msg_1", "msg_2"]], ["msg_1"])
        # Another tenant's mail to the same place has its own room.
        offers.add([waiting(3, "full.example"), waiting(4, "free.example")])
        offers.add([waiting(5, "full.example", "tnt_2")])
        await offered()
        assert owners.offered[1:] == [["msg_4", "msg_5"]]
        assert owners.parked == ["msg_1", "msg_3", "msg_5"]


@in_virtual_time
async def test_it_is_offered_again_after_that() -> None:
    owners = Owners("full.example")
    async with offers_to(owners) as offers:
        offers.add([waiting(1, "full.example")])
        await offered()
        owners.full.clear()
        await asyncio.sleep(FULL_S - 4 * BATCH_WINDOW_S)
        offers.add([waiting(2, "full.example")])
        await offered()
        assert owners.parked == ["msg_1", "msg_2"]
        # Mail that was parked without an offer does not keep it full.
        await asyncio.sleep(2 * BATCH_WINDOW_S)
        offers.add([waiting(3, "full.example")])
        await offered()
        assert owners.offered[-1] == ["msg_3"]
        assert "msg_3" not in owners.parked


@in_virtual_time
async def test_a_tenants_flood_leaves_room_for_others() -> None:
    owners = Owners()
    async with offers_to(owners, window=10) as offers:
        assert offers.add([waiting(n, "a.example", "tnt_a") for n in range(25)]) == 10
        assert offers.add([waiting(100, "b.example", "tnt_b")]) == 1
        assert offers.add([waiting(200 + n, "c.example", "tnt_c") for n in range(2)]) == 2
        assert offers.add([waiting(300, "a.example", "tnt_a")]) == 0  # this tenant has the most
        assert offers.add([waiting(400 + n, "d.example", "tnt_d") for n in range(25)]) == 4
        await offered()
    (taken,) = owners.taken
    assert [one.message_id for one in taken if one.tenant_id == "tnt_a"] == [f"msg_{n}" for n in range(3)]
    assert Counter(one.tenant_id for one in taken) == {"tnt_a": 3, "tnt_b": 1, "tnt_c": 2, "tnt_d": 4}
