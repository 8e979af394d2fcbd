"""GET /api/v1/emails, one email, and its cancellation."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import MESSAGE_ID, Example
from api.http.existing import EMAIL, existing
from api.http.refusals import Conflict, Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.messages.finding import message_of
from api.messages.searching import MessageSearches
from api.messages.showing import SHOWN_AT_ONCE_BYTES, MessageShowing
from api.messages.views import summary
from api.piisend.sending import PATH
from api.piisend.statuses import EmailStatus, filter_of, status_of
from api.piisend.views import CancelledEmail, EmailDetail, EmailList, detailed, summarised
from cluster.journal.journal import Journal
from cluster.settings import DEFAULT_LIMITS, MessageSettings

LARGEST_PAGE = 100
PAGE = 25
LAST_OFFSET = 10_000_000
"""As far as the pages of GET /v3/messages reach; deeper ones are too expensive for the journal."""


class EmailCalls:
    """The routes of this module."""

    def __init__(
        self,
        journal: Journal,
        searches: MessageSearches,
        showing: MessageShowing,
        limits: MessageSettings = DEFAULT_LIMITS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``limits`` apply to the composed messages."""
        self._journal = journal
        self._searches = searches
        self._showing = showing
        self._limits = limits
        self._clock = clock

    def routes(self) -> RouteGroup:
        one = Example(path={"id": MESSAGE_ID})
        listing = get(
            responses=answers(400, 401, 403, 503),
            summary="List emails",
            example=Example(query={"status": "delivered"}),
        )
        show = get(
            "/{id:str}",
            responses=answers(400, 401, 403, 404, 503),
            summary="An email, its body and its attempts",
            example=one,
        )
        cancel = post(
            "/{id:str}/cancel",
            status_code=200,
            responses=answers(400, 401, 403, 404, 409, 503),
            summary="Cancel an email while it is scheduled",
            example=one,
        )
        return resource(PATH, listing(self.listing), show(self.show), cancel(self.cancel), tag="emails")

    async def listing(
        self,
        request: ApiRequest,
        status: Annotated[str | None, QueryParameter(description="A status, in either case")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE)] = PAGE,
        offset: Annotated[int, QueryParameter(ge=0, le=LAST_OFFSET)] = 0,
    ) -> EmailList:
        now = self._clock()
        filter = filter_of(request.auth.tenant_id, _status(status), now)
        found = await self._searches.page(request.auth, filter, limit, offset)
        return EmailList(
            data=[summarised(row, summary(row, self._limits), now) for row in found.messages],
            total=found.total,
            limit=limit,
            offset=offset,
            total_is_exact=UNSET if found.total_is_exact else False,
        )

    async def show(self, request: ApiRequest, id: FromPath[str]) -> EmailDetail:
        shown = await self._showing.show(request.auth, id, EMAIL)
        view = partial(detailed, shown.row, shown.detail, self._clock())
        return view() if len(shown.row.content) <= SHOWN_AT_ONCE_BYTES else await asyncio.to_thread(view)

    async def cancel(self, request: ApiRequest, id: FromPath[str]) -> CancelledEmail:
        row = await message_of(self._journal, request.auth, id, EMAIL)
        status = status_of(row.status, row.send_at, self._clock())
        if status is EmailStatus.SCHEDULED:
            cancel = partial(self._journal.commands.cancel, row.tenant_id)
            cancellation = await existing(EMAIL, row.id, cancel)
            status = status_of(cancellation.status, row.send_at, self._clock())
            if cancellation.cancelled:
                return CancelledEmail(id=row.id, status=status)
        detail = f"Only a scheduled email can be cancelled; this one is {status}"
        raise Conflict(detail, help=help_texts.SCHEDULED_EMAILS)


def _status(text: str | None) -> EmailStatus | None:
    if text is None:
        return None
    try:
        return EmailStatus(text.lower())
    except ValueError:
        raise Invalid([Fault(f"A status is one of {', '.join(EmailStatus)}", "status")]) from None
