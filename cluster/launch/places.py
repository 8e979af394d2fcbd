"""Which nodes and actors there are, ending an actor, and asking for nodes.

Ray's control service is asked, which is on the head: each function here waits as long as that is away (questions.py).
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cluster.context import Facts
from cluster.launch.questions import Questions
from cluster.peers import PeerGone
from cluster.policy.placement import Living, Node

log = logging.getLogger(__name__)

NAMESPACE = "postray"
ROLES_LABEL = "postray.roles"
"""The label of a node with its roles, joined by ``BETWEEN_ROLES``: Ray takes neither commas nor spaces in a label."""
BETWEEN_ROLES = "_"
HEAD = "node:__internal_head__"
"""What Ray counts as a resource of the head alone."""


def living() -> list[Living]:
    """The actors that run, or that Ray is about to start."""
    from ray._private.state import state

    # The node of one that does not run yet is not the one that it will run on.
    running = state.actor_table(None, actor_state_name="ALIVE").values()
    node_ids = {actor["Name"]: actor["Address"]["NodeID"] for actor in running}
    return [Living(name, node_ids.get(name, "")) for name in names()]


def names() -> list[str]:
    """The names of the actors that run, or that Ray is about to start. Raises PeerGone when Ray does not answer."""
    import ray

    with _asking("ray"):
        named: list[dict[str, str]] = ray.util.list_named_actors(all_namespaces=True)
    return sorted(one["name"] for one in named if one["namespace"] == NAMESPACE)


def nodes(default_roles: Sequence[str]) -> list[Node]:
    """The live nodes. ``default_roles``: of those without a label."""
    import ray

    return sorted((_node(one, default_roles) for one in ray.nodes() if one["Alive"]), key=lambda node: node.id)


def here() -> str:
    """The id of this process's node."""
    import ray

    node_id: str = ray.get_runtime_context().get_node_id()
    return node_id


def look(default_roles: Sequence[str]) -> Facts:
    """Which nodes and actors there are. Raises PeerGone when Ray does not answer."""
    with _asking("ray"):
        # The actors first: so each of them is on one of the nodes, or on one that has just died.
        there = living()
        return Facts(nodes=tuple(nodes(default_roles)), living=tuple(there))


def handle_of(name: str) -> Any:
    """What an actor is called by. It asks the control service and waits for it: an event loop calls it in a thread.
    Raises PeerGone when there is none of this name, or Ray does not answer."""
    import ray

    with _asking(name):
        return ray.get_actor(name, namespace=NAMESPACE)


def kill(name: str, *, for_good: bool) -> None:
    """End an actor's process; unless ``for_good``, Ray starts it again. It waits, as ``handle_of`` does. Raises
    PeerGone."""
    import ray

    handle = handle_of(name)
    with _asking(name):
        ray.kill(handle, no_restart=for_good)


async def end(name: str, max_wait_s: float, control: Questions) -> None:
    """Stop an actor in order, within a time limit, and end its process for good. Raises PeerGone when it is gone
    already, or Ray does not answer."""
    import ray

    handle = await control.ask(name, handle_of, name)
    try:
        async with asyncio.timeout(max_wait_s):
            await handle.stop.remote()
    except (TimeoutError, ray.exceptions.RayError) as error:
        log.warning("did not stop in order actor=%s reason=%r", name, str(error))
    await control.ask(name, kill, name, for_good=True)


def ask_for(cpus: Sequence[float]) -> None:
    """Have Ray's autoscaler keep or start nodes with so many CPUs each, until it is asked for others. Nothing happens
    in a cluster without one. Raises PeerGone when Ray does not answer."""
    from ray.autoscaler.sdk import request_resources

    with _asking("ray"):
        request_resources(bundles=[{"CPU": one} for one in cpus])


@contextmanager
def _asking(whom: str) -> Iterator[None]:
    """Within this context, what Ray raises when there is no such actor, or no answer, is PeerGone."""
    import ray

    try:
        yield
    except (ray.exceptions.RayError, RuntimeError, TimeoutError, ValueError) as error:
        raise PeerGone(whom, str(error)) from error


def _node(told: Mapping[str, Any], default_roles: Sequence[str]) -> Node:
    label = told["Labels"].get(ROLES_LABEL)
    return Node(
        id=told["NodeID"],
        cpus=told["Resources"].get("CPU", 0.0),
        machine=told["NodeManagerAddress"],
        is_head=HEAD in told["Resources"],
        roles=frozenset(default_roles if label is None else label.split(BETWEEN_ROLES)),
    )
