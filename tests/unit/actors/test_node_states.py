"""The states of nodes, from what the supervisor has asked."""

from actors.node_states import node_states
from cluster.context import Facts
from cluster.metrics import Reading
from cluster.nodes import ActorState, NodeCounts
from cluster.policy.placement import Living, Node


def reading(name: str, **values: float) -> Reading:
    return Reading(name=name, kind="gauge", help="", values=values)


def test_each_node_has_its_actors_and_their_sums() -> None:
    facts = Facts(
        nodes=(
            Node(id="b", cpus=4, machine="10.0.0.2", roles=frozenset({"delivery", "api"})),
            Node(id="a", cpus=2, machine="10.0.0.1"),
            Node(id="head", cpus=0),
        ),
        living=(Living("api-1-0", "b"), Living("delivery-0-0", "a"), Living("delivery-0-1", "a"), Living("scheduler")),
    )
    sites = {"delivery-0-0": [reading("postray_sites", one=3)], "delivery-0-1": [reading("postray_sites", one=4)]}
    sites["api-1-0"] = [reading("postray_http_connections", a=1, b=2), reading("postray_other", one=9)]
    a, b = node_states(facts, {"b"}, {"api-1-0": "full", "delivery-0-0": None}, {"api-1-0": "1.5.0"}, sites)
    assert (a.id, a.roles, a.is_left) == ("a", None, False)
    assert a.counts == NodeCounts(sites=7, queued=0, in_flight=0, smtp_connections=0, http_connections=0)
    assert [actor.release for actor in a.actors] == ["", ""], "they have not answered"
    assert (b.machine, b.roles, b.is_left, b.counts.http_connections) == ("10.0.0.2", ("api", "delivery"), True, 3)
    assert b.actors == (ActorState(name="api-1-0", problem="full", release="1.5.0"),)
