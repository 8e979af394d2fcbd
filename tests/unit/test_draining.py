"""A process that takes requests or mail, on a node that is drained and brought back."""

import asyncio

from cluster.draining import DRAINING_S, Draining
from cluster.journal.journal import Unavailable
from tests.unit.virtual_time import in_virtual_time


class Process:
    """``answers``: whether the node drains, at each look."""

    def __init__(self, *answers: bool | Exception) -> None:
        self._answers = list(answers)
        self.did: list[str] = []
        self.untold: list[Unavailable] = []
        """What happens when it tells that it is closed."""
        self.draining = Draining(
            self._is_draining, self._close, self._tell_closed, begin_anew=lambda: self.did.append("anew")
        )

    async def _close(self) -> None:
        assert self.draining.is_closed, "otherwise it would have a problem while it finishes what it has begun"
        self.did.append("closed")

    async def _tell_closed(self) -> None:
        self.did.append("told")
        if self.untold:
            raise self.untold.pop()

    async def _is_draining(self) -> bool:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def after(self, looks: int) -> list[str]:
        following = asyncio.create_task(self.draining.follow())
        await asyncio.wait({following}, timeout=(looks + 0.5) * DRAINING_S)
        if following.done():
            await following
        return self.did


@in_virtual_time
async def test_it_takes_nothing_more_and_begins_anew_when_it_is_brought_back() -> None:
    process = Process(False, Unavailable("away"), True, True, False)
    assert await process.after(5) == ["closed", "told", "told", "anew"]


@in_virtual_time
async def test_a_journal_that_is_away_brings_nothing_back() -> None:
    process = Process(True, Unavailable("away"), Unavailable("away"), True)
    assert await process.after(4) == ["closed", "told", "told"]


@in_virtual_time
async def test_that_it_is_closed_is_told_at_each_look() -> None:
    """The journal was away, or has forgotten it: the node was brought back and drained again since the last look."""
    process = Process(True, True, True, True)
    process.untold = [Unavailable("away"), Unavailable("away")]
    assert await process.after(4) == ["closed", "told", "told", "told", "told"]


@in_virtual_time
async def test_a_node_that_does_not_drain_goes_on() -> None:
    process = Process(False, False)
    assert await process.after(2) == []
    assert not process.draining.is_closed
