"""Performs what a form asks for: noted before it is done, with its outcome afterwards, and then on to a page that says
what became of it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from litestar.response import Redirect

from api.console.pages import said_cookie
from api.console.requests import ConsoleRequest, address_of
from api.http.refusals import Refusal
from cluster.access.noting import LONGEST, Notes
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.operator_audit import Doer
from cluster.policy.routes.networks import Network


class Commands:
    """Has commands done, and noted."""

    def __init__(self, notes: Notes, trusted: Sequence[Network]) -> None:
        """``trusted``: networks of proxies whose X-Forwarded-For is believed."""
        self._notes = notes
        self._trusted = trusted

    async def perform(
        self, request: ConsoleRequest, command: str, subject: str, work: Callable[[], Awaitable[str]], then: str
    ) -> Redirect:
        """Do ``work``, which returns what it has done in words, and lead on to the page ``then``. Raises what it
        raises."""
        async with self.noted(request, request.auth.operator, command, subject):
            said = await work()
        return Redirect(then, status_code=303, cookies=[said_cookie(request, said)])

    def noted(
        self, request: ConsoleRequest, operator: str, command: str, subject: str, *, most: int | None = LONGEST
    ) -> AbstractAsyncContextManager[None]:
        """Within the context the command is done, with a note of it. ``most``: characters of the subject that are kept;
        None for all. Raises Unavailable, without having done anything, when it cannot be noted."""
        doer = Doer(way="console", operator=operator, address=address_of(request, self._trusted))
        return self._notes.of(doer, command, subject, refused=_refused, most=most)


def _refused(error: Exception) -> str | None:
    if isinstance(error, Refusal):
        return error.detail
    return str(error) if isinstance(error, Overloaded | Unavailable | Rejected) else None
