"""The process of an actor, and its links to the others.

``HostProcess`` is the only class that Ray decorates. It hosts one plain object, which the spec's builder makes in that
process. So the objects do not depend on Ray, and a process that Ray restarts builds its object again.
"""

import asyncio
import gc
import importlib
import logging
import os
import resource
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any

from msgspec import structs

from cluster import logs, metrics
from cluster.context import Actor, Build, Context, Facts, Links
from cluster.installation.private_files import keep_to_ourselves
from cluster.journal.fence import Fence
from cluster.journal.happenings import note
from cluster.journal.journal import Unavailable
from cluster.journal.silences import Silences
from cluster.launch import places
from cluster.launch.fencing import fence_of
from cluster.launch.handles import Handles
from cluster.launch.noting import Noting, begun
from cluster.launch.places import NAMESPACE
from cluster.launch.questions import Questions
from cluster.metrics import CountersByName, Reading
from cluster.monitoring.process import ProcessMetrics
from cluster.near_asks import NearAsks, answering, place_of
from cluster.near_calls import NearServer
from cluster.peers import PeerGone
from cluster.policy.forms import FORMS
from cluster.policy.placement import Place, kind_of
from cluster.tasks import Tasks
from cluster.topology import SPECS, called_by

log = logging.getLogger(__name__)

CALLS_AT_ONCE = 1000
RETRY_S = 1.0
NODE_LOOK_S = 0.5
MOVE_S = 5.0
MOVE_LOOK_S = 0.1
JOURNAL_MAX_WAIT_S = 20.0
"""How long a starting actor retries while the journal is unavailable."""
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


class NodeEnded(Exception):
    """The Ray of this process's node has ended, and the process must end with it."""

    def __init__(self, raylet: int) -> None:
        super().__init__(raylet)


class HostProcess:
    """Hosts one actor's object in a Ray worker process. It starts the object by itself, in its first life and in each
    that Ray gives it: its callers may be dead as well. It ends with the Ray of its node."""

    calls = CountersByName(
        "postray_actor_calls_total", "Calls from other processes.", "method", lambda host: host._called
    )

    def __init__(self, build: str, context: Context, make_tasks: Callable[[], Tasks] = Tasks) -> None:
        # In a cluster that another user started, the process inherits that user's umask.
        keep_to_ourselves()
        logs.configure(context.name, context.settings.log, context.data_path)
        self._build = build
        self._context = context
        self._object: Actor | None = None
        self._fence: Fence | None = None
        self._called: Counter[str] = Counter()
        self._silences = Silences()
        self._noting = Noting(
            context.name,
            begun(context.name),
            self._silences,
            partial(note, context.postgres_dsn, f"{context.name}-notes"),
        )
        self._process = ProcessMetrics(_now, self._noting.late)
        self._building = asyncio.Lock()
        # Not a call of itself through Ray: while Ray still takes the actor for restarting, such a call can get lost.
        self._tasks = make_tasks()
        self._tasks.spawn("starting", self._start_at_once())
        self._tasks.spawn("node", _until_node_ends(os.getppid()))
        self._control = Questions()
        calls = called_by(kind_of(context.name))
        self._handles = Handles(self._control, calls)
        if calls and context.settings.ray.address:  # in place, all ends with Ray's control service
            self._tasks.spawn("handles", self._handles.keep_ahead())
        self._tasks.spawn("lag", self._process.run())
        self._tasks.spawn("noting", self._noting.run())
        self._near = NearServer(answering(lambda method: self.call(method, ())))
        if (place := place_of(context.data_path, context.name)) is not None:
            self._tasks.spawn("near", self._near.start(place))

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
        """Call a method of the object; ``release`` asks for the release of postray that this process runs. ``metrics``
        also tells of the process, and how often others have called it."""
        self._called[method] += 1
        if method == "release":
            return version("postray")
        answer = await getattr(await self._started(), method)(*arguments)
        return [*answer, *self._told()] if method == "metrics" else answer

    def _told(self) -> list[Reading]:
        return [*metrics.own(self), *metrics.own(self._process)]

    async def identity(self) -> tuple[str, int]:
        """Which journal this cluster works with, and the number of this process's forms (cluster/policy/forms.py)."""
        return self._context.installation, FORMS

    async def move(self, place: Place) -> None:
        """End another actor and start it at this place: the supervisor, which moves all others. Raises PeerGone."""
        links = _links(self._context, self._control, self._handles)
        with suppress(PeerGone):  # it has just ended
            await links.end(place.name, MOVE_S)
        while any(one.name == place.name for one in (await links.look()).living):
            await asyncio.sleep(MOVE_LOOK_S)  # Ray frees the name
        await links.start(place)

    async def stop(self) -> None:
        """Stop the object, if it was started; otherwise it does not start any more by itself."""
        await self._tasks.stop()
        await self._near.stop()
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
                    self._noting.works()
                    log.info("running pid=%d", os.getpid())
        return self._object

    async def _make(self) -> Actor:
        _allow_files()
        module, _, function = self._build.partition(":")
        build: Build = getattr(importlib.import_module(module), function)
        if self._fence is None:  # once: a start that failed is no other life
            self._fence = await fence_of(self._context)
        links = _links(self._context, self._control, self._handles)
        actor = await build(structs.replace(self._context, fence=self._fence, silences=self._silences), links)
        await actor.start()
        _collect_less()
        return actor


async def _until_node_ends(raylet: int) -> None:
    """Raises NodeEnded when this process is no longer the child of its raylet, the process of Ray that started it.

    Ray starts the actor elsewhere then, and does not end this process: it would hold its ports and files, and work
    beside its successor."""
    while os.getppid() == raylet:
        await asyncio.sleep(NODE_LOOK_S)
    raise NodeEnded(raylet)


def start_actor(place: Place, context: Context) -> None:
    """Start an actor at its place, for as long as the cluster lives or until it is ended. If its name is taken, there
    is one already, and nothing happens. Raises PeerGone when Ray does not take it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    spec = SPECS[place.kind]
    options = ray.remote(HostProcess).options(
        name=place.name,
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=spec.cpus,
        max_restarts=-1,
        max_concurrency=CALLS_AT_ONCE,
        enable_task_events=False,
        scheduling_strategy=NodeAffinitySchedulingStrategy(place.node_id, soft=spec.moves_itself),
    )
    try:
        options.remote(spec.build, context)
    except ray.exceptions.ActorAlreadyExistsError:
        log.info("started by another already actor=%s", place.name)
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise PeerGone(place.name, str(error)) from error


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


def _links(context: Context, control: Questions, handles: Handles) -> Links:
    import ray

    async def kill(actor: str) -> None:
        await control.ask(actor, places.kill, actor, for_good=False)

    async def share(data: bytes) -> SharedBytes:
        return SharedBytes(ray.put(data))

    async def look() -> Facts:
        return await control.ask("ray", places.look, context.settings.cluster.roles)

    async def start(place: Place) -> None:
        there = structs.replace(context, name=place.name, node_id=place.node_id)
        await control.ask(place.name, start_actor, place, there)

    async def end(actor: str, max_wait_s: float) -> None:
        await places.end(actor, max_wait_s, control)

    async def ask_for(cpus: Sequence[float]) -> None:
        await control.ask("ray", places.ask_for, cpus)

    call = NearAsks(handles.call, context.data_path).call
    return Links(call=call, kill=kill, share=share, look=look, start=start, end=end, ask_for=ask_for)


def _now() -> float:
    import time

    return time.monotonic()
