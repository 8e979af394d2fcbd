"""Ends the postray of a cluster, from any of its machines: every actor on every node, in order, or those of a node."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from cluster.context import Left
from cluster.installation.signal_flag import SignalFlag
from cluster.installation.stopping import StopProgress
from cluster.launch import places, ray_node, together
from cluster.launch.asking import asked
from cluster.settings import Settings
from cluster.topology import SUPERVISOR, kinds

NODE_S = 30.0
"""How long the actors of a node may take to end, beyond the wait for replies of hosts."""
STARTED_S = 5.0
"""How long the supervisor may take to start elsewhere what has ended on its node: its next round does."""
LOOK_S = 0.3


class NodeStays(Exception):
    """A node is not taken out; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


def end_cluster(settings: Settings, say: Callable[[str], None]) -> bool:
    """Whether there was anything to end. ``say`` receives a line about what the end waits for; Ctrl-C ends that wait.
    Raises ray_node.NoCluster, and cluster.peers.PeerGone when Ray does not answer."""
    hurry = SignalFlag()
    ray_node.join(settings.ray.address, Path(settings.data_dir).resolve())
    # Ray sets its own handler when it joins, so ours is set after it.
    signal.signal(signal.SIGINT, lambda *_: hurry.set())
    try:
        if not asked("ray", places.names):
            return False
        together.Stop().run(StopProgress(settings.delivery.stop_wait_s, say, hurry.is_set))
        return True
    finally:
        ray_node.stop_ray()


def end_node(settings: Settings, wanted: str, say: Callable[[str], None]) -> None:
    """End what runs on a node: the one whose id begins with ``wanted``, or with "" those of this machine. The others go
    on, and nothing is started there until ``postray up`` runs on its machine. ``say`` receives what is worth knowing.
    Raises ray_node.NoCluster, cluster.peers.PeerGone and NodeStays."""
    ray_node.join(settings.ray.address, Path(settings.data_dir).resolve())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ray has set its own
    try:
        facts = asked("ray", places.look, settings.cluster.roles)
        here = places.here()
        machine = next((node.machine for node in facts.nodes if node.id == here), "")
        named = [node.id for node in facts.nodes if (node.id.startswith(wanted) if wanted else node.machine == machine)]
        used = {one.node_id for one in facts.living}
        if wanted and len(named) != 1:
            raise NodeStays(f"{wanted!r} names {len(named)} nodes of: {', '.join(node.id for node in facts.nodes)}")
        if not used.intersection(named):
            raise NodeStays("nothing of postray runs on this node")
        if used - {""} <= set(named):
            raise NodeStays("no other node has an actor: postray down ends all")
        for node_id in used.intersection(named):
            _end_node(settings, node_id, say)
    finally:
        ray_node.stop_ray()


def _end_node(settings: Settings, node_id: str, say: Callable[[str], None]) -> None:
    left: Left = together.call(SUPERVISOR, "leave", node_id)
    if left.stays:
        raise NodeStays(left.stays)
    for name, reason in left.missing.items():
        say(f"{name} cannot run elsewhere: {reason}")
    until = time.monotonic() + settings.delivery.stop_wait_s + NODE_S
    moving = {kind.name for kind in kinds(settings) if kind.per == "cluster"} - left.missing.keys()
    began = time.monotonic()
    while True:
        living = asked("ray", places.living)
        there = [one.name for one in living if one.node_id == node_id]
        if not there:
            break
        # The supervisor first starts elsewhere what there is one of: while it moves itself, it starts nothing.
        has_moved = moving <= {one.name for one in living} or time.monotonic() > began + STARTED_S
        if there == [SUPERVISOR] and left.place is not None and has_moved:
            together.move(left.place)
        elif time.monotonic() > until:
            raise NodeStays(f"it did not end in time: {', '.join(there)}")
        time.sleep(LOOK_S)
    say(f"ended what ran on node {node_id}")
