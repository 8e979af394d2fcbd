"""A Ray cluster of several nodes on this machine, on loopback: its head, its nodes, and what ends them.

It owns the program that starts them (``ray_nodes.py``) and all of its processes, until they end. The scenarios with
nodes and the tests of clusters use it.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import kill_all, with_children
from cluster.installation import running

END_S = 30.0


def ray_variables() -> dict[str, str]:
    """The environment of a cluster and of every postray in it, with a token of its own."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback only
        # As where postray starts Ray in place: load and receiving host are on the same machine, and would come first.
        "RAY_worker_niceness": "0",
        "RAY_raylet_start_wait_time_s": "120",  # the machine may be busy
        # As in ray-cluster.yaml.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "3000",
        "RAY_health_check_failure_threshold": "3",
        # There it is 20: everything ends so long after the head.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    }


class RayNode(Struct, frozen=True):
    """A node: Ray's id of it, and the processes of Ray. ``release``: the folder of the release that its actors run; ""
    is that of this process."""

    id: str
    processes: Sequence[int]
    release: str = ""


class RayNodes:
    """A cluster that requires a token. ``log``: where its program writes what goes wrong."""

    def __init__(self, log: Path, variables: Mapping[str, str]) -> None:
        """Start the head; returns when it takes nodes. Raises RuntimeError."""
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.ray_nodes"],
                cwd=Path(__file__).parents[1],
                env=os.environ | dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self.nodes: list[RayNode] = []
        """Those that were added and not taken away again."""
        self.address = self._told()
        self.head = [int(pid) for pid in self._told().split()]
        """The processes of the head."""

    @property
    def pid(self) -> int:
        """The program, of which all processes of the cluster descend as long as their nodes live."""
        return self._process.pid

    def add(self, release: str = "") -> RayNode:
        """Start one more node. Raises RuntimeError."""
        node_id, *pids = self._do(f"add {release}").split()
        node = RayNode(node_id, [int(pid) for pid in pids], release)
        self.nodes.append(node)
        return node

    def head_goes_away(self) -> None:
        """SIGKILL the head's control service."""
        self._do("away")

    def head_comes_back(self) -> None:
        """Start it again, where it was."""
        self._do("back")

    def start_head_again(self) -> None:
        """Start a head where the one was that ``kill_head`` has killed. It needs a Redis."""
        self.head = [int(pid) for pid in self._do("again").split()]

    def kill(self, node: RayNode) -> list[int]:
        """SIGKILL a node: its Ray and all actors on it, as if its machine lost power; returns their pids."""
        self.nodes.remove(node)
        return kill_all(with_children(node.processes))

    def kill_head(self) -> list[int]:
        """SIGKILL the head and what runs on it, as if its machine lost power; returns the pids. Without a Redis its end
        ends all nodes."""
        return kill_all(with_children(self.head))

    def remove(self, node: RayNode) -> None:
        """End the Ray of a node in order."""
        self.nodes.remove(node)
        running.end(with_children(node.processes))

    def kill_everything(self) -> list[int]:
        """SIGKILL every process at once, the program too; returns their pids."""
        killed = kill_all(with_children([self._process.pid]))
        self._process.wait()
        self.nodes.clear()
        return killed

    def end(self) -> None:
        """End everything in order; after a time limit, or without the program, by force."""
        marks = with_children([self._process.pid])
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._process.communicate(timeout=END_S)
        kill_all(marks)
        self._process.wait()
        self.nodes.clear()

    def _do(self, what: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._told()

    def _told(self) -> str:
        assert self._process.stdout is not None
        told = self._process.stdout.readline().strip()
        if not told:
            raise RuntimeError(f"Ray does not start: {self._log.read_text(encoding='utf-8')[-2000:]}")
        return told


@contextmanager
def ray_cluster(log: Path, nodes: int, variables: Mapping[str, str]) -> Iterator[RayNodes]:
    """A head and so many nodes."""
    cluster = RayNodes(log, variables)
    try:
        for _ in range(nodes):
            cluster.add()
        yield cluster
    finally:
        cluster.end()
