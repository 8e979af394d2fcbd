"""Ray: starting or joining a cluster, starting the actors of the topology, and carrying calls between them.

This is the only module that imports ray, and ``HostProcess`` is the only class that is decorated. A ``HostProcess``
hosts one plain object, which the spec's builder makes in that process. So the objects do not depend on Ray, and a
process that Ray restarts builds its object again.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import resource
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from cluster import logs
from cluster.context import Actor, Build, Context, Links
from cluster.installation.local_secrets import ensure_ray_token
from cluster.installation.private_files import keep_to_ourselves
from cluster.installation.stopping import StopProgress
from cluster.journal.journal import Unavailable
from cluster.peers import PeerGone
from cluster.settings import RaySettings
from cluster.settings_environment import without_settings
from cluster.tasks import Tasks
from cluster.topology import DELIVERY, Placement

# Ray reads these when it is imported, so they are set first: no usage telemetry, workers at normal priority, no history
# of calls (Ray keeps 100,000 in the memory of its control service), and no warning about accelerator variables.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

log = logging.getLogger(__name__)

NAMESPACE = "postray"
START_S = 60.0
STOP_S = 6.0
"""Time limit for stopping all actors. The time that delivery actors wait for replies is added to it."""
LOOK_S = 0.2
CALLS_AT_ONCE = 1000
RETRY_S = 1.0
JOURNAL_MAX_WAIT_S = 20.0
"""How long a starting actor retries while the journal is unavailable. ``START_S`` limits the whole start."""
YOUNG_AT_MOST = 20_000
"""Threshold of the garbage collector's youngest generation, in net new objects."""


class SharedBytes:
    """A handle of shared bytes. Awaiting it returns the bytes; it raises PeerGone when their holder is gone."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._fetch().__await__()

    async def _fetch(self) -> bytes:
        import ray.exceptions

        try:
            data: bytes = await self._reference
        except ray.exceptions.RayError as error:
            raise PeerGone("object store", type(error).__name__) from error
        return data


class HostProcess:
    """Hosts one actor's object in a Ray worker process. It starts the object by itself, in its first life and in each
    that Ray gives it: its callers may be dead as well."""

    def __init__(self, build: str, context: Context) -> None:
        # In a cluster that another user started, the process inherits that user's umask.
        keep_to_ourselves()
        logs.configure(context.name, context.settings.log, context.data_path)
        self._build = build
        self._context = context
        self._object: Actor | None = None
        self._building = asyncio.Lock()
        # Not a call of itself through Ray: while Ray still takes the actor for restarting, such a call can get lost.
        self._tasks = Tasks()
        self._tasks.spawn("starting", self._start_at_once())

    async def start(self) -> None:
        """Return when the object runs; retry while the journal is unavailable. Raises PeerGone when it cannot start."""
        until = _now() + JOURNAL_MAX_WAIT_S
        while True:
            try:
                await self._started()
                return
            except PeerGone as gone:
                if not isinstance(gone.__cause__, Unavailable) or _now() > until:
                    raise
            await asyncio.sleep(RETRY_S)

    async def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """Call a method of the object."""
        return await getattr(await self._started(), method)(*arguments)

    async def stop(self) -> None:
        """Stop the object, if it was started; otherwise it does not start any more by itself."""
        await self._tasks.stop()
        if self._object is not None:
            await self._object.stop()

    async def _start_at_once(self) -> None:
        """Build and start the object; retry without a time limit."""
        while self._object is None:
            try:
                await self._started()
            except PeerGone:
                await asyncio.sleep(RETRY_S)

    async def _started(self) -> Actor:
        if self._object is None:
            async with self._building:
                if self._object is None:
                    try:
                        self._object = await self._make()
                    except Exception as error:
                        # The caller gets PeerGone; the next call tries again.
                        log.exception("cannot start")
                        raise PeerGone(self._context.name, f"cannot start: {error}") from error
                    log.info("running pid=%d", os.getpid())
        return self._object

    async def _make(self) -> Actor:
        _allow_files()
        module, _, function = self._build.partition(":")
        build: Build = getattr(importlib.import_module(module), function)
        actor = await build(self._context, _links())
        await actor.start()
        _collect_less()
        return actor


def _allow_files() -> None:
    """Raise the limit of open files to its hard limit: the usual 1024 is too low for thousands of connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _collect_less() -> None:
    """Freeze the loaded objects and collect less often. The actors make many objects for each message and hardly any
    cycles, and a collection over a hundred thousand live objects blocks the event loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_AT_MOST, 20, 20)


def _links() -> Links:
    import ray

    handles: dict[str, Any] = {}

    async def call(actor: str, method: str, *arguments: Any) -> Any:
        try:
            handle = handles.get(actor)
            if handle is None:
                handle = handles[actor] = ray.get_actor(actor, namespace=NAMESPACE)
            return await handle.call.remote(method, arguments)
        except ray.exceptions.RayActorError as error:
            handles.pop(actor, None)
            raise PeerGone(actor, type(error).__name__) from error
        except ValueError as error:  # what get_actor raises for a name it does not know
            raise PeerGone(actor, str(error)) from error

    def kill(actor: str) -> None:
        try:
            ray.kill(ray.get_actor(actor, namespace=NAMESPACE), no_restart=False)
        except ValueError as error:
            raise PeerGone(actor, str(error)) from error

    async def share(data: bytes) -> SharedBytes:
        return SharedBytes(ray.put(data))

    return Links(call=call, kill=kill, share=share)


def start_ray(settings: RaySettings, data_dir: Path, run_dir: Path, cpus: int) -> None:
    """Start a cluster in place, on loopback, or join the one at ``settings.address``.

    ``run_dir`` holds its sockets and logs. ``cpus``: logical CPUs of a cluster in place, at least. Raises
    cluster.installation.private_files.Unsafe for a damaged token.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    # Ray's processes start in the current folder, and its workers import modules from there first. So we change to
    # data_dir, which holds no modules; the folder in which the command was run may belong to another user.
    # The actors have the settings from their Context. A secret in the environment could be read in /proc as long as the
    # process runs, even by threads that can open hardly any file (cluster/installation/confinement.py).
    with contextlib.chdir(data_dir), without_settings(os.environ):
        _init_ray(settings, data_dir, run_dir, cpus)


def _init_ray(settings: RaySettings, data_dir: Path, run_dir: Path, cpus: int) -> None:
    if settings.address:
        import ray

        ray.init(settings.address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        return
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


def nodes() -> list[str]:
    """The ids of the live nodes, this process's node first."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    return sorted(alive, key=lambda node_id: (node_id != here, node_id))


class Actors:
    """The running actors of a cluster, in start order."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}
        self._kinds: dict[str, str] = {}

    def start(self, placements: Sequence[Placement], contexts: Sequence[Context]) -> Iterator[str]:
        """Start all actors at once. Yields each name when its actor runs, in the order of the topology.

        Raises RuntimeError when an actor does not start.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        host = ray.remote(HostProcess)
        for placement, context in zip(placements, contexts, strict=True):
            options = host.options(
                name=placement.name,
                num_cpus=placement.spec.cpus,
                max_restarts=-1,
                max_concurrency=CALLS_AT_ONCE,
                enable_task_events=False,
                scheduling_strategy=NodeAffinitySchedulingStrategy(placement.node_id, soft=False),
            )
            self._handles[placement.name] = options.remote(placement.spec.build, context)
            self._kinds[placement.name] = placement.spec.kind
        for name, started in [(name, handle.start.remote()) for name, handle in self._handles.items()]:
            try:
                ray.get(started, timeout=START_S)
            except PeerGone as gone:
                raise RuntimeError(str(gone)) from gone
            except (ray.exceptions.RayError, TimeoutError) as error:
                raise RuntimeError(f"{name} did not start: {error}") from error
            yield name

    def stop(self, waiting: StopProgress) -> None:
        """Stop the actors in reverse order within a time limit, those of one kind together; then kill the processes."""
        import ray

        deadline = _now() + STOP_S
        for kind in dict.fromkeys(reversed(self._kinds.values())):
            names = [name for name in self._handles if self._kinds[name] == kind]
            if kind == DELIVERY:
                began = _now()
                self._stop_together(names, deadline + waiting.most_s, waiting)
                deadline += _now() - began
            else:
                self._stop_together(names, deadline, None)
        for handle in self._handles.values():
            ray.kill(handle)
        self._handles.clear()

    def _stop_together(self, names: Sequence[str], deadline: float, waiting: StopProgress | None) -> None:
        """``waiting`` receives the counts of messages whose replies are awaited."""
        import ray

        left: dict[Any, str] = {}
        for name in names:
            try:
                left[self._handles[name].stop.remote()] = name
            except ray.exceptions.RayError as error:
                log.warning("cannot be stopped actor=%s reason=%r", name, str(error))
        hurried = False
        while left and _now() < deadline:
            done, _ = ray.wait(list(left), num_returns=len(left), timeout=min(LOOK_S, max(0.0, deadline - _now())))
            for ended in done:
                name = left.pop(ended)
                try:
                    ray.get(ended)
                except ray.exceptions.RayError as error:
                    log.warning("did not stop in order actor=%s reason=%r", name, str(error))
            if left and waiting is not None:
                waiting.tell(self._unanswered(list(left.values())))
                if waiting.is_hurried() and not hurried:
                    hurried = True
                    for name in left.values():
                        self._handles[name].call.remote("hurry", ())
        for name in left.values():
            log.warning("did not stop in time actor=%s", name)

    def _unanswered(self, names: Sequence[str]) -> Counter[str]:
        """How many messages wait for the reply of each host. Actors that do not answer are not counted."""
        import ray

        asked = [self._handles[name].call.remote("unanswered", ()) for name in names]
        found: Counter[str] = Counter()
        for answered in ray.wait(asked, num_returns=len(asked), timeout=LOOK_S)[0]:
            try:
                found.update(ray.get(answered))
            except ray.exceptions.RayError as error:  # it has just ended
                log.info("an actor does not tell what it waits for reason=%r", str(error))
        return found

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call an actor from the process that started it."""
        import ray

        return ray.get(self._handles[name].call.remote(method, arguments), timeout=START_S)


def is_alive() -> bool:
    """Whether the Ray node of this process still runs. Ray itself notices the end of its processes only after many
    seconds."""
    import ray
    import ray.exceptions
    from ray._private.worker import _global_node

    if _global_node is None or not _global_node.remaining_processes_alive():
        return False
    try:
        here = ray.get_runtime_context().get_node_id()
        return any(node["NodeID"] == here and node["Alive"] for node in ray.nodes())
    except (ray.exceptions.RayError, RuntimeError):
        return False


def stop_ray() -> None:
    import ray

    ray.shutdown()


def _now() -> float:
    import time

    return time.monotonic()
