"""Ends the postray of a cluster, from any of its machines: every actor on every node, in order."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from cluster.installation.stopping import StopProgress
from cluster.launch import places, ray_node, together
from cluster.settings import Settings


def end_cluster(settings: Settings, say: Callable[[str], None]) -> bool:
    """Whether there was anything to end. ``say`` receives a line about what the end waits for; Ctrl-C ends that wait.
    Raises ray_node.NoCluster, and cluster.peers.PeerGone when Ray does not answer."""
    hurry = threading.Event()
    ray_node.join(settings.ray.address, Path(settings.data_dir).resolve())
    # Ray sets its own handler when it joins, so ours is set after it.
    signal.signal(signal.SIGINT, lambda *_: hurry.set())
    try:
        if not places.names():
            return False
        together.Stop().run(StopProgress(settings.delivery.stop_wait_s, say, hurry.is_set))
        return True
    finally:
        ray_node.stop_ray()
