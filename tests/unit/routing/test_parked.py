"""How much is parked, without a look at all of it."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.peers import PeerGone
from cluster.routing.parked import COUNTED, Parked


class World:
    """Lanes, and a recorder that knows how much was in them a while ago."""

    def __init__(self, lanes: Mapping[str, int], known: Mapping[str, int] | Exception) -> None:
        self.lanes = lanes
        self.known = known
        self.asked: list[str] = []
        self.counted: list[Sequence[str]] = []
        queue = SimpleNamespace(lane_names=self._lane_names, parked_in=self._parked_in)
        self.parked = Parked(cast(Any, queue), self._call)

    async def _lane_names(self) -> list[str]:
        return list(self.lanes)

    async def _parked_in(self, lanes: Sequence[str], most: int) -> dict[str, int]:
        self.counted.append(lanes)
        return {lane: min(most, self.lanes[lane]) for lane in lanes if self.lanes.get(lane)}

    async def _call(self, actor: str, method: str, *arguments: Any) -> Any:
        self.asked.append(f"{actor} {method}")
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
