"""How much is parked, without a look at all of it."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.peers import PeerGone
from cluster.routing.parked import ANSWER_S, COUNTED, KEPT_S, Parked
from tests.unit.virtual_time import in_virtual_time


class World:
    """Lanes, and a recorder that knows how much was in them a while ago."""

    def __init__(self, lanes: Mapping[str, int], known: Mapping[str, int] | Exception | None) -> None:
        """``known``: None is a recorder that does not answer."""
        self.lanes = lanes
        self.known = known
        self.asked: list[str] = []
        self.counted: list[Sequence[str]] = []
        queue = SimpleNamespace(lane_names=self._lane_names, parked_in=self._parked_in)
        self.parked = Parked(cast(Any, queue), self._call, lambda: asyncio.get_running_loop().time())

    async def _lane_names(self) -> list[str]:
        return list(self.lanes)

    async def _parked_in(self, lanes: Sequence[str], most: int) -> dict[str, int]:
        self.counted.append(lanes)
        return {lane: min(most, self.lanes[lane]) for lane in lanes if self.lanes.get(lane)}

    async def _call(self, actor: str, method: str, *arguments: Any) -> Any:
        self.asked.append(f"{actor} {method}")
        if self.known is None:
            await asyncio.Event().wait()
        if isinstance(self.known, Exception):
            raise self.known
        return self.known


async def test_what_is_small_is_counted_and_what_is_large_is_known() -> None:
    world = World({"a.example": 3, "mta1>b.example": 90_000, "c.example": COUNTED}, {"mta1>b.example": 80_000})
    found = await world.parked.in_lanes(["d.example"])
    assert found == {"a.example": 3, "mta1>b.example": 80_000, "c.example": COUNTED}
    assert world.asked == ["recorder parked"]


async def test_the_recorder_is_not_asked_about_little() -> None:
    world = World({"a.example": 3, "b.example": COUNTED - 1}, PeerGone("recorder", "gone"))
    assert await world.parked.in_lanes([]) == {"a.example": 3, "b.example": COUNTED - 1}
    assert world.asked == []


async def test_of_one_site_only_its_lanes_are_counted() -> None:
    world = World({"mta1>mx.b.example": 1, "b.example": 2, "c.example": 3}, {})
    assert await world.parked.in_lanes(["x.example"], "b.example") == {"mta1>mx.b.example": 1, "b.example": 2}
    assert world.counted == [["b.example", "mta1>mx.b.example", "x.example"]]


@pytest.mark.parametrize("answer", [PeerGone("recorder", "restarting"), AttributeError("parked")])
async def test_without_the_recorder_it_is_at_least_what_was_counted(answer: Exception) -> None:
    assert await World({"a.example": 9999}, answer).parked.in_lanes([]) == {"a.example": COUNTED}


@in_virtual_time
async def test_a_silent_recorder_is_waited_for_once_and_asked_again_after_a_while() -> None:
    clock = asyncio.get_running_loop().time
    world, began = World({"a.example": 9999}, None), clock()
    together = await asyncio.gather(*(world.parked.in_lanes([]) for _ in range(5)))
    assert together == [{"a.example": COUNTED}] * 5 and clock() - began == pytest.approx(ANSWER_S)
    await asyncio.sleep(KEPT_S - 0.1)
    assert await world.parked.in_lanes([]) == {"a.example": COUNTED}
    assert len(world.asked) == 1 and clock() - began == pytest.approx(ANSWER_S + KEPT_S - 0.1)
    world.known = {"a.example": 9000}
    await asyncio.sleep(0.2)
    assert await world.parked.in_lanes([]) == {"a.example": 9000} and len(world.asked) == 2


@in_virtual_time
async def test_what_the_recorder_answered_is_used_for_a_while() -> None:
    world = World({"a.example": 9999}, {"a.example": 9000})
    assert [await world.parked.in_lanes([]) for _ in range(3)] == [{"a.example": 9000}] * 3
    world.known = {"a.example": 500}
    await asyncio.sleep(KEPT_S)
    assert await world.parked.in_lanes([]) == {"a.example": 500}
    assert len(world.asked) == 2


@in_virtual_time
async def test_who_ends_a_request_ends_no_other() -> None:
    world = World({"a.example": 9999}, None)
    first, second = (asyncio.ensure_future(world.parked.in_lanes([])) for _ in range(2))
    await asyncio.sleep(ANSWER_S / 2)
    first.cancel()
    world.known = {"a.example": 9000}
    assert await second == {"a.example": 9000} and first.cancelled()
