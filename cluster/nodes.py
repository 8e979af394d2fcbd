"""A node of the cluster as the supervisor sees it, for operators."""

from cluster.policy.forms import Form


class ActorState(Form, frozen=True, kw_only=True):
    """An actor of a node."""

    name: str
    problem: str | None
    release: str
    """The release of postray that its process runs; empty when it does not answer."""


class NodeCounts(Form, frozen=True, kw_only=True):
    """What a node carries now: the sums over its actors."""

    sites: int
    """That its delivery actors have in memory."""
    queued: int
    """Deliveries that wait there."""
    in_flight: int
    """Messages on the wire."""
    smtp_connections: int
    http_connections: int


class WantedNodes(Form, frozen=True, kw_only=True):
    """How many nodes the cluster wants that send, and why."""

    wanted: int
    there: int
    """Without the one that goes."""
    least: int
    """``cluster.min_nodes``."""
    most: int
    """``cluster.max_nodes``."""
    going: str
    """The id of the node that is drained to be given back; empty when none is."""
    reason: str


class NodeState(Form, frozen=True, kw_only=True):
    """A live node that takes actors. ``roles``: None is all."""

    id: str
    machine: str
    cpus: float
    roles: tuple[str, ...] | None
    is_left: bool
    """Whether it was taken out (``postray down --node``)."""
    actors: tuple[ActorState, ...]
    counts: NodeCounts
