"""Performs what a form asks for: noted before it is done, with its outcome afterwards, and then on to a page that says
what became of it."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from litestar.response import Redirect

from api.console.pages import said_cookie
from api.console.requests import ConsoleRequest, address_of
from api.http.refusals import Refusal
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.operator_audit import OperatorAudit
from cluster.policy.routes.networks import Network

log = logging.getLogger(__name__)

DONE = "done"
LONGEST = 300
"""Characters of a subject and an outcome that are kept."""


class Commands:
    """Has commands done, and noted."""

    def __init__(
        self,
        audit: OperatorAudit,
        trusted: Sequence[Network],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``trusted``: networks of proxies whose X-Forwarded-For is believed."""
        self._audit = audit
        self._trusted = trusted
        self._clock = clock

    async def perform(
        self, request: ConsoleRequest, command: str, subject: str, work: Callable[[], Awaitable[str]], then: str
    ) -> Redirect:
        """Do ``work``, which returns what it has done in words, and lead on to the page ``then``. Raises what it
        raises."""
        said = await self.noted(request, request.auth.operator, command, subject, work)
        return Redirect(then, status_code=303, cookies=[said_cookie(request, said)])

    async def noted(
        self,
        request: ConsoleRequest,
        operator: str,
        command: str,
        subject: str,
        work: Callable[[], Awaitable[str]],
        *,
        most: int = LONGEST,
    ) -> str:
        """Do ``work`` with a note of it; returns what it returns. ``most``: characters of the subject that are kept.
        Raises what it raises, and Unavailable without having done anything when it cannot be noted."""
        address = address_of(request, self._trusted)
        noted = await self._audit.begin(
            self._clock(), operator=operator, address=address, command=command, subject=subject[:most]
        )
        try:
            said = await work()
        except (Refusal, Overloaded, Unavailable, Rejected) as error:
            reason = error.detail if isinstance(error, Refusal) else str(error)
            await self._end(noted, f"refused: {reason}"[:LONGEST])
            raise
        await self._end(noted, DONE)
        return said

    async def _end(self, noted: int, outcome: str) -> None:
        try:
            await self._audit.end(noted, outcome)
        except Unavailable as error:  # the note stays without an outcome; what was done is done
            log.warning("the outcome of a command is not noted number=%d reason=%r", noted, error.reason)
