"""GET /v3/messages: the state and the timeline of messages.

The state comes from the journal and is always current. The timeline comes from the event store; it may lag by a moment,
and is missing while the event store is unavailable.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct, structs

from analytics.timeline import Timeline, events_of
from api.http import dates
from api.http.access import BODIES, ROUTES
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import MESSAGE_ID, Example
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.http.sharing import FairShare
from api.messages.finding import message_of
from api.messages.versions import Versions
from api.messages.views import MessageDetail, MessageSummary, detail, summary
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey, MessageFilter, MessagePage
from cluster.policy.lifecycle import Status
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.templates.handlebars.errors import TooMuch

LARGEST_PAGE = 100
SEARCHES = 2
"""The most searches at one time, from different tenants: each may use a core of Postgres' machine."""
SEARCHES_OF_A_TENANT = 1
SEARCH_MAX_WAIT_S = 30.0
USUAL = {"steps": 2000, "output": 256 * 1024}
"""Within these bounds a template is rendered in some milliseconds."""
RENDERINGS = 1
"""Others that are rendered at one time, tenants in turn: one may take a tenth of a second of a core."""
SHOWN_AT_ONCE_BYTES = 4096
"""The largest content that is prepared on the event loop. A thread prepares larger ones: finding keys may take long."""
_SHOW = ROUTES["GET /v3/messages/{id}"]
TOO_MANY_SEARCHES = "Too many searches at once; try again later"
LAST_PAGE = 100_000
"""Deeper pages are too expensive for the journal; ``after`` reaches any position at the cost of the first page."""


class MessageList(Struct, frozen=True, kw_only=True):
    """A page of messages, newest first."""

    messages: list[MessageSummary]
    total: int
    """Exact up to 10,000, otherwise a lower bound (``total_is_exact``)."""
    total_is_exact: bool
    page: int
    page_size: int
    total_pages: int


def _query(description: str) -> QueryParameter:
    return QueryParameter(description=description)


Text = Annotated[str | None, _query("Exact match")]
Moment = Annotated[str | None, _query("ISO-8601, or YYYY-MM-DD: the whole day, UTC")]


class MessageReading:
    """The routes of this module: the list, and one message."""

    def __init__(
        self, journal: Journal, versions: Versions, timeline: Timeline, limits: MessageSettings = DEFAULT_LIMITS
    ) -> None:
        self._journal = journal
        self._versions = versions
        self._timeline = timeline
        self._limits = limits
        self._searches = FairShare(SEARCHES, SEARCHES_OF_A_TENANT, SEARCH_MAX_WAIT_S, TOO_MANY_SEARCHES)
        self._renderings = FairShare(RENDERINGS, RENDERINGS, SEARCH_MAX_WAIT_S)

    def routes(self) -> RouteGroup:
        listing = get(
            responses=answers(400, 401, 403, 503),
            summary="List messages",
            example=Example(query={"to_email": "ada@example.com"}),
        )
        show = get(
            "/{id:str}",
            responses=answers(400, 401, 403, 404, 503),
            summary="A message, its body and its timeline",
            example=Example(path={"id": MESSAGE_ID}),
        )
        return resource("/v3/messages", listing(self.listing), show(self.show), tag="messages")

    async def listing(
        self,
        request: ApiRequest,
        status: Annotated[str | None, _query("A status, in either case")] = None,
        to_email: Annotated[str | None, _query("A recipient, in to, cc or bcc")] = None,
        from_email: Text = None,
        subject: Annotated[str | None, _query("Part of the subject, in any case")] = None,
        batch_id: Text = None,
        template_id: Text = None,
        category: Text = None,
        start_date: Moment = None,
        end_date: Moment = None,
        after: Annotated[str | None, _query("A message id: only older messages. Takes the place of page")] = None,
        page: Annotated[int, QueryParameter(ge=1, le=LAST_PAGE)] = 1,
        page_size: Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE)] = 25,
    ) -> MessageList:
        faults: list[Fault] = []
        filter = MessageFilter(
            tenant_id=request.auth.tenant_id,
            status=_status(status, faults),
            to_email=to_email,
            from_email=from_email,
            subject=subject,
            batch_id=batch_id,
            template_id=template_id,
            category=category,
            start=_moment(start_date, "start_date", faults),
            end=_moment(end_date, "end_date", faults, until=True),
            after=after,
        )
        for name, text in _texts(filter):
            if "\0" in text:
                faults.append(Fault("Text may not contain NUL", name))
        if after is not None and not is_id("msg_", after):
            faults.append(Fault("after is a message id", "after"))
        if faults:
            raise Invalid(faults)
        offset = 0 if after is not None else (page - 1) * page_size
        async with self._searches.hold(request.auth.tenant_id, 1):
            found = await self._found(request.auth, filter, page_size, offset)
        return MessageList(
            messages=[summary(row, self._limits) for row in found.messages],
            total=found.total,
            total_is_exact=found.total_is_exact,
            page=page,
            page_size=page_size,
            total_pages=-(-found.total // page_size),
        )

    async def show(self, request: ApiRequest, id: FromPath[str]) -> MessageDetail:
        key = request.auth
        # In parallel: each of the two waits for another process.
        events = asyncio.create_task(events_of(self._timeline, key.tenant_id, id))
        try:
            row = await message_of(self._journal, key, id)
            show = partial(detail, limits=self._limits, withheld=not _SHOW.opens(key, BODIES))
            template, timeline = await self._versions.of(row), await events
            if template is not None:
                with contextlib.suppress(TooMuch):
                    return await asyncio.to_thread(show, row, timeline, template=template, bounds=USUAL)
                async with self._renderings.hold(key.tenant_id, 1):
                    return await asyncio.to_thread(show, row, timeline, template=template)
            if len(row.content) <= SHOWN_AT_ONCE_BYTES:
                return show(row, timeline)
            return await asyncio.to_thread(show, row, timeline)
        finally:
            events.cancel()

    async def _found(self, key: ApiKey, filter: MessageFilter, limit: int, offset: int) -> MessagePage:
        """The page of the filter's messages, limited to those that the key may see."""
        if not key.sandbox:
            return await self._journal.messages.page(filter, limit, offset)
        if filter.status not in (None, Status.SANDBOX):
            return MessagePage(messages=[], total=0, total_is_exact=True)
        return await self._journal.messages.page(structs.replace(filter, status=Status.SANDBOX), limit, offset)


def _status(text: str | None, faults: list[Fault]) -> Status | None:
    if text is None:
        return None
    try:
        return Status(text.lower())
    except ValueError:
        faults.append(Fault(f"A status is one of {', '.join(Status)}", "status"))
        return None


def _texts(filter: MessageFilter) -> Iterator[tuple[str, str]]:
    """The parameters that are free text, by name."""
    for name in ("to_email", "from_email", "subject", "batch_id", "template_id", "category"):
        if text := getattr(filter, name):
            yield name, text


def _moment(text: str | None, field: str, faults: list[Fault], *, until: bool = False) -> datetime | None:
    """A bound of a time filter. With ``until``, a date means the end of that day, so that both bounds include their
    day."""
    if text is None:
        return None
    try:
        return dates.moment(text) + timedelta(days=1 if until and dates.is_day(text) else 0)
    except (ValueError, OverflowError):
        faults.append(Fault("A date is ISO-8601 or YYYY-MM-DD", field))
        return None
