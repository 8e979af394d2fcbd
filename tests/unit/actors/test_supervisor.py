"""The supervisor's questions, and what it concludes from the answers."""

import asyncio
from types import SimpleNamespace
from typing import cast

from actors.supervisor import (
    METRICS_S,
    NOT_ASKED,
    RELEASE_S,
    ROUND_S,
    SETTLE_S,
    SILENT_S,
    STARTING,
    STARTING_S,
    Supervisor,
)
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DeliveryActor
from cluster.journal.scheduling import Lane
from cluster.metrics import Reading
from cluster.peers import PeerGone
from cluster.policy.placement import Kind, Living, Node, Place
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.tasks import Tasks
from tests.unit.actors.keeping_places import HOME, Cluster, keeping_of
from tests.unit.virtual_time import VirtualLoop, in_virtual_time


async def never(actor: str) -> None:
    raise AssertionError(f"killed {actor}")


class Reachable:
    """A journal in which no actor is lost."""

    problem = ""

    def __init__(self) -> None:
        self.membership = SimpleNamespace(lost=self._lost)
        self.singletons = SimpleNamespace(confirm=self._confirm)
        self.left: set[str] = set()
        """Nodes that were taken out."""
        self.left_nodes = SimpleNamespace(all=self._all_left, leave=self._leave, bring_back=self._bring_back)

    async def _confirm(self) -> None:
        if self.problem:
            raise Unavailable(self.problem)

    async def _all_left(self) -> frozenset[str]:
        return frozenset(self.left)

    async def _leave(self, node_id: str, live: list[str]) -> None:
        assert node_id in live
        self.left.add(node_id)

    async def _bring_back(self, node_ids: list[str]) -> None:
        self.left.difference_update(node_ids)

    async def _lost(self, alive_s: float) -> list[Lane]:
        if self.problem:
            raise Unavailable(self.problem)
        return []


@in_virtual_time
async def test_what_is_wrong_is_said_and_a_silent_actor_is_killed() -> None:
    answers: dict[str, str | Exception | None] = {
        "well": None,
        "ill": "the disk is full",
        "gone": PeerGone("gone", "dead"),
    }
    killed: list[str] = []

    async def call(actor: str, method: str) -> str | None:
        answer = answers[actor]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def kill(actor: str) -> None:
        killed.append(actor)

    journal = Reachable()
    tasks = Tasks(on_crash=lambda name, error: killed.append(f"crash of {name}: {error!r}"))
    watch = Supervisor(cast(Journal, journal), call, keeping_of(list(answers)), kill, lambda: tasks)
    await watch.start()
    assert await watch.readiness() == {"nodes": None} | dict.fromkeys(("journal", *answers), NOT_ASKED)
    await asyncio.sleep(SILENT_S)
    assert killed == []
    await asyncio.sleep(ROUND_S + 0.1)
    assert killed == ["gone"]
    assert await watch.readiness() == {
        "journal": None,
        "nodes": None,
        "well": None,
        "ill": "the disk is full",
        "gone": "gone: dead",
    }
    journal.problem = "no route to host"
    answers["ill"] = None
    answers["gone"] = None
    await asyncio.sleep(ROUND_S)
    assert await watch.readiness() == {
        "journal": "no route to host",
        "nodes": None,
        "well": None,
        "ill": None,
        "gone": None,
    }
    await asyncio.sleep(2 * SILENT_S)
    assert killed == ["gone"], "that it answers again counts"
    answers["ill"] = PeerGone("ill", "dead")
    await asyncio.sleep(2 * SILENT_S)
    assert killed == ["gone"], "it cannot know whether it may act"
    journal.problem = ""
    await asyncio.sleep(SILENT_S + ROUND_S)
    assert killed == ["gone", "ill"]
    await watch.stop()


@in_virtual_time
async def test_the_release_of_an_actor_is_asked_now_and_then_and_when_it_is_back() -> None:
    answers: dict[str, str | Exception | None] = {"problem": None, "release": "1.0", "metrics": None}
    asked: list[str] = []

    async def call(actor: str, method: str) -> str | None:
        asked.append(method)
        answer = answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    supervisor = Supervisor(cast(Journal, Reachable()), call, keeping_of(["api-0-0"]), never)

    def release() -> str | None:
        known = supervisor._releases.get("api-0-0")
        return None if known is None else known[0]

    await supervisor.start()
    await asyncio.sleep(RELEASE_S - ROUND_S / 2)
    assert (release(), asked.count("release"), asked.count("problem")) == ("1.0", 1, 10)
    await asyncio.sleep(ROUND_S)
    assert asked.count("release") == 2
    answers["problem"] = PeerGone("api-0-0", "dead")
    await asyncio.sleep(ROUND_S)
    assert release() is None
    answers |= {"problem": None, "release": "2.0"}
    await asyncio.sleep(ROUND_S)
    assert release() == "2.0", "at once"
    answers["problem"], answers["release"] = PeerGone("api-0-0", "dead"), AttributeError("release")
    await asyncio.sleep(ROUND_S)
    answers["problem"] = None
    await asyncio.sleep(ROUND_S)
    assert release() == "", "one of an earlier release does not know the question"
    await supervisor.stop()


@in_virtual_time
async def test_a_pause_of_the_supervisor_itself_makes_no_actor_silent() -> None:
    killed: list[str] = []
    loop = cast(VirtualLoop, asyncio.get_running_loop())
    asked = 0

    async def call(actor: str, method: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            loop.pass_by(2 * SILENT_S)  # nothing runs in this process; then its timeouts are the first that it sees
            await asyncio.Event().wait()

    async def kill(actor: str) -> None:
        killed.append(actor)

    watch = Supervisor(cast(Journal, Reachable()), call, keeping_of(["delivery-0-0"]), kill)
    await watch.start()
    await asyncio.sleep(5 * SILENT_S)
    assert asked > SILENT_S and killed == []
    await watch.stop()


@in_virtual_time
async def test_the_metrics_of_all_actors_are_collected_at_once() -> None:
    told = [Reading(name="postray_meals_total", kind="counter", help="Meals.", values={"": 7})]
    asked: list[str] = []
    all_asked = asyncio.Event()

    async def call(actor: str, method: str) -> list[Reading]:
        if method == "problem":
            return await asyncio.Event().wait()  # type: ignore[return-value]
        assert method == "metrics"
        asked.append(actor)
        if len(asked) == 4:
            all_asked.set()
        await all_asked.wait()
        if actor == "gone":
            raise PeerGone("gone", "dead")
        if actor == "silent":
            await asyncio.Event().wait()
        return told

    actors = ["api-0-0", "delivery-0-0", "gone", "silent"]
    watch = Supervisor(cast(Journal, Reachable()), call, keeping_of(actors), never, Tasks)
    await watch.start()
    collected = await watch.collected_metrics()
    await watch.stop()
    assert collected.missing == {"gone": "gone: dead", "silent": f"no answer within {METRICS_S:.0f} s"}
    own = collected.readings.pop("supervisor")
    assert collected.readings == {"api-0-0": told, "delivery-0-0": told}
    assert {reading.name: dict(reading.values) for reading in own} == {
        "postray_nodes": {"": 1},
        "postray_placement_ended_total": {"": 0},
        "postray_placement_started_total": {"": 0},
        "postray_supervisor_problems": {"": 5},
        "postray_supervisor_killed_total": {"": 0},
        "postray_supervisor_taken_back_total": {"": 0},
    }


@in_virtual_time
async def test_a_node_comes_and_goes_and_the_others_stay_ready() -> None:
    cluster, joining = Cluster(), Node(id="b", cpus=8)
    answers: set[str] = {"delivery-0-0"}

    async def call(actor: str, method: str) -> None:
        if actor not in answers:
            raise PeerGone(actor, "it starts")

    watch = Supervisor(
        cast(Journal, Reachable()),
        call,
        cluster.keeping([Kind(name="delivery", per="node", cpus=0.4)]),
        never,
        lambda: Tasks(on_crash=lambda name, error: answers.add(f"{name}: {error!r}")),
    )
    await watch.start()
    await asyncio.sleep(ROUND_S)
    whole = {"journal": None, "nodes": None, "delivery-0-0": None}
    assert await watch.readiness() == whole
    cluster.nodes.append(joining)
    await asyncio.sleep(ROUND_S + 0.1)
    assert await watch.readiness() == whole | {"delivery-1-0": STARTING}
    answers.add("delivery-1-0")
    await asyncio.sleep(ROUND_S)
    assert await watch.readiness() == whole | {"delivery-1-0": None}
    # It has run: now it is gone, until its node is.
    answers.remove("delivery-1-0")
    await asyncio.sleep(ROUND_S)
    assert await watch.readiness() == whole | {"delivery-1-0": "gone: it starts"}
    cluster.nodes.remove(joining)
    cluster.living.remove(Living("delivery-1-0", "b"))
    await asyncio.sleep(ROUND_S)
    assert await watch.readiness() == whole
    await watch.stop()
    assert answers == {"delivery-0-0"}


@in_virtual_time
async def test_what_dies_while_ray_cannot_start_it_is_no_reason_to_send_clients_away() -> None:
    """The head is away; the other delivery actor has its destinations after ACTOR_ALIVE_S."""
    cluster, answers = Cluster(nodes=[HOME, Node(id="b", cpus=8)]), {"delivery-0-0", "delivery-1-0", "scheduler"}

    async def call(actor: str, method: str) -> None:
        if actor not in answers:
            raise PeerGone(actor, "it died")

    kinds = [Kind(name="delivery", per="node", cpus=0.4), Kind(name="scheduler", per="cluster", cpus=0.1)]
    watch = Supervisor(cast(Journal, Reachable()), call, cluster.keeping(kinds), never, Tasks)
    await watch.start()
    await asyncio.sleep(2 * ROUND_S)
    cluster.problem = "no answer"
    answers.remove("delivery-1-0")
    await asyncio.sleep(2 * ROUND_S)
    parts = await watch.readiness()
    assert parts["nodes"] == "degraded: places are not kept: ray: no answer"
    assert (parts["delivery-0-0"], parts["delivery-1-0"]) == (None, "degraded: gone: it died")
    answers.remove("scheduler")
    await asyncio.sleep(2 * ROUND_S)
    assert (await watch.readiness())["scheduler"] == "gone: it died", "nothing else does what it does"
    cluster.problem = ""
    await asyncio.sleep(2 * ROUND_S)
    assert (await watch.readiness())["delivery-1-0"] == "gone: it died", "Ray starts it again, at once"
    await watch.stop()


@in_virtual_time
async def test_an_actor_that_does_not_start_in_time_is_a_problem_and_no_reason_to_send_clients_away() -> None:
    cluster, answers = Cluster(), {"delivery-0-0"}

    async def call(actor: str, method: str) -> None:
        if actor not in answers:
            raise PeerGone(actor, "it starts")

    kinds = [Kind(name="delivery", per="node", cpus=0.4)]
    watch = Supervisor(cast(Journal, Reachable()), call, cluster.keeping(kinds), never, Tasks)
    await watch.start()
    cluster.nodes.append(Node(id="b", cpus=8))
    await asyncio.sleep(STARTING_S)
    assert (await watch.readiness())["delivery-1-0"] == STARTING
    await asyncio.sleep(2 * ROUND_S)
    assert (await watch.readiness())["delivery-1-0"] == "degraded: gone: it starts"
    # Now none of its kind works.
    answers.clear()
    await asyncio.sleep(ROUND_S)
    parts = await watch.readiness()
    assert (parts["delivery-0-0"], parts["delivery-1-0"]) == ("gone: it starts", "gone: it starts")
    await watch.stop()


@in_virtual_time
async def test_a_node_is_taken_out_and_brought_back() -> None:
    async def call(actor: str, method: str) -> None:
        return None

    other = Node(id="b", cpus=8, machine="m2")
    kinds = [
        Kind(name="delivery", per="node", cpus=0.4),
        Kind(name="scheduler", per="cluster", cpus=0.1),
        Kind(name="supervisor", per="cluster", cpus=0.1, moves_itself=True),
    ]
    cluster, journal = Cluster([HOME, other], [Living("supervisor", HOME.id)]), Reachable()
    watch = Supervisor(cast(Journal, journal), call, cluster.keeping(kinds), never)
    await watch.start()
    left = await watch.leave(HOME.id)
    assert (left.stays, left.missing, left.place) == ("", {}, Place("supervisor", "supervisor", "b"))
    await asyncio.sleep(3 * ROUND_S)
    assert sorted(cluster.living) == [
        Living("delivery-1-0", "b"),
        Living("scheduler", "b"),
        Living("supervisor", HOME.id),  # it does not move itself
    ]
    cluster.living = [Living(one.name, "b") for one in cluster.living]
    await watch.stop()

    watch = Supervisor(cast(Journal, journal), call, cluster.keeping(kinds), never)
    await watch.start()
    await asyncio.sleep(3 * ROUND_S)
    assert "delivery-0-0" not in await watch.readiness(), "the journal keeps it"
    refused = await watch.leave("b")
    assert refused.stays == "no other node takes the supervisor: postray down ends all"
    assert journal.left == {HOME.id}
    await watch.bring_back([HOME.id])
    await asyncio.sleep(3 * ROUND_S)
    assert (await watch.readiness())["delivery-0-0"] is None
    await watch.stop()


@in_virtual_time
async def test_others_settle_what_a_lost_actor_had_accepted_before_it_is_taken_back() -> None:
    done: list[str] = []

    async def call(actor: str, method: str, lost: str = "") -> None:
        if method == "settle_of":
            match actor:
                case "delivery-1-0":
                    await asyncio.sleep(0.5)
                case "delivery-2-0":
                    raise PeerGone(actor, "dead")
                case "delivery-3-0":
                    await asyncio.sleep(10 * SETTLE_S)
                case "delivery-4-0":
                    raise AttributeError(method)  # as an earlier release answers
            done.append(f"{actor} settled {lost}")

    async def lost(alive_s: float) -> list[DeliveryActor]:
        return [DeliveryActor("delivery-0-0", 7)]

    async def retire(name: str, epoch: int) -> int:
        done.append(f"retired {name} of {epoch}")
        return 3

    journal = Reachable()
    journal.membership = SimpleNamespace(lost=lost, retire=retire)
    nodes = [Node(id=id_, cpus=8, machine="m1") for id_ in "abcde"]
    cluster = Cluster(nodes, [Living(f"delivery-{i}-0", node.id) for i, node in enumerate(nodes)])
    kinds = [Kind(name="delivery", per="node", cpus=0.4), Kind(name="scheduler", per="cluster", cpus=0.1)]
    watch = Supervisor(cast(Journal, journal), call, cluster.keeping(kinds), never)
    await watch.start()
    await asyncio.sleep(ACTOR_ALIVE_S)
    assert done == []
    began = asyncio.get_running_loop().time()
    while not any(line.startswith("retired") for line in done):
        await asyncio.sleep(0.1)
    assert done[:2] == ["delivery-1-0 settled delivery-0-0", "retired delivery-0-0 of 7"]
    assert asyncio.get_running_loop().time() - began < SETTLE_S + 3 * ROUND_S
    await watch.stop()
