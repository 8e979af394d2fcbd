"""Where actors run: the plan of one round, and where rounds lead while nodes come and go."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.policy.placement import Kind, Living, Node, Place, Plan, plan

API = Kind(name="api", per="node", cpus=0.4, role="api")
DELIVERY = Kind(name="delivery", per="node", count=2, cpus=0.4, role="delivery")
SCHEDULER = Kind(name="scheduler", per="cluster", cpus=0.1, role="delivery")
RECORDER = Kind(name="recorder", per="cluster", cpus=0.2, role="analytics", stays=True)
SUPERVISOR = Kind(name="supervisor", per="cluster", cpus=0.1, moves_itself=True)
KINDS = (RECORDER, DELIVERY, SCHEDULER, SUPERVISOR, API)

A, B, C = (Node(id=id, cpus=2, machine="m1") for id in "abc")


class World:
    """What Ray makes of plans: it starts what it is told to, ends what was on a node that died, and starts elsewhere
    what moves itself."""

    def __init__(self, nodes: Sequence[Node], kinds: Sequence[Kind] = KINDS, living: Sequence[Living] = ()) -> None:
        self.nodes = list(nodes)
        self.kinds = list(kinds)
        self.living = {one.name: one for one in living}
        self.started: list[str] = []
        self.stopped: list[str] = []

    def plan(self) -> Plan:
        return plan(self.nodes, self.kinds, self.living.values(), home="m1")

    def round(self) -> Plan:
        made = self.plan()
        for name in made.stop:
            del self.living[name]
            self.stopped.append(name)
        for place in made.start:
            assert place.name not in self.living, "two of one name"
            self.living[place.name] = Living(place.name, place.node_id)
            self.started.append(place.name)
        return made

    def leaves(self, node: Node) -> Plan:
        """It is taken out; what moves itself is moved by the command."""
        self.nodes[self.nodes.index(node)] = replace(node, is_left=True)
        return self.settle()

    def settle(self) -> Plan:
        for _ in range(4):
            if (made := self.round()).is_done:
                return made
        raise AssertionError(f"no end of it: {made}")

    def dies(self, node: Node) -> None:
        self.nodes.remove(node)
        moving = {kind.name for kind in self.kinds if kind.moves_itself}
        gone = [one for one in self.living.values() if one.node_id == node.id]
        for one in gone:
            del self.living[one.name]
            if one.name in moving and self.nodes:
                self.living[one.name] = Living(one.name, self.nodes[-1].id)

    def where(self) -> dict[str, str]:
        return {name: one.node_id for name, one in sorted(self.living.items())}


def test_the_first_node_has_everything() -> None:
    world = World([A])
    assert world.plan().start == (
        Place("recorder", "recorder", "a"),
        Place("delivery-0-0", "delivery", "a"),
        Place("delivery-0-1", "delivery", "a"),
        Place("scheduler", "scheduler", "a"),
        Place("supervisor", "supervisor", "a"),
        Place("api-0-0", "api", "a"),
    )
    world.settle()
    assert world.plan().missing == {}


def test_a_node_that_joins_gets_its_share_and_nobody_moves() -> None:
    world = World([A])
    world.settle()
    before = world.where()
    world.nodes.insert(0, B)
    assert [place.name for place in world.round().start] == ["delivery-1-0", "delivery-1-1", "api-1-0"]
    assert world.where() == before | {"delivery-1-0": "b", "delivery-1-1": "b", "api-1-0": "b"}
    assert world.plan().is_done


def test_a_node_that_dies_is_forgotten_and_what_is_one_of_a_kind_moves() -> None:
    world = World([A, B])
    world.settle()
    world.dies(A)
    made = world.settle()
    assert world.where() == {
        "api-1-0": "b",
        "delivery-1-0": "b",
        "delivery-1-1": "b",
        "recorder": "b",
        "scheduler": "b",
        "supervisor": "b",
    }
    assert made.missing == {}
    # The number is free for the next node.
    world.nodes.append(C)
    world.settle()
    assert world.where()["delivery-0-0"] == "c" and world.where()["scheduler"] == "b"


def test_while_ray_has_not_ended_what_died_its_name_is_not_given_again() -> None:
    world = World([A, B])
    world.settle()
    world.nodes = [B, C]
    made = world.plan()
    assert made.stop == ()
    assert {place.name for place in made.start} == set(), "all names of the dead node are still taken"
    assert {"scheduler", "delivery-0-0"} <= {place.name for place in made.places}


def test_an_actor_whose_node_is_not_known_yet_counts() -> None:
    waiting = [Living(name) for name in ("delivery-0-0", "delivery-0-1", "api-0-0", "recorder", "scheduler")]
    made = plan([A], KINDS, waiting, home="m1")
    assert [place.name for place in made.start] == ["supervisor"]
    assert made.stop == ()


def test_while_ray_starts_actors_again_their_node_keeps_its_number() -> None:
    world = World([B, C])
    last = world.settle().places
    dead_and_back = [replace(one, node_id="" if one.node_id == "b" else one.node_id) for one in world.living.values()]
    made = plan([A, B, C], world.kinds, dead_and_back, home="m1", last=last)
    assert made.stop == ()
    assert {(place.name, place.node_id) for place in made.start} == {
        ("delivery-2-0", "a"),
        ("delivery-2-1", "a"),
        ("api-2-0", "a"),
    }


def test_the_last_plan_says_nothing_of_a_node_that_died() -> None:
    last = plan([A], KINDS, (), home="m1").places
    waiting = [Living(place.name) for place in last]
    made = plan([B], KINDS, waiting, home="m1", last=last)
    assert made.is_done
    assert {place.node_id for place in made.places if place.name != place.kind} == {"b"}


def test_a_node_on_which_nothing_runs_that_every_node_has_needs_no_number() -> None:
    counting = replace(A, roles=frozenset({"analytics"}))
    world = World([counting, B])
    assert world.settle().missing == {}
    assert world.where() == {
        "api-0-0": "b",
        "delivery-0-0": "b",
        "delivery-0-1": "b",
        "recorder": "b",
        "scheduler": "b",
        "supervisor": "b",
    }
    world.dies(B)
    world.settle()
    assert world.where() == {"recorder": "a", "supervisor": "a"}


def test_data_on_one_machine_keeps_its_actor_there() -> None:
    other = replace(B, machine="m2")
    world = World([A, other])
    world.settle()
    world.dies(A)
    made = world.settle()
    assert made.missing == {"recorder": "its data is on m1, which no live node is on"}
    assert "recorder" not in world.living and world.where()["scheduler"] == "b"
    world.nodes.append(C)
    assert world.settle().missing == {}
    assert world.where()["recorder"] == "c"


def test_roles() -> None:
    edge = replace(A, roles=frozenset({"api"}))
    sending = replace(B, roles=frozenset({"delivery"}))
    world = World([edge, sending])
    made = world.settle()
    assert made.missing == {"recorder": "no live node has the role analytics"}
    assert world.where() == {
        "api-0-0": "a",
        "delivery-1-0": "b",
        "delivery-1-1": "b",
        "scheduler": "b",
        "supervisor": "a",
    }
    world.dies(sending)
    assert world.settle().missing == {
        "recorder": "no live node has the role analytics",
        "delivery": "no live node has the role delivery",
        "scheduler": "no live node has the role delivery",
    }


def test_what_finds_no_room_is_named() -> None:
    small = replace(A, cpus=1)
    made = plan([small], (DELIVERY, API, SCHEDULER), (), home="m1")
    assert [place.name for place in made.start] == ["delivery-0-0", "delivery-0-1", "scheduler"]
    assert made.missing == {"api-0-0": "its node has no 0.4 CPUs left"}
    tiny = replace(A, cpus=0.05)
    assert plan([tiny], (SCHEDULER,), ()).missing == {"scheduler": "no node has 0.1 CPUs left"}


def test_a_head_without_cpus_is_no_place_and_misses_nothing() -> None:
    head = replace(A, cpus=0)
    made = plan([head, B], KINDS, (), home="m1")
    assert {place.node_id for place in made.places} == {"b"} and made.missing == {}
    assert made.places[1].name == "delivery-0-0"


def test_two_starts_at_once_are_put_right() -> None:
    """Each took its own node for the first."""
    living = [
        Living("delivery-0-0", "a"),
        Living("delivery-1-0", "a"),
        Living("delivery-1-1", "a"),
        Living("delivery-0-1", "b"),
        Living("api-0-0", "b"),
    ]
    world = World([A, B], living=living)
    world.settle()
    assert world.where() == {
        "api-0-0": "b",
        "api-1-0": "a",
        "delivery-0-0": "b",
        "delivery-0-1": "b",
        "delivery-1-0": "a",
        "delivery-1-1": "a",
        "recorder": "b",
        "scheduler": "b",
        "supervisor": "b",
    }


def test_what_is_no_longer_asked_for_is_stopped_and_a_stranger_is_left_alone() -> None:
    world = World([A], living=[Living("stranger", "a"), Living("stranger-0-0", "a"), Living("delivery-x-0", "a")])
    world.settle()
    world.kinds[1] = replace(DELIVERY, count=1)
    assert world.plan().stop == ("delivery-0-1",)
    world.settle()
    assert {"stranger", "stranger-0-0"} <= world.living.keys()


_NODES = st.lists(
    st.builds(
        Node,
        id=st.uuids().map(str),
        cpus=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 8.0]),
        machine=st.sampled_from(["m1", "m2"]),
        roles=st.none() | st.frozensets(st.sampled_from(["api", "delivery", "analytics"])),
    ),
    max_size=6,
    unique_by=lambda node: node.id,
)


def is_right(world: World, made: Plan) -> None:
    """What holds whenever a plan is done."""
    nodes = {node.id: node for node in world.nodes}
    kinds = {kind.name: kind for kind in world.kinds}
    for one in world.living.values():
        kind, node = kinds[one.name.split("-")[0]], nodes[one.node_id]
        if not kind.moves_itself:
            assert not kind.role or node.roles is None or kind.role in node.roles
            assert not kind.stays or node.machine == "m1"
    for kind in kinds.values():
        for node_id in nodes:
            here = [one for one in world.living.values() if one.name.startswith(kind.name) and one.node_id == node_id]
            assert len(here) <= kind.count
            numbers = {one.name.split("-")[1] for one in here if kind.per == "node"}
            assert len(numbers) <= 1
        if kind.per == "cluster":
            assert (kind.name in world.living) != (kind.name in made.missing)
    assert {place.name for place in made.places} == world.living.keys()


def cpus_on(node: Node, world: World) -> float:
    """What it was given; Ray moves what moves itself without asking."""
    cpus = {kind.name: kind.cpus for kind in world.kinds if not kind.moves_itself}
    return sum(cpus.get(one.name.split("-")[0], 0.0) for one in world.living.values() if one.node_id == node.id)


@settings(deadline=None)
@given(_NODES, st.data())
def test_rounds_end_whatever_comes_and_goes(nodes: list[Node], data: st.DataObject) -> None:
    coming = list(nodes)
    world = World([])
    for _ in range(2 * len(nodes)):
        if data.draw(st.booleans(), "joins") and coming:
            world.nodes.append(coming.pop())
        elif world.nodes:
            world.dies(world.nodes[data.draw(st.integers(0, len(world.nodes) - 1), "dies")])
        if data.draw(st.booleans(), "in between"):
            world.round()
            continue
        made = world.settle()
        is_right(world, made)
        for node in world.nodes:
            assert cpus_on(node, world) <= node.cpus + 1e-6, "never more than a node has room for"
        again = world.plan()
        assert again.is_done and again.places == made.places
        shuffled: list[Node] = data.draw(st.permutations(world.nodes), "order")
        assert plan(shuffled, KINDS, world.living.values(), home="m1").is_done, "nobody moves without need"


@settings(deadline=None)
@given(_NODES, st.data())
def test_any_state_is_put_right(nodes: list[Node], data: st.DataObject) -> None:
    """As hands, bugs and races may have left it."""
    ids = [node.id for node in nodes] or [""]
    names = [
        "recorder",
        "scheduler",
        *(f"{kind}-{n}-{i}" for kind in ("delivery", "api") for n in "012" for i in "012"),
    ]
    living = [
        Living(name, data.draw(st.sampled_from(ids), name))
        for name in data.draw(st.lists(st.sampled_from(names), unique=True), "living")
        if nodes
    ]
    world = World(nodes, living=living)
    is_right(world, world.settle())


def test_on_a_node_that_was_taken_out_nothing_runs_until_it_is_back() -> None:
    world = World([A, B])
    world.settle()
    before = dict(world.living)
    made = world.leaves(A)
    assert made.missing == {}
    assert {one.node_id for one in world.living.values()} == {"b"}
    assert {one.name for one in world.living.values()} == {
        "api-1-0",
        "delivery-1-0",
        "delivery-1-1",
        "recorder",
        "scheduler",
        "supervisor",
    }, "the others stay as they are"
    world.nodes[0] = A
    world.settle()
    assert world.living.keys() == before.keys()
    assert world.living["delivery-0-0"].node_id == "a"


def test_what_cannot_move_is_missing_when_its_node_is_taken_out() -> None:
    world = World([A, replace(B, machine="m2")])
    world.settle()
    assert world.leaves(A).missing == {"recorder": "its data is on m1, which no live node is on"}


def test_the_last_node_that_is_taken_out_leaves_no_place_for_the_supervisor() -> None:
    world = World([A])
    world.settle()
    assert world.leaves(A).missing["supervisor"] == "there is no live node for it"
