"""Keeps the journal's hot tables small; the scheduler runs it.

What an outage has made large is made small again when the queue gets shorter: dead rows are removed, rows at the far
end of the queue's file move to its front, the file's end is given back, and indexes are built anew.
"""

import asyncio
import logging

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.upkeep import Working, pages_behind
from cluster.metrics import Counter
from cluster.policy.upkeep import LEAST, HotTable, Past, upkeep

log = logging.getLogger(__name__)

EVERY_S = 10.0
PAGES = 1000
"""Looked through for rows in one step."""
STEP_S = 0.05
"""Pause between two steps: mail goes first."""


class Upkeep:
    """Several may run: one of them works at a time."""

    rebuilt = Counter("postray_upkeep_rebuilds_total", "Hot tables whose indexes were built anew.")
    shortened = Counter("postray_upkeep_total", "Hot tables that were seen to because they had become too large.")

    def __init__(self, journal: Journal, every_s: float = EVERY_S, least: int = LEAST) -> None:
        """``least``: files of fewer bytes are left alone."""
        self._journal = journal
        self._every_s = every_s
        self._least = least
        self._past: dict[str, Past] = {}
        self._may_have_left_overs = True

    async def run(self) -> None:
        """Look at the tables until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("hot tables not seen to reason=%r", error.reason)
            await asyncio.sleep(self._every_s)

    async def round(self) -> None:
        """Look once, and do what is to be done. Raises Unavailable."""
        todo: list[HotTable] = []
        for table in await self._journal.upkeep.measure():
            past = self._past.get(table.name, Past())
            if upkeep(table, past, self._least):
                todo.append(table)
            self._past[table.name] = past.after_look(table, self._least)
        if not todo and not self._may_have_left_overs:
            return
        async with self._journal.upkeep.working() as working:
            if working is None:
                return
            await working.remove_left_overs()
            self._may_have_left_overs = False
            for table in todo:
                await self._see_to(working, table)

    async def _see_to(self, working: Working, table: HotTable) -> None:
        past = self._past[table.name]
        await working.vacuum(table.name)
        # Only now it is known for sure how many rows there are.
        now = await self._journal.upkeep.measure_one(table.name)
        wanted = upkeep(now, past, self._least)
        moved = await self._leave_end(working, pages_behind(now)) if wanted.move else 0
        if moved:
            await working.vacuum(table.name)
        if wanted.rebuild:
            self._may_have_left_overs = True
            await working.rebuild(table.name)
            self._may_have_left_overs = False
            self.rebuilt += 1
        self.shortened += 1
        then = await self._journal.upkeep.measure_one(table.name)
        self._past[table.name] = past.after_work(now, then, self._least)
        log.info("hot table seen to moved=%d before=%r after=%r", moved, table, then)

    async def _leave_end(self, working: Working, pages: range) -> int:
        """Move what can be moved out of these pages, from the last ones on; returns how many rows."""
        moved = 0
        for first in reversed(range(pages.start, pages.stop, PAGES)):
            while some := await working.leave_pages(first, first + PAGES):
                moved += some
                await asyncio.sleep(STEP_S)
            if some is None:
                break
        return moved
