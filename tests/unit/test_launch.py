"""The process that hosts an actor's object, without Ray."""

import asyncio
import os
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import ray.exceptions

from cluster import logs
from cluster.context import Context, Links
from cluster.launch import host_process
from cluster.launch.handles import reaching
from cluster.launch.host_process import HostProcess, NodeEnded
from cluster.metrics import Reading
from cluster.peers import PeerGone
from cluster.settings import Settings
from cluster.tasks import Tasks

MODULE = "an_actor_to_host"


class Hosted:
    """An actor that starts once ``failures`` attempts have failed."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.attempts = 0
        self.running = asyncio.Event()
        self.stopped = False

    async def start(self) -> None:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.attempts <= self.failures:
            raise OSError("not yet")
        self.running.set()

    async def problem(self) -> str | None:
        return None

    async def metrics(self) -> list[Reading]:
        return []

    async def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def ended() -> list[tuple[str, BaseException]]:
    """The crashes that end the process."""
    return []


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, ended: list[tuple[str, BaseException]]) -> Callable[[Hosted], HostProcess]:
    """Makes the process of an object. What would change the whole process of the tests is left out."""
    for name in ("keep_to_ourselves", "_allow_files", "_collect_less"):
        monkeypatch.setattr(host_process, name, lambda: None)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setattr(host_process, "_links", lambda *_: None)
    monkeypatch.setattr(host_process, "RETRY_S", 0.0)

    def made(hosted: Hosted) -> HostProcess:
        async def build(context: Context, links: Links) -> Hosted:
            return hosted

        module = ModuleType(MODULE)
        module.build = build  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, MODULE, module)
        context = Context(
            name="delivery-0-0",
            node_id="n",
            settings=Settings(),
            data_dir="",
            postgres_dsn="",
            secret_key="",
        )
        return HostProcess(f"{MODULE}:build", context, lambda: Tasks(lambda *crash: ended.append(crash)))

    return made


async def test_it_starts_without_a_call(host: Callable[[Hosted], HostProcess]) -> None:
    """Its callers may be dead, and each may wait for the other: the supervisor and the API only call each other."""
    hosted = Hosted()
    process = host(hosted)
    async with asyncio.timeout(5):
        await hosted.running.wait()
    await process.stop()
    assert hosted.stopped


async def test_it_tries_again_without_a_call(host: Callable[[Hosted], HostProcess]) -> None:
    hosted = Hosted(failures=3)
    process = host(hosted)
    async with asyncio.timeout(5):
        await hosted.running.wait()
    assert hosted.attempts == 4
    await process.stop()


async def test_it_starts_once_for_all_that_wait(host: Callable[[Hosted], HostProcess]) -> None:
    hosted = Hosted()
    process = host(hosted)
    await asyncio.gather(process.start(), process.call("problem", ()), process.start())
    assert hosted.attempts == 1
    await process.stop()


async def test_a_start_that_fails_says_why(host: Callable[[Hosted], HostProcess]) -> None:
    process = host(Hosted(failures=1000))
    with pytest.raises(PeerGone, match="cannot start: not yet"):
        await process.start()
    await process.stop()


async def test_it_ends_with_the_ray_of_its_node(
    host: Callable[[Hosted], HostProcess], ended: list[tuple[str, BaseException]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would work on beside the one that is started on another node."""
    monkeypatch.setattr(host_process, "NODE_LOOK_S", 0.0)
    hosted = Hosted()
    process = host(hosted)
    await process.start()
    assert ended == []
    monkeypatch.setattr(os, "getppid", lambda: 1)
    async with asyncio.timeout(5):
        while not ended:
            await asyncio.sleep(0)
    ((task, error),) = ended
    assert task == "node" and isinstance(error, NodeEnded)
    await process.stop()


async def test_it_does_not_start_once_it_is_stopped(host: Callable[[Hosted], HostProcess]) -> None:
    hosted = Hosted(failures=1000)
    process = host(hosted)
    while not hosted.attempts:
        await asyncio.sleep(0)
    await process.stop()
    attempts = hosted.attempts
    hosted.failures = 0
    for _ in range(20):
        await asyncio.sleep(0)
    assert (hosted.attempts, hosted.running.is_set()) == (attempts, False)


LOST = [
    error
    for error in vars(ray.exceptions).values()
    if isinstance(error, type)
    and issubclass(error, ray.exceptions.RayError)
    and not issubclass(error, ray.exceptions.RayTaskError)
]
"""All that Ray raises, but what the called actor has raised itself."""


def test_they_are_all_of_ray() -> None:
    assert {ray.exceptions.ActorUnschedulableError, ray.exceptions.ActorDiedError} <= set(LOST)


@pytest.mark.parametrize("kind", LOST, ids=lambda kind: str(kind.__name__))
def test_whatever_ray_says_of_an_actor_that_is_gone_it_is_gone(kind: type[Exception]) -> None:
    """An error that is not foreseen ends the process of the caller, such as the supervisor's."""
    with pytest.raises(PeerGone, match=f"webhooks: {kind.__name__}"), reaching("webhooks"):
        raise kind.__new__(kind)


def test_what_an_actor_raises_itself_reaches_its_caller() -> None:
    cause = PeerGone("recorder", "cannot start: not yet")
    error = ray.exceptions.RayTaskError("call", "traceback", cause).as_instanceof_cause()
    with pytest.raises(PeerGone) as raised, reaching("recorder"):
        raise error
    assert raised.value is error
    with pytest.raises(ray.exceptions.RayTaskError), reaching("recorder"):
        raise ray.exceptions.RayTaskError("call", "traceback", KeyError("k")).as_instanceof_cause()
