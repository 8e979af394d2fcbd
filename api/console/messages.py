"""/messages and /message: the messages of a tenant, and one message: where it is, why, what next, and its timeline."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from msgspec import structs

from analytics.queries import TimelineEvent
from analytics.timeline import Timeline
from api.admin.routes import Admin
from api.console.acting import Answered, acting_for, done, key_of
from api.console.commands import Commands
from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest, form
from api.console.tenants import Tenants
from api.http.body import ApiRequest
from api.http.existing import MESSAGE, existing
from api.messages.commands import FailRequest, MessageCommands
from api.messages.reading import filter_of
from api.messages.searching import MessageSearches
from api.messages.showing import MessageShowing
from api.messages.versions import Versions
from api.messages.views import summary
from cluster.ids import first_id
from cluster.journal.journal import Journal
from cluster.journal.message_filter import MessageFilter
from cluster.policy.lifecycle import UNFINISHED, Status, Transition, can
from cluster.settings import MessageSettings

PAGE_SIZE = 50
EVENTS_SHOWN = 200
FILTERS = ("status", "to_email", "from_email", "subject", "batch_id", "category", "start_date", "end_date")
LOOKED_AT = 10_000
"""Messages that one page looks through for those that are wanted: some 50 ms."""
AROUND = timedelta(minutes=1)
"""A message may have got its id so long before it was stored, or after."""
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
NOT_DELIVERED = (Status.BOUNCED, Status.FAILED, Status.CANCELLED, Status.SANDBOX)
"""These have an index."""
ENDED = (Status.DELIVERED, Status.SENT, Status.CANCELLED, Status.SANDBOX)
"""Nothing more can be asked of a message in these."""


class MessagePages:
    """The routes of this module."""

    def __init__(
        self,
        pages: Pages,
        commands: Commands,
        tenants: Tenants,
        admin: Admin,
        journal: Journal,
        *,
        timeline: Timeline,
        lifetime_s: float,
        limits: MessageSettings,
    ) -> None:
        """``lifetime_s`` is the new lifetime of a retried message. ``limits`` apply to the composed messages."""
        versions = Versions(journal)
        self._pages = pages
        self._commands = commands
        self._tenants = tenants
        self._explaining = admin.explaining
        self._journal = journal
        self._showing = MessageShowing(journal, versions, timeline, limits)
        self._searches = MessageSearches(journal)
        self._limits = limits
        self._doing = MessageCommands(journal, versions, lifetime_s, limits)

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get("/messages")(self.listing),
            get("/message")(self.one),
            post("/message/cancel")(self.cancel),
            post("/message/retry")(self.retry),
            post("/message/fail")(self.fail),
        ]

    async def listing(self, request: ConsoleRequest) -> Response[str]:
        given = {name: request.query_params.get(name, "").strip() for name in (*FILTERS, "tenant", "after")}
        chosen = await self._tenants.chosen(given["tenant"])
        found, older = None, None
        if chosen.id:
            asked: dict[str, Any] = {name: given[name] or None for name in (*FILTERS, "after")}
            filter = within_days(filter_of(chosen.id, **asked))
            mark = None if is_indexed(filter) else await self._journal.messages.mark(chosen.id, filter.after, LOOKED_AT)
            if mark is not None:
                filter = structs.replace(filter, down_to=max(mark, filter.down_to or ""))
            rows = await self._searches.some(key_of(chosen.id), filter, PAGE_SIZE)
            found = [summary(row, self._limits) for row in rows]
            older = rows[-1].id if len(rows) == PAGE_SIZE else mark
        return self._pages.page(
            request,
            "messages",
            session=request.auth,
            given=given,
            chosen=chosen,
            found=found,
            following=query("/messages", **{**given, "after": older}) if older is not None else "",
            looked_at=LOOKED_AT if older is not None and len(found or ()) < PAGE_SIZE else 0,
            statuses=list(Status),
        )

    async def one(self, request: ConsoleRequest) -> Response[str]:
        id = request.query_params.get("id", "").strip()
        tenant_id = await existing(MESSAGE, id, self._journal.messages.tenant_of)
        shown = (await self._showing.show(key_of(tenant_id), id, withheld=True)).detail
        explained = await self._explaining.show(id)
        events = shown.events or []
        return self._pages.page(
            request,
            "message",
            session=request.auth,
            message=shown,
            tenant_id=tenant_id,
            tenant_name=await self._tenants.name_of(tenant_id),
            explained=explained,
            events=[(event, said_of(event)) for event in events[-EVENTS_SHOWN:]],
            left_out=max(0, len(events) - EVENTS_SHOWN),
            is_over=shown.status in ENDED,
            is_unfinished=shown.status in UNFINISHED,
            is_retried=can(shown.status, Transition.RETRIED),
        )

    async def cancel(self, request: ConsoleRequest) -> Redirect:
        return await self._perform(request, "cancel message", await form(request), self._doing.cancel)

    async def retry(self, request: ConsoleRequest) -> Redirect:
        return await self._perform(request, "retry message", await form(request), self._doing.retry)

    async def fail(self, request: ConsoleRequest) -> Redirect:
        fields = await form(request)
        fail = partial(self._doing.fail, data=FailRequest(fields.get("reason", "").strip() or None))
        return await self._perform(request, "fail message", fields, fail)

    async def _perform(
        self,
        request: ConsoleRequest,
        command: str,
        fields: Mapping[str, str],
        act: Callable[[ApiRequest, str], Awaitable[Response[Answered]]],
    ) -> Redirect:
        """Do this to the message of a form."""
        id = fields.get("id", "")

        async def work() -> str:
            return done(await act(acting_for(await self._tenant_of(id)), id))

        return await self._commands.perform(request, command, id, work, query("/message", id=id))

    async def _tenant_of(self, id: str) -> str:
        return await existing(MESSAGE, id, self._journal.messages.tenant_of)


def within_days(filter: MessageFilter) -> MessageFilter:
    """The same by ids, which tell when a message was accepted: so no other days are looked at."""
    after, down_to = filter.after, None
    if filter.end is not None:
        after = min(after or "~", first_id("msg_", min(filter.end, LATEST) + AROUND))
    if filter.start is not None:
        down_to = first_id("msg_", max(filter.start, EARLIEST) - AROUND)
    return structs.replace(filter, after=after, down_to=down_to)


def is_indexed(filter: MessageFilter) -> bool:
    """Whether the journal finds such messages without a look at others."""
    others = (filter.to_email, filter.from_email, filter.subject, filter.category)
    if any(one is not None for one in others):
        return False
    return all(status in NOT_DELIVERED for status in filter.statuses) and not (filter.statuses and filter.batch_id)


def said_of(event: TimelineEvent) -> str:
    """The reply or the reason of an event, or where a click led."""
    said: Sequence[object] = (
        event.bounce_reason,
        event.metadata.get("reason"),
        event.smtp_response,
        event.url,
    )
    return str(next(filter(None, said), ""))
