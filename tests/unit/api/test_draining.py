"""The API of a node that is drained and brought back."""

import asyncio
from types import SimpleNamespace
from typing import Any

from api.build import DRAINING_S, Api
from cluster.journal.journal import Unavailable
from cluster.tasks import Tasks
from tests.unit.virtual_time import in_virtual_time


class Node:
    """The parts of an API process that matter here. ``answers``: whether the node drains, at each look."""

    def __init__(self, *answers: bool | Exception) -> None:
        self._answers = list(answers)
        self.did: list[str] = []
        self.untold: list[Unavailable] = []
        """What happens when it tells that it is closed."""
        tasks = Tasks(on_crash=lambda name, error: self.did.append(f"{name}: {error!r}"))
        server: Any = SimpleNamespace(stop=self._stop, health=self._health)
        other: Any = SimpleNamespace(why_full=lambda: None)
        self.api = Api(
            server,
            *(other, other, other, other, other, other),
            is_draining=self._is_draining,
            tell_closed=self._tell_closed,
            tasks=tasks,
            token_keys=other,
            begin_anew=lambda: self.did.append("anew"),
        )

    async def _stop(self) -> None:
        self.did.append("stopped")

    async def _tell_closed(self) -> None:
        self.did.append("told")
        if self.untold:
            raise self.untold.pop()

    async def _health(self) -> bool:
        return "stopped" not in self.did

    async def _is_draining(self) -> bool:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def after(self, looks: int) -> list[str]:
        await asyncio.wait({asyncio.create_task(self.api._follow_draining())}, timeout=(looks + 0.5) * DRAINING_S)
        return self.did


@in_virtual_time
async def test_it_takes_no_more_requests_and_begins_anew_when_it_is_brought_back() -> None:
    node = Node(False, Unavailable("away"), True, True, False)
    assert await node.after(5) == ["stopped", "told", "anew"]
    assert await node.api.problem() is None, "a drained node has no problem"


@in_virtual_time
async def test_a_journal_that_is_away_brings_nothing_back() -> None:
    node = Node(True, Unavailable("away"), Unavailable("away"), True)
    assert await node.after(4) == ["stopped", "told"]


@in_virtual_time
async def test_that_it_is_closed_is_told_until_the_journal_has_it() -> None:
    node = Node(True, True, True, True)
    node.untold = [Unavailable("away"), Unavailable("away")]
    assert await node.after(4) == ["stopped", "told", "told", "told"]
