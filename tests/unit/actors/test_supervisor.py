"""What the supervisor asks, and what it makes of the answers."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors import supervisor
from actors.supervisor import NOT_ASKED, Supervisor
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.scheduling import Lane
from cluster.metrics import Reading
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


async def test_the_metrics_of_all_actors_are_collected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "METRICS_S", 0.05)
    told = [Reading(name="postray_meals_total", kind="counter", help="Meals.", values={"": 7})]
    asked: list[str] = []
    all_asked = asyncio.Event()

    async def call(actor: str, method: str) -> list[Reading]:
        assert method == "metrics"
        asked.append(actor)
        if len(asked) == 4:
            all_asked.set()
        await all_asked.wait()
        if actor == "gone":
            raise PeerGone("gone", "dead")
        if actor == "silent":
            await asyncio.Event().wait()
        return told

    actors = ["api-0-0", "delivery-0-0", "gone", "silent"]
    watch = Supervisor(cast(Journal, Reachable()), call, actors, actors.remove, Tasks)
    collected = await watch.collected_metrics()
    assert collected.missing == {"gone": "gone: dead", "silent": "no answer within 0 s"}
    own = collected.readings.pop("supervisor")
    assert collected.readings == {"api-0-0": told, "delivery-0-0": told}
    assert {reading.name: dict(reading.values) for reading in own} == {
        "postray_supervisor_problems": {"": 5},
        "postray_supervisor_killed_total": {"": 0},
        "postray_supervisor_taken_back_total": {"": 0},
    }
