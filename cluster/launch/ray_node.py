"""The Ray of this machine: starting one in place, or joining a cluster."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from cluster.installation.local_secrets import ensure_ray_token
from cluster.launch.asking import asked, has_ended
from cluster.launch.places import NAMESPACE
from cluster.peers import PeerGone
from cluster.settings import RaySettings
from cluster.settings_environment import without_settings


class NoCluster(Exception):
    """The cluster cannot be joined; the message says why."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)

    def __str__(self) -> str:
        return "ray.address: cannot join the cluster at {}: {}".format(*self.args)


def start_ray(settings: RaySettings, data_dir: Path, run_dir: Path, cpus: int) -> None:
    """Start a cluster in place, on loopback, or join the one at ``settings.address``.

    ``run_dir`` holds its sockets and logs. ``cpus``: logical CPUs of a cluster in place, at least. Raises NoCluster,
    and cluster.installation.private_files.Unsafe for a damaged token.
    """
    if settings.address:
        join(settings.address, data_dir)
        return
    with _alone_in(data_dir):
        _start_in_place(settings, data_dir, run_dir, cpus)


def join(address: str, data_dir: Path) -> None:
    """Join the cluster at an address. Raises NoCluster, also when its control service does not answer."""
    with _alone_in(data_dir):
        import ray
        import ray.exceptions

        try:
            # Ray itself would try for minutes.
            asked("Ray", _greet, address)
            ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except PeerGone as gone:
            raise NoCluster(address, gone.reason) from gone
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise NoCluster(address, str(error).partition("\n")[0]) from error


def _greet(address: str) -> None:
    """Return when the control service has answered, or when it is not known where it is."""
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # the module is compiled

    at = canonicalize_bootstrap_address(address)
    if at is not None:
        GcsClient(address=at)  # asks for the id of the cluster


@contextlib.contextmanager
def _alone_in(data_dir: Path) -> Iterator[None]:
    """Ray's processes start in the current folder, and its workers import modules from there first. So this changes to
    ``data_dir``, which holds no modules; the folder in which the command was run may belong to another user.

    The actors have the settings from their Context. A secret in the environment could be read in /proc as long as the
    process runs, even by threads that can open hardly any file (cluster/installation/confinement.py)."""
    os.environ["RAY_AUTH_MODE"] = "token"
    with contextlib.chdir(data_dir), without_settings(os.environ):
        yield


def _start_in_place(settings: RaySettings, data_dir: Path, run_dir: Path, cpus: int) -> None:
    # Ray uses loopback as the node's address only where it believes that no other node can join.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(ensure_ray_token(data_dir))
    import ray

    _leave_out_helpers()
    ray.init(
        address="local",
        namespace=NAMESPACE,
        _node_ip_address="127.0.0.1",
        num_cpus=max(os.cpu_count() or 1, cpus),
        object_store_memory=settings.object_store_mb * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        # A folder inside one that other users cannot enter, because Ray makes its own folders open to them.
        _temp_dir=str(run_dir / "ray"),
    )


def _leave_out_helpers() -> None:
    """Start no autoscaler, no reader of workers' output and no server of the dashboard in a cluster in place: it has
    one node and no dashboard, and the actors write their own logs. Each would take 70 MB, and the start 2 s more.
    ``ray.init`` has no argument for it."""
    from ray._private.node import Node

    for start in ("start_monitor", "start_log_monitor", "start_api_server"):
        assert callable(getattr(Node, start)), "another version of Ray"
        setattr(Node, start, lambda *_, **__: None)


def is_started() -> bool:
    """Whether this process has started or joined Ray, and what it has started of it still runs."""
    from ray._private.worker import _global_node

    return _global_node is not None and not has_ended()


def is_alive() -> bool:
    """Whether the node of this process is still alive. Ray's control service knows, and is waited for."""
    import ray
    import ray.exceptions

    try:
        here = ray.get_runtime_context().get_node_id()
        return any(node["NodeID"] == here and node["Alive"] for node in ray.nodes())
    except (ray.exceptions.RayError, RuntimeError):
        return False


def stop_ray() -> None:
    import ray

    ray.shutdown()
