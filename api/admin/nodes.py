"""GET /api/admin/nodes: the live nodes of the cluster, what runs on each, and what it carries now."""

from collections.abc import Mapping
from typing import Literal

from litestar import get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from api.admin.asking import ask
from api.http.errors import answers
from cluster.journal.journal import Journal
from cluster.journal.membership import NodeLoad
from cluster.nodes import ActorState, NodeCounts, NodeState, WantedNodes
from cluster.peers import Call
from cluster.policy.placement import kind_of
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.topology import LISTENING

State = Literal["working", "draining", "drained", "taken out"]


class NodeView(Struct, frozen=True, kw_only=True):
    """A node. ``roles``: null is all."""

    id: str
    machine: str
    cpus: float
    roles: tuple[str, ...] | None
    state: State
    """``drained``: no delivery actor of it holds anything, and it takes no more requests and no more mail. ``taken
    out``: by postray down --node."""
    releases: list[str]
    """The releases of postray that its processes run; more than one while it changes."""
    actors: tuple[ActorState, ...]
    sources: list[str]
    """The sources that its delivery actors send from; none while it drains."""
    held: int
    """Deliveries that it has taken from the queue."""
    counts: NodeCounts


class NodeList(Struct, frozen=True):
    """``nodes`` in the order of their ids. ``wanted``: how many are wanted and why; null where none are asked for.
    ``problem``: of the cluster as a whole, as in ``/readyz``: too few nodes, or a Ray that does not answer, so that the
    nodes are those of the last time that it did."""

    nodes: list[NodeView]
    wanted: WantedNodes | None
    problem: str | None


class NodeCalls:
    """The route of this module."""

    def __init__(self, journal: Journal, call: Call) -> None:
        self._journal = journal
        self._call = call

    def handlers(self) -> list[HTTPRouteHandler]:
        route = get("/nodes", responses=answers(401, 503), summary="The nodes, their actors, and what they carry")
        return [route(self.listing)]

    async def listing(self) -> NodeList:
        nodes: list[NodeState] = await ask(self._call, "supervisor", "nodes")
        loads = {load.node_id: load for load in await self._journal.membership.nodes()}
        sources = {one.name: one.sources for one in await self._journal.membership.actors(ACTOR_ALIVE_S)}
        views = [_view(node, loads.get(node.id), sources) for node in nodes]
        parts: dict[str, str | None] = await ask(self._call, "supervisor", "readiness")
        return NodeList(views, await self._wanted(), parts.get("nodes"))

    async def _wanted(self) -> WantedNodes | None:
        try:
            wanted: WantedNodes | None = await ask(self._call, "supervisor", "wanted_nodes")
        except AttributeError:  # a supervisor of an earlier release
            return None
        return wanted


def _view(node: NodeState, load: NodeLoad | None, sources: Mapping[str, frozenset[str]]) -> NodeView:
    return NodeView(
        id=node.id,
        machine=node.machine,
        cpus=node.cpus,
        roles=node.roles,
        state=_state(node, load),
        releases=sorted({actor.release for actor in node.actors if actor.release}),
        actors=node.actors,
        sources=sorted({source for actor in node.actors for source in sources.get(actor.name, ())}),
        held=load.held if load is not None else 0,
        counts=node.counts,
    )


def _state(node: NodeState, load: NodeLoad | None) -> State:
    if node.is_left:
        return "taken out"
    if load is not None and load.draining:
        listening = {actor.name for actor in node.actors if kind_of(actor.name) in LISTENING}
        return "draining" if load.held or listening - set(load.closed) else "drained"
    return "working"
