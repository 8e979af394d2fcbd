"""/messages and /message: the messages of a tenant, and one message: where it is, why, what next, and its timeline."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

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
from api.messages.reading import MessageReading
from api.messages.searching import MessageSearches
from api.messages.showing import MessageShowing
from api.messages.versions import Versions
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from cluster.settings import MessageSettings

PAGE_SIZE = 50
EVENTS_SHOWN = 200
FILTERS = ("status", "to_email", "from_email", "subject", "batch_id", "category", "start_date", "end_date")
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
        self._reading = MessageReading(MessageSearches(journal), self._showing, limits)
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
        found, following = None, ""
        if chosen.id:
            asked: dict[str, Any] = {name: given[name] or None for name in (*FILTERS, "after")}
            listed = await self._reading.listing(acting_for(chosen.id), page_size=PAGE_SIZE, **asked)
            found = listed.messages
            if len(found) == PAGE_SIZE:
                following = query("/messages", **{**given, "after": found[-1].id})
        return self._pages.page(
            request,
            "messages",
            session=request.auth,
            given=given,
            chosen=chosen,
            found=found,
            following=following,
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
            explained=explained,
            events=[(event, said_of(event)) for event in events[-EVENTS_SHOWN:]],
            left_out=max(0, len(events) - EVENTS_SHOWN),
            is_over=shown.status in ENDED,
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


def said_of(event: TimelineEvent) -> str:
    """The reply or the reason of an event, or where a click led."""
    said: Sequence[object] = (
        event.bounce_reason,
        event.metadata.get("reason"),
        event.smtp_response,
        event.url,
    )
    return str(next(filter(None, said), ""))
