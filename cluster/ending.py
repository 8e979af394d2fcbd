"""Ends the postray of a cluster, from any of its machines: every actor on every node, in order."""

from collections.abc import Callable
from pathlib import Path

from cluster.installation.stopping import StopProgress
from cluster.launch import places, ray_node, together
from cluster.settings import Settings


def end_cluster(settings: Settings, say: Callable[[str], None], is_hurried: Callable[[], bool]) -> bool:
    """Whether there was anything to end. ``say`` receives a line about what the end waits for; ``is_hurried`` returns
    True to end that wait. Raises ray_node.NoCluster."""
    ray_node.join(settings.ray.address, Path(settings.data_dir).resolve())
    try:
        if not places.names():
            return False
        together.Stop().run(StopProgress(settings.delivery.stop_wait_s, say, is_hurried))
        return True
    finally:
        ray_node.stop_ray()
