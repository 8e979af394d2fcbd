"""A process that pages in while there is no scheduler."""

import asyncio
import logging
from itertools import pairwise
from typing import Any, cast

import pytest

from cluster.journal.journal import Unavailable
from cluster.routing.paging import Paging
from cluster.routing.standing_in import LOOK_S, LOOKS, OUT_AT_MOST_S, STARTING_S, StandingIn
from cluster.tasks import Tasks
from tests.unit.virtual_time import in_virtual_time

BEGINS_S = LOOKS * LOOK_S


class Pages:
    """Pages in, and notes when; breaks at once where it ``is_broken``."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.begun_at: list[float] = []
        self.is_broken = False

    @property
    def is_on(self) -> bool:
        return self.begun > self.ended

    def begin(self, tasks: Tasks) -> None:
        assert not self.is_on
        self.begun += 1
        self.begun_at.append(asyncio.get_running_loop().time())
        tasks.spawn("paging", self._page())

    async def _page(self) -> None:
        if self.is_broken:
            raise ValueError("a row")
        await asyncio.Event().wait()

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
async def test_it_pages_in_from_the_third_look_until_the_next_scheduler_has_begun() -> None:
    async with Process() as process:
        await asyncio.sleep(10.0)
        assert process.pages.begun == 0
        process.scheduler = False
        await asyncio.sleep(BEGINS_S)
        assert process.pages.is_on
        await asyncio.sleep(30.0)
        process.scheduler = True
        await asyncio.sleep(STARTING_S - LOOK_S)
        assert process.pages.is_on
        await asyncio.sleep(2 * LOOK_S)
        assert process.pages.ended == 1
        process.scheduler = False
        await asyncio.sleep(BEGINS_S)
        assert process.pages.begun == 2
    assert (process.pages.ended, process.standing_in.stood_in) == (2, 2)


@in_virtual_time
async def test_a_journal_that_is_away_changes_nothing() -> None:
    async with Process() as process:
        process.scheduler = Unavailable("away")
        await asyncio.sleep(30.0)
        assert not process.pages.is_on
        process.scheduler = False
        await asyncio.sleep(BEGINS_S)
        process.scheduler = Unavailable("away")
        await asyncio.sleep(STARTING_S - 2 * LOOK_S)
        assert process.pages.is_on


@in_virtual_time
async def test_a_scheduler_that_is_ready_a_moment_later_is_not_stood_in_for() -> None:
    async with Process() as process:
        for _ in range(3):
            process.scheduler = False
            await asyncio.sleep((LOOKS - 1) * LOOK_S)
            process.scheduler = True
            await asyncio.sleep(LOOK_S)
    assert process.standing_in.stood_in == 0


@in_virtual_time
async def test_paging_that_crashes_ends_no_process_and_is_tried_again_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Process() as process:
        process.scheduler, process.pages.is_broken = False, True
        await asyncio.sleep(400.0)
        at = process.pages.begun_at
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert pauses[:3] == sorted(pauses[:3])
        assert pauses[0] < 3.5 and OUT_AT_MOST_S <= pauses[-1] < OUT_AT_MOST_S + 3.0
        assert process.pages.ended == process.pages.begun == len(at) == process.standing_in.stood_in
        defects = [one for one in caplog.records if one.levelno == logging.CRITICAL]
        assert len(defects) == len(at) and defects[0].exc_info is not None
        process.pages.is_broken = False
        await asyncio.sleep(OUT_AT_MOST_S + 3.0)
        assert process.pages.is_on


@in_virtual_time
async def test_after_a_crash_a_scheduler_that_was_seen_is_stood_in_for_as_before() -> None:
    async with Process() as process:
        process.scheduler, process.pages.is_broken = False, True
        await asyncio.sleep(120.0)
        process.scheduler, process.pages.is_broken = True, False
        await asyncio.sleep(LOOK_S)
        assert not process.pages.is_on
        process.scheduler = False
        await asyncio.sleep(BEGINS_S)
        assert process.pages.is_on
