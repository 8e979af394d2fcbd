"""A cluster grows and shrinks by itself: which steps follow a decision, in which order, and what a failure leaves."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from actors.growing import ASKED_S, LATE, USE, Growing
from cluster.context import Left
from cluster.journal.growth import Wanted
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.membership import LiveMembers, NodeLoad
from cluster.metrics import Reading
from cluster.peers import PeerGone
from cluster.policy.growth import SETTLE_S, Terms
from cluster.policy.placement import Kind, Living, Node
from cluster.policy.routes.membership import Member
from tests.unit.actors.keeping_places import Cluster

TERMS = Terms(min_nodes=1, max_nodes=3, grow_after_s=10, shrink_after_s=100)
KINDS = (
    Kind(name="delivery", per="node", cpus=0.4, role="delivery"),
    Kind(name="scheduler", per="cluster", cpus=0.1, role="delivery"),
    Kind(name="supervisor", per="cluster", cpus=0.1, moves_itself=True),
)
NODES = (Node(id="a", cpus=2, machine="m1"), Node(id="b", cpus=4, machine="m2"))
LIVING = (
    Living("delivery-0-0", "a"),
    Living("delivery-1-0", "b"),
    Living("scheduler", "b"),
    Living("supervisor", "a"),
)


class World:
    """Two nodes, the journal's rows about them, and the autoscaler."""

    def __init__(self, nodes: Sequence[Node] = NODES, living: Sequence[Living] = LIVING) -> None:
        self.cluster = Cluster(nodes, living)
        self.keeping = self.cluster.keeping(KINDS)
        self.row = Wanted(0, "")
        self.draining: set[str] = set()
        self.held: dict[str, int] = {}
        self.asked: list[tuple[float, ...]] = []
        self.done: list[str] = []
        self.now = 0.0
        self.problem = self.ray_problem = ""
        self.growing = self.make()

    def make(self) -> Growing:
        journal = SimpleNamespace(
            growth=SimpleNamespace(wanted=self._wanted, want=self._want),
            membership=SimpleNamespace(
                live=self._live, nodes=self._nodes, drain_node=self._drain, undrain_node=self._undrain
            ),
            singletons=SimpleNamespace(confirm=self._confirm),
        )
        return Growing(cast(Journal, journal), self.keeping, TERMS, self._ask_for, clock=lambda: self.now)

    async def look(self, use: float, late_s: float = 0.0, passed_s: float = 3.0) -> None:
        """A round in which each delivery actor tells this."""
        self.now += passed_s
        await self.keeping.round()
        told = {
            one.name: [
                Reading(name=USE, kind="gauge", help="", values={"": use}),
                Reading(name=LATE, kind="gauge", help="", values={"": late_s}),
            ]
            for one in self.cluster.living
            if one.name.startswith("delivery")
        }
        await self.growing.round(self, told)

    async def leave(self, node_id: str) -> Left:
        self.done.append(f"leave {node_id}")
        self.keeping.left |= {node_id}
        return Left()

    async def bring_back(self, node_ids: list[str]) -> None:
        self.done += [f"bring back {node_id}" for node_id in node_ids]
        self.keeping.left -= set(node_ids)

    async def _wanted(self) -> Wanted:
        return self.row

    async def _want(self, wanted: Wanted) -> None:
        self.row = wanted

    async def _live(self, alive_s: float) -> LiveMembers:
        if self.problem:
            raise Unavailable(self.problem)
        actors = [one for one in self.cluster.living if one.name.startswith("delivery")]
        return LiveMembers([Member(one.name, "", one.node_id in self.draining, ()) for one in actors], 0)

    async def _nodes(self) -> list[NodeLoad]:
        ids = sorted({one.node_id for one in self.cluster.living if one.name.startswith("delivery")})
        return [NodeLoad(id, id in self.draining, self.held.get(id, 0)) for id in ids]

    async def _drain(self, node_id: str, live: Sequence[str]) -> None:
        assert node_id in live
        self.done.append(f"drain {node_id}")
        self.draining.add(node_id)

    async def _undrain(self, node_id: str) -> bool:
        self.done.append(f"undrain {node_id}")
        self.draining.discard(node_id)
        return True

    async def _confirm(self) -> None:
        pass

    async def _ask_for(self, cpus: Sequence[float]) -> None:
        if self.ray_problem:
            raise PeerGone("ray", self.ray_problem)
        self.asked.append(tuple(cpus))


async def test_a_node_more_is_asked_for_beside_those_that_there_are() -> None:
    world = World()
    await world.look(0.6)
    assert world.asked == [(2, 4)] and world.row == Wanted(2, "")
    await world.look(0.95, late_s=12)
    assert world.asked == [(2, 4), (2, 4, 2)] and world.row == Wanted(3, "")
    await world.look(0.95, late_s=15)
    assert len(world.asked) == 2, "it is asked for already"
    await world.look(0.95, late_s=15, passed_s=ASKED_S)
    assert world.asked[2:] == [(2, 4, 2)], "the head may have been started anew"
    told = world.growing.told()
    assert (told.wanted, told.there, told.least, told.most) == (3, 2, 1, 3) and "more asked for" in told.reason
    assert world.done == []


async def test_a_node_goes_when_it_holds_nothing_and_is_asked_for_no_more() -> None:
    world = World()
    world.held["b"] = 5
    await world.look(0.1)
    await world.look(0.1, passed_s=TERMS.shrink_after_s)
    assert world.row == Wanted(1, "b") and world.done == ["drain b"]
    await world.look(0.1)
    assert world.done == ["drain b"] and world.asked[-1:] == [(2, 4)], "it holds five"
    world.held.clear()
    await world.look(0.1)
    assert world.done == ["drain b", "leave b"]
    assert world.asked[-1:] == [(2,)]
    world.cluster.nodes.pop()
    world.cluster.living = [one for one in world.cluster.living if one.node_id == "a"]
    await world.look(0.1)
    assert world.row == Wanted(1, "")
    await world.look(0.1, passed_s=10 * TERMS.shrink_after_s)
    assert world.row == Wanted(1, ""), "the last one stays"


async def test_a_node_that_is_needed_again_comes_back_before_it_ends() -> None:
    world = World()
    await world.look(0.1)
    await world.look(0.1, passed_s=TERMS.shrink_after_s)
    await world.look(0.1)
    assert world.done == ["drain b", "leave b"]
    await world.look(0.95, late_s=30)
    assert world.done[2:] == ["bring back b", "undrain b"]
    assert world.row == Wanted(2, "") and world.asked[-1:] == [(2, 4)]


async def test_neither_the_head_nor_the_supervisors_node_nor_what_all_need_goes() -> None:
    for nodes, living in (
        ((NODES[0], Node(id="b", cpus=4, machine="m2", is_head=True)), LIVING),
        ((Node(id="a", cpus=0.5, machine="m1"), NODES[1]), LIVING),  # a has no room for the scheduler
    ):
        world = World(nodes, living)
        await world.look(0.1)
        await world.look(0.1, passed_s=10 * TERMS.shrink_after_s)
        assert world.row.going == "" and "done without" in world.growing.told().reason


async def test_another_life_goes_on_with_what_was_begun() -> None:
    world = World()
    world.row = Wanted(1, "b")
    world.draining.add("b")
    world.growing = world.make()
    await world.growing.begin()
    await world.look(0.1)
    assert world.done == ["leave b"]


async def test_the_supervisor_came_to_the_node_that_goes() -> None:
    world = World()
    world.row = Wanted(1, "b")
    world.draining.add("b")
    world.cluster.living = [one for one in LIVING if one.name != "supervisor"] + [Living("supervisor", "b")]
    await world.growing.begin()
    await world.look(0.1)
    assert world.done == ["bring back b", "undrain b"] and world.row == Wanted(2, "")


async def test_nodes_that_only_take_requests_stay_and_are_not_counted() -> None:
    edge = Node(id="edge", cpus=8, machine="m3", roles=frozenset({"api"}))
    world = World((*NODES, edge))
    await world.look(0.95, late_s=12)
    assert world.row == Wanted(3, "") and world.asked == [(2, 4, 8, 2)]


async def test_an_operators_drained_node_is_neither_ended_nor_replaced() -> None:
    world = World()
    await world.look(0.6)
    world.draining.add("b")
    await world.look(0.6)
    assert world.row == Wanted(2, "") and world.asked == [(2, 4)]
    assert world.done == []


@pytest.mark.parametrize("part", ["problem", "ray_problem"])
async def test_what_fails_is_tried_again_and_said(part: str) -> None:
    world = World()
    await world.look(0.6)
    setattr(world, part, "no route to host")
    await world.look(0.95, late_s=12, passed_s=SETTLE_S)
    assert "no route to host" in world.growing.told().reason
    assert len(world.asked) == 1
    setattr(world, part, "")
    await world.look(0.95, late_s=12)
    assert world.row == Wanted(3, "") and world.asked[-1:] == [(2, 4, 2)]
    assert "no route" not in world.growing.told().reason


async def test_an_actor_of_a_release_that_tells_nothing_of_it_is_not_known() -> None:
    world = World()
    await world.keeping.round()
    await world.growing.round(world, {"delivery-0-0": [Reading(name="other", kind="gauge", help="", values={"": 1})]})
    assert world.growing.told().there == 2 and world.done == []
