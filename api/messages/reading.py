"""GET /v3/messages: the state and the timeline of messages.

The state comes from the journal and is always current. The timeline comes from the event store; it may lag by a moment,
and is missing while the event store is unavailable.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from api.http import dates
from api.http.access import BODIES, ROUTES
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import MESSAGE_ID, Example
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.messages.searching import MessageSearches
from api.messages.showing import MessageShowing
from api.messages.views import MessageDetail, MessageSummary, summary
from cluster.ids import is_id
from cluster.journal.message_filter import MessageFilter
from cluster.policy.lifecycle import Status
from cluster.settings import DEFAULT_LIMITS, MessageSettings

LARGEST_PAGE = 100
_SHOW = ROUTES["GET /v3/messages/{id}"]
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
        self, searches: MessageSearches, showing: MessageShowing, limits: MessageSettings = DEFAULT_LIMITS
    ) -> None:
        """``limits`` apply to the composed messages."""
        self._searches = searches
        self._showing = showing
        self._limits = limits

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
        filter = filter_of(
            request.auth.tenant_id,
            status=status,
            to_email=to_email,
            from_email=from_email,
            subject=subject,
            batch_id=batch_id,
            template_id=template_id,
            category=category,
            start_date=start_date,
            end_date=end_date,
            after=after,
        )
        offset = 0 if after is not None else (page - 1) * page_size
        found = await self._searches.page(request.auth, filter, page_size, offset)
        return MessageList(
            messages=[summary(row, self._limits) for row in found.messages],
            total=found.total,
            total_is_exact=found.total_is_exact,
            page=page,
            page_size=page_size,
            total_pages=-(-found.total // page_size),
        )

    async def show(self, request: ApiRequest, id: FromPath[str]) -> MessageDetail:
        withheld = not _SHOW.opens(request.auth, BODIES)
        return (await self._showing.show(request.auth, id, withheld=withheld)).detail


def filter_of(
    tenant_id: str,
    *,
    status: str | None = None,
    to_email: str | None = None,
    from_email: str | None = None,
    subject: str | None = None,
    batch_id: str | None = None,
    template_id: str | None = None,
    category: str | None = None,
    start_date: str | None = None,
    end_date: str | None = None,
    after: str | None = None,
) -> MessageFilter:
    """What a client has asked for; None means any. Raises Invalid."""
    faults: list[Fault] = []
    filter = MessageFilter(
        tenant_id=tenant_id,
        statuses=_statuses(status, faults),
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
    return filter


def _statuses(text: str | None, faults: list[Fault]) -> tuple[Status, ...]:
    if text is None:
        return ()
    try:
        return (Status(text.lower()),)
    except ValueError:
        faults.append(Fault(f"A status is one of {', '.join(Status)}", "status"))
        return ()


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
