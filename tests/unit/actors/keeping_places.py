"""A world without Ray, in which actors are kept at their places."""

from collections.abc import Sequence

from actors.keeping import Keeping
from cluster.context import Facts, Home
from cluster.journal.journal import Unavailable
from cluster.peers import PeerGone
from cluster.policy.placement import Kind, Living, Node, Place
from cluster.tasks import Tasks

HOME = Node(id="a", cpus=8, machine="m1")


class Cluster:
    """Nodes, and what runs on them. ``problem`` is why Ray does not answer."""

    def __init__(self, nodes: Sequence[Node] = (HOME,), living: Sequence[Living] = ()) -> None:
        self.nodes = list(nodes)
        self.living = list(living)
        self.ended: list[str] = []
        self.problem = ""
        self.failing: set[str] = set()
        """Names of actors that end as soon as they are started."""
        self.started: list[str] = []
        self.fenced = ""
        """Why the supervisor may not act."""

    def keeping(self, kinds: Sequence[Kind], *, min_nodes: int = 1, tasks: Tasks | None = None) -> Keeping:
        return Keeping(
            kinds,
            Home(node_id=HOME.id, machine=HOME.machine),
            min_nodes=min_nodes,
            stop_s=1.0,
            look=self._look,
            start=self._start,
            end=self._end,
            confirm=self._confirm,
            make_tasks=lambda: tasks or Tasks(),
        )

    async def _look(self) -> Facts:
        if self.problem:
            raise PeerGone("ray", self.problem)
        return Facts(nodes=tuple(self.nodes), living=tuple(self.living))

    async def _confirm(self) -> None:
        if self.fenced:
            raise Unavailable(self.fenced)

    async def _start(self, place: Place) -> None:
        self.started.append(place.name)
        if place.name not in self.failing:
            self.living.append(Living(place.name, place.node_id))

    async def _end(self, name: str, max_wait_s: float) -> None:
        self.ended.append(name)
        if all(one.name != name for one in self.living):
            raise PeerGone(name, "gone already")
        self.living = [one for one in self.living if one.name != name]


def keeping_of(names: Sequence[str]) -> Keeping:
    """Of actors that run on one node."""
    kinds = {
        kind: Kind(name=kind, per="node" if number else "cluster", cpus=0.1)
        for kind, _, number in (name.partition("-") for name in names)
    }
    return Cluster(living=[Living(name, HOME.id) for name in names]).keeping(list(kinds.values()))
