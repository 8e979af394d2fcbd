"""Large messages are composed one at a time, within a memory bound of which each tenant gets only a part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from msgspec import structs

from actors.delivery.composing import ComposeOrder, Made
from actors.delivery.held import LargeRoom
from actors.delivery.job import Job
from actors.delivery.large import LargeMessages
from actors.delivery.site_turns import Taken
from tests.unit.delivery.builders import job


class World:
    """The test decides when composing ends; the jobs that are handed over are recorded."""

    def __init__(self) -> None:
        self.handed_over: list[str] = []
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.room = LargeRoom(most_bytes=200, most_bytes_of_tenant=100)
        self.large = LargeMessages(cast(Any, self), cast(Any, self), self.room)

    async def compose_large(self, order: ComposeOrder) -> Made:
        self.begun.append(order.deliveries[0].message_id)
        await self.may_end.wait()
        return [structs.replace(cast(Any, order), data=b"x" * 60)]

    def take(self, taken: Taken, made: Made) -> None:
        [one] = made
        assert isinstance(one, Job)
        self.handed_over.append(one.deliveries[0].message_id)

    def add(self, number: int, tenant_id: str = "tnt_1") -> None:
        # Only an order's deliveries are read; a job has them as well.
        self.large.add(cast(Any, None), cast(Any, job(number, tenant_id)))

    def end(self, number: int) -> None:
        self.room.ended(job(number).deliveries)

    async def settle(self) -> list[str]:
        for _ in range(10):
            await asyncio.sleep(0)
        return self.handed_over


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.large.run())
    try:
        yield world
    finally:
        task.cancel()


async def test_one_at_a_time() -> None:
    async with running() as world:
        world.may_end.clear()
        world.add(1)
        world.add(2)
        await world.settle()
        assert world.begun == ["msg_1"]
        world.may_end.set()
        assert await world.settle() == ["msg_1", "msg_2"]


async def test_a_tenant_waits_for_its_own_and_holds_up_no_other() -> None:
    async with running() as world:
        for number in range(1, 5):
            world.add(number, "tnt_1")
        assert await world.settle() == ["msg_1", "msg_2"]  # one more than fits is admitted
        world.add(5, "tnt_2")
        assert await world.settle() == ["msg_1", "msg_2", "msg_5"]
        world.end(1)
        assert (await world.settle())[-1] == "msg_3"
        world.end(99)  # never held
        assert (await world.settle())[-1] == "msg_3"


async def test_tenants_take_turns() -> None:
    async with running() as world:
        world.may_end.clear()
        for number in range(1, 6):
            world.add(number, "tnt_1")
        await world.settle()
        world.add(6, "tnt_2")
        world.add(7, "tnt_3")
        world.may_end.set()
        assert (await world.settle())[:4] == ["msg_1", "msg_2", "msg_6", "msg_7"]


async def test_a_bound_for_all() -> None:
    async with running() as world:
        for number in range(1, 7):
            world.add(number, f"tnt_{number}")
        assert await world.settle() == ["msg_1", "msg_2", "msg_3", "msg_4"]
        world.end(2)
        assert (await world.settle())[4:] == ["msg_5"]


async def test_what_waits_can_be_taken_back() -> None:
    async with running() as world:
        for number in range(1, 5):
            world.add(number)
        await world.settle()
        assert [order.deliveries[0].message_id for order in world.large.take_back()] == ["msg_3", "msg_4"]
        world.end(1)
        world.end(2)
        assert await world.settle() == ["msg_1", "msg_2"]
