"""Rounds of keeping actors at their places, and what is said of them."""

import asyncio

from actors.keeping import FORGOTTEN_S, NODES
from cluster.context import DEGRADED
from cluster.policy.placement import Kind, Living, Node
from cluster.tasks import Tasks
from tests.unit.actors.keeping_places import HOME, Cluster
from tests.unit.virtual_time import in_virtual_time, settle

DELIVERY = Kind(name="delivery", per="node", cpus=0.4)
SCHEDULER = Kind(name="scheduler", per="cluster", cpus=0.1)
RECORDER = Kind(name="recorder", per="cluster", cpus=0.2, stays=True)
B = Node(id="b", cpus=8, machine="m2")
SMALL = Node(id="c", cpus=0.1, machine="m3")


async def test_a_node_that_joins_gets_its_actors_and_one_that_dies_is_forgotten() -> None:
    cluster = Cluster()
    keeping = cluster.keeping([DELIVERY, SCHEDULER], min_nodes=2)
    assert keeping.actors == []
    assert keeping.problems() == {NODES: "not looked at yet"}
    await keeping.round()
    assert keeping.actors == ["delivery-0-0", "scheduler"]
    assert keeping.problems() == {NODES: "degraded: 1 of 2 nodes (cluster.min_nodes)"}
    cluster.nodes.append(B)
    await keeping.round()
    assert Living("delivery-1-0", "b") in cluster.living
    assert keeping.problems() == {NODES: None}
    cluster.nodes.remove(B)
    cluster.living.remove(Living("delivery-1-0", "b"))
    await keeping.round()
    assert keeping.actors == ["delivery-0-0", "scheduler"]
    assert keeping.problems() == {NODES: "degraded: 1 of 2 nodes (cluster.min_nodes)"}
    assert (keeping.started, keeping.ended) == (3, 0)


async def test_its_own_node_is_the_first() -> None:
    cluster = Cluster([Node(id="0", cpus=8), HOME])
    await cluster.keeping([DELIVERY, SCHEDULER]).round()
    assert cluster.living == [Living("delivery-0-0", "a"), Living("delivery-1-0", "0"), Living("scheduler", "a")]


async def test_what_has_no_place_is_ended_once_and_not_waited_for() -> None:
    cluster = Cluster(living=[Living("delivery-0-0", "a"), Living("delivery-7-0", "a"), Living("of others", "a")])
    keeping = cluster.keeping([DELIVERY])
    await keeping.round()
    await keeping.round()
    assert cluster.ended == []
    await asyncio.sleep(0)
    assert cluster.ended == ["delivery-7-0"]
    await keeping.round()
    await asyncio.sleep(0)
    assert (cluster.ended, keeping.ended) == (["delivery-7-0"], 1)
    assert Living("of others", "a") in cluster.living
    await keeping.stop()


async def test_one_that_is_gone_before_it_is_ended_is_no_error() -> None:
    crashes: list[str] = []
    cluster = Cluster(living=[Living("delivery-0-0", "a"), Living("delivery-7-0", "a")])
    keeping = cluster.keeping(
        [DELIVERY], tasks=Tasks(on_crash=lambda name, error: crashes.append(f"{name}: {error!r}"))
    )
    await keeping.round()
    cluster.living.remove(Living("delivery-7-0", "a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (cluster.ended, crashes, keeping.ended) == (["delivery-7-0"], [], 0)


@in_virtual_time
async def test_what_ends_as_soon_as_it_starts_is_started_less_and_less_often() -> None:
    cluster = Cluster()
    cluster.failing.add("scheduler")
    keeping = cluster.keeping([DELIVERY, SCHEDULER])
    clock = asyncio.get_running_loop().time
    began, at = clock(), []
    while clock() - began < 200:
        before = len(cluster.started)
        await keeping.round()
        if "scheduler" in cluster.started[before:]:
            at.append(round(clock() - began))
        await asyncio.sleep(1)
    assert at == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert cluster.started.count("delivery-0-0") == 1
    # One that has lived for long is started at once.
    cluster.failing.clear()
    while Living("scheduler", "a") not in cluster.living:
        await asyncio.sleep(1)
        await keeping.round()
    await asyncio.sleep(FORGOTTEN_S)
    cluster.living.remove(Living("scheduler", "a"))
    await keeping.round()
    assert Living("scheduler", "a") in cluster.living
    cluster.living.remove(Living("scheduler", "a"))
    await asyncio.sleep(1)
    await keeping.round()
    assert Living("scheduler", "a") in cluster.living, "the waits began anew"


async def test_what_is_missing_is_said() -> None:
    cluster = Cluster([B, SMALL])
    keeping = cluster.keeping([DELIVERY, SCHEDULER, RECORDER])
    await keeping.round()
    assert keeping.problems() == {
        NODES: None,
        "delivery-1-0": "degraded: its node has no 0.4 CPUs left",
        "recorder": "its data is on m1, which no live node is on",
    }


async def test_while_ray_does_not_answer_all_stays_as_it_is() -> None:
    cluster = Cluster()
    keeping = cluster.keeping([DELIVERY])
    await keeping.round()
    cluster.problem = "no answer within 5 s"
    await keeping.round()
    assert keeping.actors == ["delivery-0-0"]
    assert keeping.problems() == {NODES: "degraded: places are not kept: ray: no answer within 5 s"}
    cluster.problem = ""
    await keeping.round()
    assert keeping.problems() == {NODES: None}


@in_virtual_time
async def test_one_that_may_not_act_any_more_starts_and_ends_nothing() -> None:
    cluster = Cluster(living=[Living("delivery-7-0", HOME.id)])
    keeping = cluster.keeping([Kind(name="delivery", per="cluster", cpus=0.4)])
    cluster.fenced = "a newer supervisor works"
    await keeping.round()
    assert (cluster.started, cluster.ended) == ([], [])
    assert keeping.problems()["nodes"] == f"{DEGRADED}places are not kept: journal unavailable: {cluster.fenced}"
    cluster.fenced = ""
    await keeping.round()
    await settle()
    assert (cluster.started, cluster.ended) == (["delivery"], ["delivery-7-0"])
    await keeping.stop()
