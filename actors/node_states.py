"""The states of nodes from what the supervisor has asked. Pure."""

from collections.abc import Collection, Mapping, Sequence

from cluster.context import Facts
from cluster.metrics import Reading
from cluster.nodes import ActorState, NodeCounts, NodeState
from cluster.policy.placement import Node

METRICS = {
    "sites": "postray_sites",
    "queued": "postray_sites_queued_deliveries",
    "in_flight": "postray_sites_in_flight_messages",
    "smtp_connections": "postray_smtp_connections",
    "http_connections": "postray_http_connections",
}
"""The metrics that the counts of a node are sums of."""


def node_states(
    facts: Facts,
    left: Collection[str],
    problems: Mapping[str, str | None],
    releases: Mapping[str, str],
    readings: Mapping[str, Sequence[Reading]],
) -> list[NodeState]:
    """The nodes that take actors, in the order of their ids. ``left``: the ids of those that were taken out. The others
    are by actor; an actor that is missing in ``releases`` or ``readings`` has not answered."""
    return [
        _state(node, facts, node.id in left, problems, releases, readings)
        for node in sorted(facts.nodes, key=lambda node: node.id)
        if node.cpus
    ]


def _state(
    node: Node,
    facts: Facts,
    is_left: bool,
    problems: Mapping[str, str | None],
    releases: Mapping[str, str],
    readings: Mapping[str, Sequence[Reading]],
) -> NodeState:
    names = [one.name for one in facts.living if one.node_id == node.id]
    return NodeState(
        id=node.id,
        machine=node.machine,
        cpus=node.cpus,
        roles=None if node.roles is None else tuple(sorted(node.roles)),
        is_left=is_left,
        actors=tuple(
            ActorState(name=name, problem=problems.get(name), release=releases.get(name, "")) for name in names
        ),
        counts=_counts([reading for name in names for reading in readings.get(name, ())]),
    )


def _counts(readings: Sequence[Reading]) -> NodeCounts:
    sums = {
        name: sum(sum(reading.values.values()) for reading in readings if reading.name == metric)
        for name, metric in METRICS.items()
    }
    return NodeCounts(**{name: int(value) for name, value in sums.items()})
