"""Removes rows that nothing needs any more, in steps; the scheduler runs it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from cluster.journal.journal import Journal, Unavailable

log = logging.getLogger(__name__)

PAGE = 1000
EVERY_S = 60.0
STEP_S = 0.1
"""Pause between two full pages."""
WINDOWS_EVERY_S = 10.0
"""Windows last for hours."""
MAIL_IN_KEPT = timedelta(days=30)
MOST_MAIL_IN = 100_000
"""Mails that came in; the oldest beyond them are forgotten."""

TLS_REPORTS_KEPT = timedelta(days=31)
"""The states of TLS reports."""


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


def purges(journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Sequence[Purge]:
    """Idempotency keys that are free again, bounces that are too old for their tenants, imports of lists that never
    ended or that can no longer be asked about, windows for reports that are over, mail that came in long ago, and the
    records of old TLS reports and erasures."""
    return (
        Purge("idempotency keys", lambda page: journal.idempotency_keys.purge(clock(), page)),
        Purge("bounces", journal.suppressions.purge_bounces),
        Purge("imports of lists", journal.suppression_imports.purge),
        Purge("windows for reports", journal.mail_in.confirm, every_s=WINDOWS_EVERY_S),
        Purge("erased messages", journal.recipient_erasure.purge_messages),
        Purge("erase jobs", journal.recipient_erasure.purge_jobs),
        Purge("mail in", lambda page: journal.mail_in.forget(MAIL_IN_KEPT, MOST_MAIL_IN, page)),
        Purge("TLS reports", lambda page: journal.tls_reports.forget((clock() - TLS_REPORTS_KEPT).date(), page)),
    )
