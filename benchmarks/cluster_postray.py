"""A real postray on several Ray nodes of this machine. It owns these as well, until they end."""

import json
import signal
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.postray import START_S, PostrayProcess
from benchmarks.processes import is_under
from benchmarks.raylets import RayNode, RayNodes, ray_variables
from benchmarks.redis_server import RedisServer
from cluster.installation.own_python import run_module
from cluster.policy.placement import kind_of
from cluster.topology import SPECS, kinds

HEAD_MAY_BE_AWAY = {"RAY_gcs_rpc_server_reconnect_timeout_s": "120"}
"""With a Redis: longer than the head is ever away."""
LEFT_S = 5.0
"""How long processes may take to end once ``postray down`` has said that they have."""


class DownFailed(Exception):
    """``postray down`` did not end the cluster's postray; the message contains its output."""

    def __init__(self, output: str) -> None:
        super().__init__(output)


class ClusterPostray(PostrayProcess):
    """``nodes``: so many, with one delivery actor and one API process each. Every life has Ray nodes of its own. All
    nodes share the data directory, as they are on one machine: the logs of all actors are in one folder, and what there
    is one of can move even with its data. ``remembers``: the head of each life has a Redis of its own, and may be away.
    """

    start_s = 150.0
    """A dozen processes start at once, on a machine that may be busy with others."""

    def __init__(self, data_dir: Path, variables: Mapping[str, str], nodes: int, *, remembers: bool = False) -> None:
        ray = ray_variables() | (HEAD_MAY_BE_AWAY if remembers else {})
        super().__init__(
            data_dir,
            {
                "POSTRAY_DELIVERY_ACTORS_PER_NODE": "1",
                "POSTRAY_CLUSTER_MIN_NODES": str(nodes),
                **variables,
                **ray,
            },
        )
        self._ray_variables = ray
        self._wanted = nodes
        self._ray: RayNodes | None = None
        self._redis: RedisServer | None = None
        self.remembers = remembers

    @property
    def ray(self) -> RayNodes:
        assert self._ray is not None
        return self._ray

    def start(self) -> None:
        if self._ray is None:
            variables = dict(self._ray_variables)
            if self.remembers:
                self._redis = RedisServer(self.data_dir.parent / "redis")
                variables["RAY_REDIS_ADDRESS"] = self._redis.address
            self._ray = RayNodes(self.data_dir.parent / "ray-nodes.log", variables)
            for _ in range(self._wanted):
                self._ray.add()
            self._environ["POSTRAY_RAY_ADDRESS"] = self._ray.address
        super().start()

    def start_command_anew(self) -> None:
        """End ``postray up``, without which all goes on, and start it again. Raises PostrayDidNotStart."""
        super().stop()
        try:
            self._start_command()
        except Exception:
            super().kill()
            raise

    def change_release(self, node: RayNode, release: str) -> RayNode:
        """Do what is done on the machine of a node that was taken out, to change its release: end ``postray up`` and
        the node's Ray, and start that with the other release; ``up`` and all commands are of it from now on. Returns
        the node that takes its place."""
        super().stop()
        self.ray.remove(node)
        self._environ.pop("PYTHONPATH", None)
        if release:
            self._environ["PYTHONPATH"] = release
        return self.ray.add(release)

    def stop(self, how: signal.Signals = signal.SIGINT) -> list[int]:
        """End it on all nodes, as ``postray down`` does, and then Ray; returns the pids of actors that were left."""
        if self._ray is None:
            return []
        actors = self.actors()
        try:
            ended = self.command("down")
            if ended.returncode:
                raise DownFailed(ended.stdout + ended.stderr)
            _, alive = psutil.wait_procs(actors, LEFT_S)
            return [one.pid for one in alive]
        except subprocess.TimeoutExpired as error:
            raise DownFailed(f"no end after {error.timeout:.0f} s") from error
        finally:
            super().stop(how)
            self._ray.end()
            self._ray = None
            self._forget()

    def kill(self) -> list[int]:
        """SIGKILL the command and every process of every node; returns their pids."""
        killed = super().kill()
        if self._ray is not None:
            killed += self._ray.kill_everything()
            self._ray = None
        self._forget()
        return killed

    def _forget(self) -> None:
        """End the Redis: the next life begins with an empty one."""
        if self._redis is not None:
            self._redis.end()
            self._redis = None

    def names(self, kind: str) -> list[str]:
        """The names of the actors of a kind whose process is there."""
        if SPECS[kind].per == "cluster":
            return [kind]
        return [name for name in self._names() if kind_of(name) == kind and self.pid_of(name) is not None]

    def idle(self) -> list[str]:
        """What does not work that each node, and the cluster, should have."""
        there = Counter(kind_of(name) for name in self._names() if self.pid_of(name) is not None)
        asked_for = {
            kind.name: kind.count * (self._wanted if kind.per == "node" else 1) for kind in kinds(self.settings)
        }
        return [f"{kind}: {there[kind]} of {count}" for kind, count in asked_for.items() if there[kind] < count]

    def actors(self) -> list[psutil.Process]:
        """The processes of all actors."""
        found = []
        for name in self._names():
            with suppress(psutil.NoSuchProcess):
                if (pid := self.pid_of(name)) is not None:
                    found.append(psutil.Process(pid))
        return found

    def processes(self) -> list[psutil.Process]:
        """Those of all actors, and the command's."""
        command = self._process
        runs = command is not None and command.poll() is None
        return [*self.actors(), *([psutil.Process(command.pid)] if command is not None and runs else [])]

    def has(self, pid: int) -> bool:
        return self._ray is not None and is_under(pid, self._ray.pid)

    def parts(self) -> dict[str, list[int]]:
        """Its processes by part: the actors of each kind, ``ray`` (all others of Ray), ``up``."""
        if self._ray is None or self._process is None:
            return {}
        parts: dict[str, list[int]] = defaultdict(list)
        for name in self._names():
            if (pid := self.pid_of(name)) is not None:
                parts[kind_of(name)].append(pid)
        known = {pid for pids in parts.values() for pid in pids}
        under = psutil.Process(self._ray.pid).children(recursive=True)
        return {**parts, "ray": [one.pid for one in under if one.pid not in known], "up": [self._process.pid]}

    def called(self) -> dict[str, int]:
        """How often actors were called by others since they began, by method."""
        told = subprocess.run(
            run_module("benchmarks.actor_calls"),
            env=self._environ,
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=True,
        )
        found: dict[str, int] = json.loads(told.stdout)
        return found

    def _names(self) -> list[str]:
        """All actors that ever were."""
        logs = sorted(path.stem for path in (self.data_dir / "logs").glob("*.log"))
        return [name for name in logs if kind_of(name) in SPECS]
