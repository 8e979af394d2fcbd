"""Pruning goes on in the background, one at a time."""

import asyncio
from datetime import date

import pytest

from actors.pruning import Pruning
from cluster.journal.journal import Unavailable
from cluster.policy.storage import Pruned
from cluster.tasks import Tasks

DAY = date(2026, 11, 1)


class Journal:
    """Rewrites as it is told: another process is at it, then it fails or it is done."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.answers = list(answers)
        self.may_go_on = asyncio.Event()

    async def prune(self, before: date) -> int | None:
        assert before == DAY
        await self.may_go_on.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ended(pruning: Pruning, name: str) -> Pruned:
    async with asyncio.timeout(30):
        while (state := pruning.step(name, DAY)).state == "running":
            await asyncio.sleep(0)
    return state


async def test_it_runs_once_under_a_name_and_waits_for_another_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.pruning.AGAIN_S", 0.0)
    journal = Journal(None, 5, 7)
    pruning = Pruning(journal.prune, Tasks())
    assert pruning.step("one", DAY).state == "running"
    assert pruning.step("two", DAY) == Pruned(state="failed", reason="another prune is under way")
    journal.may_go_on.set()
    assert await ended(pruning, "one") == Pruned(state="done", freed_bytes=5)
    assert pruning.step("one", DAY).freed_bytes == 5
    assert journal.answers == [7]
    assert await ended(pruning, "two") == Pruned(state="done", freed_bytes=7)


async def test_a_journal_that_is_away_fails_it_and_the_next_one_may_begin() -> None:
    journal = Journal(Unavailable("no connection"), 3)
    journal.may_go_on.set()
    pruning = Pruning(journal.prune, Tasks())
    assert await ended(pruning, "one") == Pruned(state="failed", reason="no connection")
    assert await ended(pruning, "two") == Pruned(state="done", freed_bytes=3)
