"""What the supervisor asks, and what it makes of the answers."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors import supervisor
from actors.supervisor import NOT_ASKED, Supervisor
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.scheduling import Lane
from cluster.peers import PeerGone
from cluster.tasks import Tasks


class Reachable:
    """A journal in which every actor was seen."""

    problem = ""

    def __init__(self) -> None:
        self.membership = SimpleNamespace(lost=self._lost)

    async def _lost(self, alive_s: float) -> list[Lane]:
        if self.problem:
            raise Unavailable(self.problem)
        return []


async def until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


async def test_what_is_wrong_is_said_and_a_silent_actor_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "ROUND_S", 0.01)
    monkeypatch.setattr(supervisor, "SILENT_S", 0.05)
    answers: dict[str, str | Exception | None] = {
        "well": None,
        "ill": "the disk is full",
        "gone": PeerGone("gone", "dead"),
    }
    killed: list[str] = []

    async def call(actor: str, method: str) -> str | None:
        answer = answers[actor]
        if isinstance(answer, Exception):
            raise answer
        return answer

    journal = Reachable()
    tasks = Tasks(on_crash=lambda name, error: killed.append(f"crash of {name}: {error!r}"))
    watch = Supervisor(cast(Journal, journal), call, list(answers), killed.append, lambda: tasks)
    assert set((await watch.readiness()).values()) == {NOT_ASKED}
    await watch.start()
    await until(lambda: len(killed) >= 1)
    assert set(killed) == {"gone"}
    assert await watch.readiness() == {
        "journal": None,
        "well": None,
        "ill": "the disk is full",
        "gone": "gone: dead",
    }
    journal.problem = "no route to host"
    answers["ill"] = None
    answers["gone"] = None
    await until(lambda: watch._problems["journal"] == "no route to host" and watch._problems["gone"] is None)
    assert (await watch.readiness())["ill"] is None
    await watch.stop()
