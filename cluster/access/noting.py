"""Notes of what operators do (``cluster/journal/operator_audit``), the same from the console, over HTTP and by
commands. Keys and tokens are never in them."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from cluster.access.operator_headers import LONGEST_NAME
from cluster.journal.database import Rejected, Unavailable
from cluster.journal.operator_audit import DONE, Doer, OperatorAudit
from cluster.keys import without_keys
from cluster.printable import printable, printable_lines

log = logging.getLogger(__name__)

LONGEST = 300
"""Characters of a subject and an outcome that are kept."""
LONGEST_ADDRESS = 64
"""Of what stands in place of an address as well."""


class Notes:
    """Notes commands."""

    def __init__(self, audit: OperatorAudit, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._audit = audit
        self._clock = clock

    @asynccontextmanager
    async def of(
        self,
        doer: Doer,
        command: str,
        subject: str,
        *,
        refused: Callable[[Exception], str | None],
        most: int | None = LONGEST,
    ) -> AsyncIterator[None]:
        """Within the context the command is done; it is noted before and after. ``refused`` says of an error that is
        an answer, in words, why nothing was done; None for others. ``most``: characters of the subject that are kept;
        None for all. Raises Unavailable, without having done anything, when it cannot be noted."""
        noted = await self._begin(doer, command, subject, most)
        try:
            yield
        except Exception as error:
            why = refused(error)
            outcome = f"failed: {type(error).__name__}" if why is None else f"refused: {why}"
            await self._end(noted, without_keys(printable(outcome))[:LONGEST])
            raise
        await self._end(noted, DONE)

    async def done(self, doer: Doer, command: str, subject: str, outcome: str) -> None:
        """Note a command with its outcome. Raises Unavailable, Rejected."""
        await self._audit.end(await self._begin(doer, command, subject, LONGEST), outcome)

    async def _begin(self, doer: Doer, command: str, subject: str, most: int | None) -> int:
        about = without_keys(printable_lines(subject))[:most]  # the journal takes no NUL and no half of a pair
        return await self._audit.begin(self._clock(), doer, command[:LONGEST_NAME], about)

    async def _end(self, noted: int, outcome: str) -> None:
        try:
            await self._audit.end(noted, outcome)
        except (Unavailable, Rejected) as error:  # the note stays without an outcome; what was done is done
            log.warning("the outcome of a command is not noted number=%d reason=%r", noted, error.reason)
