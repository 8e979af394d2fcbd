"""Removes rows that nothing needs any more, in steps; the scheduler runs it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from cluster.journal.ends import End, ends_with
from cluster.journal.journal import Journal, Unavailable
from cluster.settings import Settings

log = logging.getLogger(__name__)

PAGE = 1000
EVERY_S = 60.0
FILES = 100
"""That are deleted in a statement: they may be large."""
STEP_S = 0.1
"""Pause between two full pages."""
WINDOWS_EVERY_S = 10.0
"""Windows last for hours."""
ENDS_EVERY_S = 600.0
"""For each table, one after the other in this time: what has its end by the time is kept for an hour at least."""
BATCHES_EVERY_S = 3600.0
MAIL_IN_KEPT = timedelta(days=30)
MOST_MAIL_IN = 100_000
"""Mails that came in; the oldest beyond them are forgotten."""

Clock = Callable[[], datetime]


class Purge:
    """Removes rows of one kind page by page. Several may run: each takes other rows."""

    def __init__(self, what: str, remove: Callable[[int], Awaitable[int]], every_s: float = EVERY_S) -> None:
        """``remove`` removes at most so many; returns how many. ``every_s``: the pause when there is no more."""
        self._every_s = every_s
        self.what = what
        self._remove = remove

    async def run(self) -> None:
        """Remove rows until cancelled."""
        while True:
            removed = 0
            try:
                removed = await self._remove(PAGE)
            except Unavailable as error:
                log.warning("%s not purged reason=%r", self.what, error.reason)
            await asyncio.sleep(STEP_S if removed == PAGE else self._every_s)


class PastEnds:
    """Removes what is past its end (``cluster/journal/ends.py``), one table after the other: a call is a page of one
    table."""

    def __init__(self, journal: Journal, ends: Sequence[End], clock: Clock) -> None:
        self._journal = journal
        self._ends = ends
        self._clock = clock
        self._next = 0

    async def remove(self, page: int) -> int:
        """Returns ``page`` when there may be more in this table; otherwise the next call is for the next one. Raises
        Unavailable."""
        removed = await self._journal.ends.remove(self._ends[self._next], self._clock(), page)
        if removed < page:
            self._next = (self._next + 1) % len(self._ends)
        return removed


class UnusedBatches:
    """Looks at the old batches from the first to the last, a page a call."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._after = ""

    async def remove(self, page: int) -> int:
        """Returns ``page`` when there are more to look at. Raises Unavailable."""
        _, self._after = await self._journal.ends.remove_batches(self._clock(), self._after, page)
        return page if self._after else 0


class BodiesOfTenants:
    """Clears bodies of tenants that keep them for a shorter time; a call is a step."""

    def __init__(self, journal: Journal, bodies_days: int, clock: Clock) -> None:
        """``bodies_days``: of the settings. No tenant keeps bodies longer."""
        self._bodies = journal.tenant_bodies
        self._bodies_days = bodies_days
        self._clock = clock

    async def remove(self, page: int) -> int:
        """Returns ``page`` when there may be more. Raises Unavailable."""
        now = self._clock()
        tenants = await self._bodies.tenants(now)
        is_more = bool(tenants) and await self._bodies.clear_waiting(tenants, now, page) == page
        for keeps in tenants:
            if keeps.bodies_days < self._bodies_days:
                count, upto = await self._bodies.clear_next(keeps, now, page)
                looked = replace(keeps, looked_upto=upto)
                if count == page or await self._bodies.look_again(looked):
                    is_more = True
                else:
                    await self._bodies.clear_files(looked, FILES)
        return page if is_more else 0


def purges(journal: Journal, settings: Settings, clock: Clock = lambda: datetime.now(UTC)) -> Sequence[Purge]:
    """Rows that are past their end, batches without messages, texts that no template has, bounces that are too old for
    their tenants, imports of lists that never ended or that can no longer be asked about, windows for reports that are
    over, and mail that came in long ago."""
    ends = ends_with(settings.tls.results_keep_days)
    messages_days = settings.retention.messages_days
    return (
        Purge("what is past its end", PastEnds(journal, ends, clock).remove, every_s=ENDS_EVERY_S / len(ends)),
        Purge("batches", UnusedBatches(journal, clock).remove, every_s=BATCHES_EVERY_S),
        Purge(
            "texts of templates",
            lambda page: journal.ends.remove_texts(messages_days, clock(), page),
            every_s=ENDS_EVERY_S,
        ),
        Purge("bodies of tenants", BodiesOfTenants(journal, settings.retention.bodies_days, clock).remove),
        Purge("bounces", journal.suppressions.purge_bounces),
        Purge("imports of lists", journal.suppression_imports.purge),
        Purge("windows for reports", journal.mail_in.confirm, every_s=WINDOWS_EVERY_S),
        Purge("mail in", lambda page: journal.mail_in.forget(MAIL_IN_KEPT, MOST_MAIL_IN, page)),
    )
