"""All actors of a cluster at once, from a process that is none of them: starting them in order, and stopping them."""

import contextlib
import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import structs

from cluster.context import Context
from cluster.installation.stopping import StopProgress
from cluster.launch import places
from cluster.launch.asking import RayAway, asked, has_ended
from cluster.launch.handles import reaching
from cluster.launch.host_process import start_actor
from cluster.peers import PeerGone
from cluster.policy.placement import Place, kind_of
from cluster.topology import ACTORS, DELIVERY, SUPERVISOR

log = logging.getLogger(__name__)

START_S = 60.0
"""Time limit for an actor to answer; and at a start for one more of all to run, however long all take together."""
STEP_S = 1.0
STOP_S = 6.0
"""Time limit for stopping all actors. The time that delivery actors wait for replies is added to it."""
ANSWER_S = 20.0
"""Time limit for one of all actors to answer."""
OTHERS_S = 2.0
"""How long the answers of the others are waited for, once there is one."""
LOOK_S = 0.2
GONE_S = 10.0
"""Time limit for Ray to end what was killed."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within this context Ctrl-C raises KeyboardInterrupt at once, also while a call of Ray blocks an event loop: the
    loop's own handler would cancel its task, which waits for the call to return."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def start(missing: Sequence[Place], names: Sequence[str], context: Context) -> Iterator[str]:
    """Start what is missing, all at once. Yields each of the names when its actor runs, in their order.

    Raises RuntimeError when one does not start: it fails, or for ``START_S`` none of all has come further.
    """
    try:
        for place in missing:
            there = structs.replace(context, name=place.name, node_id=place.node_id)
            asked(place.name, start_actor, place, there)
        starting = [(name, handle_of(name).start.remote()) for name in names]
    except PeerGone as gone:
        raise RuntimeError(str(gone)) from gone
    for name, started in starting:
        try:
            _wait_for(name, started, [one for _, one in starting])
        except PeerGone as gone:
            raise RuntimeError(str(gone)) from gone
        yield name


def _wait_for(name: str, started: Any, all_started: Sequence[Any]) -> None:
    """Return when an actor has started. Raises RuntimeError when it does not, and PeerGone."""
    import ray

    came, until = -1, 0.0
    while True:
        try:
            ray.get(started, timeout=STEP_S)
            return
        except ray.exceptions.GetTimeoutError as error:
            if (now := _how_far(all_started)) > came:
                came, until = now, time.monotonic() + START_S
            elif time.monotonic() > until:
                raise RuntimeError(f"{name} did not start: for {START_S:.0f} s nothing came further") from error
        except ray.exceptions.RayError as error:
            raise RuntimeError(f"{name} did not start: {error}") from error


def _how_far(all_started: Sequence[Any]) -> int:
    """How far a start has come: the processes that are there, and those among them that have started. Raises
    PeerGone."""
    import ray

    done, _ = ray.wait(list(all_started), num_returns=len(all_started), timeout=0)
    return len(done) + sum(bool(one.node_id) for one in asked("ray", places.living))


def call(name: str, method: str, *arguments: Any) -> Any:
    """Call an actor. Raises PeerGone, also when it does not answer."""
    import ray

    handle = handle_of(name)
    with reaching(name):
        return ray.get(handle.call.remote(method, arguments), timeout=START_S)


def handle_of(name: str) -> Any:
    """What an actor is called by. Raises PeerGone."""
    return asked(name, places.handle_of, name)


def identities(names: Sequence[str]) -> list[tuple[str, int]]:
    """Which journal the actors of these names work with, and the numbers of their forms: of those that answer with the
    first or soon after it, none where none does in time."""
    import ray

    left = []
    for name in names:
        # It has just ended, or is of a release that does not know the question.
        with contextlib.suppress(PeerGone, AttributeError):
            left.append(handle_of(name).identity.remote())
    found: list[tuple[str, int]] = []
    until = time.monotonic() + ANSWER_S
    while left and time.monotonic() < until:
        done, left = ray.wait(left, num_returns=1, timeout=until - time.monotonic())
        for answered in done:
            with contextlib.suppress(ray.exceptions.RayError):
                found.append(ray.get(answered))
                until = min(until, time.monotonic() + OTHERS_S)
    return found


def move(place: Place) -> None:
    """Have an actor of the place's node move another one there. Raises PeerGone."""
    import ray

    living = asked("ray", places.living)
    there = [one.name for one in living if one.node_id == place.node_id and one.name != place.name]
    if not there:
        raise PeerGone(place.name, f"no actor runs on node {place.node_id} yet that could start it")
    handle = handle_of(there[0])
    with reaching(there[0]):
        ray.get(handle.move.remote(place), timeout=START_S)


@contextlib.contextmanager
def _ended_already() -> Iterator[None]:
    """Within this context it is no matter that an actor has just ended. Raises RayAway."""
    try:
        yield
    except RayAway:
        raise
    except PeerGone as gone:
        log.info("ended already actor=%s reason=%r", gone.actor, gone.reason)


class Stop:
    """Stops every actor of the cluster, wherever it runs."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def run(self, waiting: StopProgress) -> None:
        """Stop the actors in reverse order within a time limit, those of one kind together, and kill their processes.
        The supervisor is the first, so nothing is started again; what it had just begun to start is found by looking
        again. Raises PeerGone when Ray does not answer, or does not end them."""
        deadline = time.monotonic() + STOP_S
        most = deadline + waiting.most_s + GONE_S
        self._end([SUPERVISOR], deadline, None)
        names = asked("ray", places.names)
        while names:
            for kind in dict.fromkeys((*reversed(_KINDS), *map(kind_of, names))):
                of_kind = [name for name in names if kind_of(name) == kind]
                if kind == DELIVERY:
                    began = time.monotonic()
                    self._end(of_kind, deadline + waiting.most_s, waiting)
                    deadline += time.monotonic() - began
                else:
                    self._end(of_kind, deadline, None)
            if names := asked("ray", places.names):
                if time.monotonic() > most:
                    raise PeerGone(", ".join(names), "Ray does not end it")
                time.sleep(LOOK_S)

    def _end(self, names: Sequence[str], deadline: float, waiting: StopProgress | None) -> None:
        """Stop these and kill their processes."""
        for name in names:
            with _ended_already():
                self._handles[name] = handle_of(name)
        self._stop_together([name for name in names if name in self._handles], deadline, waiting)
        for name in names:
            if self._handles.pop(name, None) is not None:
                with _ended_already():
                    asked(name, places.kill, name, for_good=True)

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
        while left and time.monotonic() < deadline:
            done, _ = ray.wait(
                list(left), num_returns=len(left), timeout=min(LOOK_S, max(0.0, deadline - time.monotonic()))
            )
            for ended in done:
                name = left.pop(ended)
                try:
                    ray.get(ended)
                except ray.exceptions.RayError as error:
                    log.warning("did not stop in order actor=%s reason=%r", name, str(error))
            if left and has_ended():
                raise RayAway(", ".join(left.values()), "Ray has ended")
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


_KINDS = [spec.kind for spec in ACTORS]
