"""Questions that the actors of a machine answer at their sockets."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.installation import run_folder
from cluster.metrics import Reading
from cluster.near_asks import NearAsks, answering, place_of
from cluster.near_calls import NearServer
from cluster.peers import Call
from tests.integration.cluster.hosted import Started

SENT = Reading(name="postray_sent_total", kind="counter", help="Sent.", values={"": 7})
LATE = Reading(name="postray_late_seconds", kind="histogram", help="Late.", label="le", values={"+Inf": 2}, sum=0.5)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has at most 107 characters
        run_folder.make(Path(folder))
        yield Path(folder)


class ByRay:
    """The way through Ray."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def call(self, actor: str, method: str, *arguments: Any) -> list[Reading]:
        self.asked.append(actor)
        return [SENT]


@contextmanager
def asking(ray: ByRay, data_dir: Path) -> Iterator[Call]:
    near = NearAsks(ray.call, data_dir)
    yield near.call
    near.close()


async def tell(method: str) -> Any:
    return {"metrics": [SENT, LATE], "problem": None}[method]


async def test_an_actor_of_this_machine_is_asked_at_its_socket(data_dir: Path) -> None:
    ray, server = ByRay(), NearServer(answering(tell))
    place = place_of(data_dir, "api-0-0")
    assert place is not None
    with asking(ray, data_dir) as ask:
        await server.start(place)
        try:
            assert await ask("api-0-0", "metrics") == [SENT, LATE]
            assert await ask("api-0-0", "problem") is None
            assert ray.asked == []
            assert await ask("delivery-0-0", "metrics") == [SENT]
            assert await ask("api-0-0", "offer", ["a delivery"]) == [SENT], "no question"
            assert ray.asked == ["delivery-0-0", "api-0-0"]
        finally:
            await server.stop()
        assert await ask("api-0-0", "metrics") == [SENT], "it has ended"


async def test_at_the_socket_nothing_is_called_but_questions(data_dir: Path) -> None:
    called: list[str] = []

    async def note(method: str) -> None:
        called.append(method)

    answer = answering(note)
    with pytest.raises(ValueError, match="'stop' is no question"):
        await answer(b"stop")
    await answer(b"problem")
    assert called == ["problem"]


async def _fail(_: bytes) -> bytes:
    raise ValueError("not started")


async def _tell_otherwise(_: bytes) -> bytes:
    return b"\x81\xa3new\x01"


@pytest.mark.parametrize("answer", [_fail, _tell_otherwise])
async def test_an_actor_that_fails_or_answers_otherwise_is_asked_through_ray(data_dir: Path, answer: Any) -> None:
    ray, server = ByRay(), NearServer(answer)
    place = place_of(data_dir, "api-0-0")
    assert place is not None
    await server.start(place)
    try:
        with asking(ray, data_dir) as ask:
            assert await ask("api-0-0", "metrics") == [SENT]
    finally:
        await server.stop()


async def test_the_process_of_an_actor_answers(data_dir: Path, started: Started) -> None:
    ray = ByRay()
    started("scheduler", data_dir)
    with asking(ray, data_dir) as ask:
        told = {one.name: one.values for one in await ask("scheduler", "metrics")}
    assert told["postray_actor_calls_total"] == {"metrics": 1}
    assert told["postray_process_open_fds"][""] > 0
    assert ray.asked == []


async def test_without_a_run_folder_all_are_asked_through_ray(tmp_path: Path) -> None:
    ray = ByRay()
    assert place_of(tmp_path, "api-0-0") is None
    with asking(ray, tmp_path) as ask:
        assert await ask("api-0-0", "metrics") == [SENT]
