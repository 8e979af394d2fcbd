"""All actors at once, without Ray: starting can be interrupted, and nothing lives on after a stop."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, cast

import pytest
import ray
import ray.exceptions

from cluster.context import Context
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.installation.stopping import StopProgress
from cluster.launch import asking, places, ray_node, together
from cluster.launch.asking import RayAway
from cluster.launch.questions import Questions
from cluster.peers import PeerGone
from cluster.policy.placement import Living

ALL = ["capture", "recorder", "delivery-0-0", "delivery-1-0", "scheduler", "supervisor", "api-0-0"]


def test_ctrl_c_ends_a_call_that_blocks_the_event_loop() -> None:
    reached: list[str] = []

    async def starting() -> None:
        with together.interruptible():
            signal.raise_signal(signal.SIGINT)  # as while the call waits
            reached.append("the end of the call")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(starting())
    assert reached == []


class Cluster:
    """What Ray knows. While the supervisor lives, it starts again what is killed."""

    def __init__(self) -> None:
        self.living = list(ALL)
        self.stopped: list[str] = []
        self.killed: list[str] = []
        self.late: list[str] = []
        """What the supervisor had begun to start, and Ray tells of only later."""
        self.problem = ""

    def names(self) -> list[str]:
        if self.problem:
            raise PeerGone("ray", self.problem)
        return sorted(self.living)

    def handle_of(self, name: str) -> "Handle":
        if name not in self.living:
            raise PeerGone(name, "there is none")
        return Handle(self, name)

    def kill(self, name: str, *, for_good: bool) -> None:
        assert for_good
        self.killed.append(name)
        if name == "supervisor" or "supervisor" not in self.living:
            self.living.remove(name)
        if self.late:
            self.living.append(self.late.pop())


class Handle:
    """Of an actor: ``handle.stop.remote()``."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name

    @property
    def stop(self) -> "Handle":
        return self

    def remote(self) -> str:
        self._cluster.stopped.append(self._name)
        return self._name


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    for name in ("names", "handle_of", "kill"):
        monkeypatch.setattr(places, name, getattr(cluster, name))
    monkeypatch.setattr(ray, "wait", lambda asked, **_: (asked, []))
    monkeypatch.setattr(ray, "get", lambda asked, **_: None)
    return cluster


def waiting() -> StopProgress:
    return StopProgress(0.0, lambda _: None, lambda: False)


def test_the_supervisor_is_ended_first_and_the_others_in_reverse_order(cluster: Cluster) -> None:
    together.Stop().run(waiting())
    assert cluster.living == []
    order = ["supervisor", "api-0-0", "scheduler", "delivery-0-0", "delivery-1-0", "recorder", "capture"]
    assert cluster.stopped == cluster.killed == order


def test_what_was_just_being_started_is_ended_as_well(cluster: Cluster) -> None:
    cluster.late = ["of a later release", "api-1-0", "delivery-2-0"]
    together.Stop().run(waiting())
    assert cluster.living == cluster.late == []
    assert {"of a later release", "api-1-0", "delivery-2-0"} <= set(cluster.stopped)


def test_what_ray_does_not_end_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "GONE_S", -together.STOP_S)
    monkeypatch.setattr(places, "kill", lambda name, for_good: None)
    with pytest.raises(PeerGone, match=r"api-0-0, .*: Ray does not end it"):
        together.Stop().run(waiting())


def test_a_stop_ends_with_ray(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to stop in order has ended with it; waiting for that would take as long as hosts may take."""
    monkeypatch.setattr(ray, "wait", lambda asked, **_: ([], asked))
    monkeypatch.setattr(together, "has_ended", lambda: True)
    with pytest.raises(RayAway, match="supervisor: Ray has ended"):
        together.Stop().run(StopProgress(600.0, lambda _: None, lambda: False))


def test_a_stop_that_ray_does_not_answer_is_not_tried_for_each_actor(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str) -> Handle:
        raise RayAway(name, "no answer")

    monkeypatch.setattr(places, "handle_of", away)
    with pytest.raises(RayAway, match="supervisor: no answer"):
        together.Stop().run(waiting())


def test_an_answer_that_never_comes_is_not_waited_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(asked: object, timeout: float) -> None:
        raise ray.exceptions.GetTimeoutError("no")

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(Handle, "call", Handle.stop, raising=False)
    monkeypatch.setattr(Handle, "remote", lambda *_: "asked")
    with pytest.raises(PeerGone, match="supervisor: GetTimeoutError"):
        together.call("supervisor", "readiness")


class SlowStart:
    """A start in which one process comes after the other, ``gap_s`` apart; ``most`` come at all. Its clock is its
    own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gap_s: float, most: int) -> None:
        self.now = 0.0
        self._gap_s = gap_s
        self._most = most
        monkeypatch.setattr(ray, "get", self.get)
        monkeypatch.setattr(ray, "wait", lambda asked, **_: (asked[: self.running], asked[self.running :]))
        monkeypatch.setattr(places, "handle_of", Started)
        monkeypatch.setattr(places, "living", lambda: [Living(n, "one") for n in ALL[: self.running]])
        monkeypatch.setattr("cluster.launch.together.time.monotonic", lambda: self.now)

    @property
    def running(self) -> int:
        return min(self._most, int(self.now / self._gap_s))

    def get(self, asked: str, timeout: float) -> None:
        if ALL.index(asked) >= self.running:
            self.now += timeout
            raise ray.exceptions.GetTimeoutError("not yet")


class Started:
    """``handle.start.remote()``: what is asked of an actor is its name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.start = self

    def remote(self) -> str:
        return self._name


def test_a_slow_start_has_time_as_long_as_it_comes_further(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowStart(monkeypatch, gap_s=together.START_S - 10, most=len(ALL))
    assert list(together.start((), ALL, cast(Context, None))) == ALL
    assert slow.now > 5 * together.START_S


def test_a_start_that_comes_no_further_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowStart(monkeypatch, gap_s=5.0, most=3)
    with pytest.raises(RuntimeError, match="delivery-1-0 did not start: for 60 s nothing came further"):
        list(together.start((), ALL, cast(Context, None)))
    assert slow.now < 2 * together.START_S


ERRORS: list[Exception] = [
    ray.exceptions.AuthenticationError("no token"),
    ray.exceptions.RpcError("no route", 14),
    RuntimeError("Ray is not initialized"),
    TimeoutError("late"),
    ValueError("Failed to look up actor"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "asked",
    [
        places.names,
        lambda: places.look(("api",)),
        lambda: places.handle_of("api-0-0"),
        lambda: places.kill("api-0-0", for_good=True),
        lambda: asyncio.run(places.end("api-0-0", 1.0, Questions())),
    ],
)
def test_ray_that_does_not_answer_is_gone(
    asked: Callable[[], Any], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ray.util, "list_named_actors", fail)
    monkeypatch.setattr(ray, "get_actor", fail)
    monkeypatch.setattr("ray._private.state.state.actor_table", fail)
    with pytest.raises(PeerGone):
        asked()


def test_a_cluster_whose_head_is_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Ray would try for minutes, and notice no signal meanwhile."""
    silent = HeldPort(ANY_PORT)
    monkeypatch.setattr(asking, "ANSWER_S", 0.2)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(ray_node.NoCluster, match="on the head, does not answer within 0 s"):
        ray_node.join(silent.bind, tmp_path)


def test_a_cluster_that_refuses_the_token_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ray.exceptions.AuthenticationError("InvalidAuthToken")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray_node, "_greet", lambda _: None)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ray_node.NoCluster, match=r"cannot join the cluster at 127\.0\.0\.1:1: .*InvalidAuthToken"):
        ray_node.join("127.0.0.1:1", tmp_path)
