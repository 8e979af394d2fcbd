"""Which actor runs on which node: the nodes and the living actors in, what is to be started and stopped out.

The supervisor performs it every second (``actors/keeping.py``), and ``postray up`` once (``cluster/up.py``). A round
starts only names that no living actor has, so an actor moves in two: it is stopped in one, and started in a later one.
What is placed stays where it is for as long as it may be there.

A node has a *number*, by which its actors are named ("delivery-2-0"): the least that no other node has, and it keeps it
as long as one of them lives. So the actors themselves are the memory of it, and the last plan while Ray does not say
where they are. A node on which nothing may run that every node has needs no number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Literal

from msgspec import Struct, structs

from cluster.policy.forms import Form

CPU_DIGITS = 4
"""Ray counts CPUs in ten-thousandths; sums of decimal fractions are rounded to them."""


class Node(Form, frozen=True, kw_only=True):
    """A node that is alive."""

    id: str
    cpus: float
    """Logical CPUs, for all that runs on it. A node without any takes no actors: a head may be one."""
    machine: str = ""
    """The address of its machine, on whose disk its data is."""
    roles: frozenset[str] | None = None
    """None: all."""
    is_left: bool = False
    """Whether it was taken out: nothing may run on it."""
    is_head: bool = False
    """Whether Ray's control service runs on it, so that it is never given back."""

    def has_role(self, role: str | None) -> bool:
        """Whether actors of this role may run on it; without one they may run anywhere."""
        return not role or self.roles is None or role in self.roles


class Kind(Struct, frozen=True, kw_only=True):
    """Actors of one kind, as they are asked for."""

    name: str
    """Without a hyphen."""
    per: Literal["cluster", "node"]
    count: int = 1
    """How many of it run on a node. There is one of it in a cluster."""
    cpus: float
    role: str = ""
    """The role of the nodes that it may run on; "" is any."""
    stays: bool = False
    """Whether its data is on one machine, so that it can run on no other."""
    moves_itself: bool = False
    """Whether Ray starts it on another node when its own dies."""


class Living(Form, frozen=True, order=True):
    """An actor that runs, or that Ray is about to start. ``node_id`` is "" while it is not known."""

    name: str
    node_id: str = ""


class Place(Form, frozen=True):
    """Where an actor belongs."""

    name: str
    kind: str
    node_id: str


def kind_of(name: str) -> str:
    """The kind of the actor with this name."""
    return name.partition("-")[0]


class Plan(Struct, frozen=True, kw_only=True):
    start: tuple[Place, ...]
    """In the order of the kinds."""
    stop: tuple[str, ...]
    """They run where they may not, or more of them than are asked for."""
    places: tuple[Place, ...]
    """Where every actor belongs, those that are to be started among them, in the order of the kinds."""
    missing: Mapping[str, str]
    """Names that are asked for and cannot be placed, and why."""

    @property
    def is_done(self) -> bool:
        """Whether every actor is at its place, or nothing more can be done."""
        return not self.start and not self.stop


def plan(
    nodes: Sequence[Node],
    kinds: Sequence[Kind],
    living: Iterable[Living],
    *,
    home: str = "",
    last: Iterable[Place] = (),
) -> Plan:
    """What brings the actors to their places. New nodes get their numbers in the order of ``nodes``; what there is one
    of goes to the first node that has room for it. ``home``: the machine with the data of what stays. ``last``: the
    places of the plan before, by which those count whose node is not known while Ray starts them again."""
    live = {node.id for node in nodes}
    former = {place.name: place.node_id for place in last if place.node_id in live}
    known = (one if one.node_id else structs.replace(one, node_id=former.get(one.name, "")) for one in living)
    return _Planning([node for node in nodes if node.cpus], kinds, sorted(known), home).plan()


class _Planning:
    """One plan in the making. Room is given to what is placed first; then each kind in turn gets the rest."""

    def __init__(self, nodes: Sequence[Node], kinds: Sequence[Kind], living: Sequence[Living], home: str) -> None:
        self._nodes = {node.id: node for node in nodes}
        self._kinds = kinds
        self._living = {one.name: one for one in living}
        self._home = home
        self._numbers = self._numbered()
        self._places: dict[str, Place] = {}
        self._missing: dict[str, str] = {}
        self._room = {node.id: node.cpus for node in nodes}

    def plan(self) -> Plan:
        for kind in self._kinds:
            self._keep(kind)
        # What every node has comes before what moves among them.
        for kind in self._kinds:
            if kind.per == "node":
                self._fill(kind)
        for kind in self._kinds:
            if kind.per == "cluster" and kind.name not in self._places:
                self._choose(kind)
        order = {kind.name: number for number, kind in enumerate(self._kinds)}
        places = sorted(self._places.values(), key=lambda place: (order[place.kind], *_parts(place.name)))
        return Plan(
            start=tuple(place for place in places if place.name not in self._living),
            stop=tuple(one.name for one in self._living.values() if self._is_out_of_place(one)),
            places=tuple(places),
            missing=self._missing,
        )

    def _numbered(self) -> dict[str, int]:
        """The number of each node. One that has actors of several numbers, as two starts at once can bring about, keeps
        the number of most of them."""
        here = Counter(
            (number, one.node_id)
            for one in self._living.values()
            if one.node_id in self._nodes and (number := self._number_in(one.name)) is not None
        )
        numbers: dict[str, int] = {}
        for (number, node_id), _ in sorted(here.items(), key=lambda item: (-item[1], item[0])):
            if node_id not in numbers and number not in numbers.values() and self._needs_number(node_id):
                numbers[node_id] = number
        # Numbers of actors whose node is not known are free: these are on their way to the very nodes that get them, or
        # were on a node that has just died.
        taken = set(numbers.values())
        free = (number for number in count() if number not in taken)
        for node_id in self._nodes:
            if node_id not in numbers and self._needs_number(node_id):
                numbers[node_id] = next(free)
        return numbers

    def _needs_number(self, node_id: str) -> bool:
        return any(kind.per == "node" and self._suits(self._nodes[node_id], kind) for kind in self._kinds)

    def _number_in(self, name: str) -> int | None:
        """The number of the node in an actor's name; None where it has none, or is none of ours."""
        kind, number, _ = _parts(name)
        return number if number >= 0 and any(kind == one.name and one.per == "node" for one in self._kinds) else None

    def _keep(self, kind: Kind) -> None:
        """Leave what is placed where it is, if it may be there."""
        for place in self._asked_for(kind):
            one = self._living.get(place.name)
            if one is not None and self._may_be(one, place, kind):
                # While Ray is moving it, its node is not known.
                node_id = one.node_id if one.node_id in self._nodes else place.node_id
                self._take(kind, Place(place.name, kind.name, node_id))

    def _asked_for(self, kind: Kind) -> list[Place]:
        """All of a kind that are asked for; for one of a cluster the node is open."""
        if kind.per == "cluster":
            return [Place(kind.name, kind.name, "")]
        by_number = sorted(self._numbers, key=lambda node_id: self._numbers[node_id])
        return [
            Place(f"{kind.name}-{self._numbers[node_id]}-{i}", kind.name, node_id)
            for node_id in by_number
            if self._suits(self._nodes[node_id], kind)
            for i in range(kind.count)
        ]

    def _may_be(self, one: Living, place: Place, kind: Kind) -> bool:
        if not one.node_id:
            return True
        if kind.moves_itself:
            return one.node_id not in self._nodes or not self._nodes[one.node_id].is_left
        if place.node_id:
            return one.node_id == place.node_id
        return one.node_id in self._nodes and self._suits(self._nodes[one.node_id], kind)

    def _fill(self, kind: Kind) -> None:
        asked_for = self._asked_for(kind)
        if not asked_for:
            self._missing[kind.name] = self._without_a_node(kind)
        for place in asked_for:
            if place.name in self._places:
                continue
            if self._has_room(place.node_id, kind):
                self._take(kind, place)
            else:
                self._missing[place.name] = f"its node has no {kind.cpus:g} CPUs left"

    def _choose(self, kind: Kind) -> None:
        suiting = [node_id for node_id, node in self._nodes.items() if self._suits(node, kind)]
        with_room = [node_id for node_id in suiting if self._has_room(node_id, kind)]
        if with_room:
            first = min(with_room, key=lambda node_id: self._numbers.get(node_id, len(self._nodes)))
            self._take(kind, Place(kind.name, kind.name, first))
        elif suiting:
            self._missing[kind.name] = f"no node has {kind.cpus:g} CPUs left"
        else:
            self._missing[kind.name] = self._without_a_node(kind)

    def _without_a_node(self, kind: Kind) -> str:
        nodes = [node for node in self._nodes.values() if not node.is_left]
        if kind.stays and not any(node.machine == self._home for node in nodes):
            return f"its data is on {self._home}, which no live node is on"
        return f"no live node has the role {kind.role}" if kind.role else "there is no live node for it"

    def _suits(self, node: Node, kind: Kind) -> bool:
        return not node.is_left and node.has_role(kind.role) and (not kind.stays or node.machine == self._home)

    def _has_room(self, node_id: str, kind: Kind) -> bool:
        return round(self._room[node_id] - kind.cpus, CPU_DIGITS) >= 0

    def _take(self, kind: Kind, place: Place) -> None:
        self._places[place.name] = place
        if place.node_id in self._room:
            self._room[place.node_id] -= kind.cpus

    def _is_out_of_place(self, one: Living) -> bool:
        """Whether it is ours, on a live node, and has no place there. What was on a node that died is Ray's to end."""
        kind, _, _ = _parts(one.name)
        if one.node_id not in self._nodes or all(kind != known.name for known in self._kinds):
            return False
        place = self._places.get(one.name)
        return place is None or place.node_id != one.node_id


def _parts(name: str) -> tuple[str, int, int]:
    """The kind, the node's number and the actor's number on it; -1 where there are none."""
    kind, *numbers = name.split("-")
    if len(numbers) == 2 and all(number.isascii() and number.isdecimal() for number in numbers):
        return kind, int(numbers[0]), int(numbers[1])
    return kind, -1, -1
