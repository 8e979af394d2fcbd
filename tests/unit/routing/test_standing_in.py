"""A process that pages in while there is no scheduler."""

import asyncio
from typing import Any, cast

from cluster.journal.journal import Unavailable
from cluster.routing.paging import Paging
from cluster.routing.standing_in import LOOK_S, STARTING_S, StandingIn
from cluster.tasks import Tasks
from tests.unit.virtual_time import in_virtual_time


class Pages:
    """Pages in, and notes when."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    @property
    def is_on(self) -> bool:
        return self.begun > self.ended

    def begin(self, tasks: Tasks) -> None:
        assert not self.is_on
        self.begun += 1
        tasks.spawn("paging", asyncio.Event().wait())

    async def end(self) -> None:
        self.ended += 1


class Process:
    def __init__(self) -> None:
        self.pages = Pages()
        self.scheduler: bool | Unavailable = True
        self.standing_in = StandingIn(cast(Paging, cast(Any, self.pages)), self._is_there)

    async def _is_there(self) -> bool:
        if isinstance(self.scheduler, Unavailable):
            raise self.scheduler
        return self.scheduler

    async def __aenter__(self) -> "Process":
        self._running = asyncio.create_task(self.standing_in.run())
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await self.standing_in.stop()


@in_virtual_time
async def test_it_pages_in_from_within_a_second_until_the_next_scheduler_has_begun() -> None:
    async with Process() as process:
        await asyncio.sleep(10.0)
        assert process.pages.begun == 0
        process.scheduler = False
        await asyncio.sleep(LOOK_S)
        assert process.pages.is_on
        await asyncio.sleep(30.0)
        process.scheduler = True
        await asyncio.sleep(STARTING_S - LOOK_S)
        assert process.pages.is_on
        await asyncio.sleep(2 * LOOK_S)
        assert process.pages.ended == 1
        process.scheduler = False
        await asyncio.sleep(LOOK_S)
        assert process.pages.begun == 2
    assert (process.pages.ended, process.standing_in.stood_in) == (2, 2)


@in_virtual_time
async def test_a_journal_that_is_away_changes_nothing() -> None:
    async with Process() as process:
        process.scheduler = Unavailable("away")
        await asyncio.sleep(30.0)
        assert not process.pages.is_on
        process.scheduler = False
        await asyncio.sleep(LOOK_S)
        process.scheduler = Unavailable("away")
        await asyncio.sleep(STARTING_S - 2 * LOOK_S)
        assert process.pages.is_on
