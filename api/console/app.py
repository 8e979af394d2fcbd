"""The application of the console: its routes and what they share. Creating it does no I/O."""

from collections.abc import MutableMapping, Sequence
from functools import partial
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import Message, Scope

from analytics.timeline import Timeline
from api.admin.routes import Admin
from api.batches import Estimate
from api.console.auditing import AuditPages
from api.console.batches import BatchPages
from api.console.commands import Commands
from api.console.entering import Entering
from api.console.failing import Failures
from api.console.live import Live
from api.console.messages import MessagePages
from api.console.now import NowFacts, now_view
from api.console.owning import OwningPages
from api.console.pages import HEADERS, Pages
from api.console.requests import FORM_BYTES, ConsoleRequest
from api.console.running import RunningPages
from api.console.sessions import Sessions
from api.console.sites import LimitsOf, SitePages
from api.console.sql import AskSql, SqlPages
from api.console.tenants import Tenants
from api.console.watching import Watcher
from api.health import Readiness
from api.http.routes import RouteGroup
from cluster.access.noting import Notes
from cluster.access.terms import network
from cluster.http.application import Application
from cluster.journal.journal import Journal
from cluster.settings import MessageSettings

_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
FILES_KEPT = "private, max-age=86400"
"""Their URLs have a version."""


class Console:
    """The application, and what is ended before its server is."""

    def __init__(
        self,
        admin: Admin,
        journal: Journal,
        readiness: Readiness,
        *,
        timeline: Timeline,
        lifetime_s: float,
        limits: MessageSettings,
        limits_of: LimitsOf,
        estimate: Estimate,
        ask_sql: AskSql,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """``admin`` has the services. ``lifetime_s`` is the new lifetime of a retried message, ``limits`` apply to
        composed ones. ``limits_of`` tells the limits of a site, ``estimate`` when a batch will be done;
        ``ask_sql`` asks the events.
        ``trusted_proxies``: networks of proxies whose X-Forwarded-For is believed."""
        trusted = tuple(map(network, trusted_proxies))
        self._pages = Pages()
        self._watcher = Watcher(admin, journal, readiness)
        self._shown: NowFacts | None = None
        self._shown_part = ""
        self._live = Live()
        sessions = Sessions(journal.console_sessions, admin.operators)
        commands = Commands(Notes(journal.operator_audit), trusted)
        tenants = Tenants(journal.known_names, admin.names, journal.tenants.find)
        self._entering = Entering(self._pages, sessions, commands, trusted)
        parts = (
            MessagePages(
                self._pages,
                commands,
                tenants,
                admin,
                journal,
                timeline=timeline,
                lifetime_s=lifetime_s,
                limits=limits,
            ),
            SitePages(self._pages, commands, admin, tenants, limits_of, self._live, self._entering.is_admitted),
            OwningPages(self._pages, commands, admin),
            RunningPages(self._pages, commands, admin),
            BatchPages(self._pages, commands, tenants, journal, estimate),
            AuditPages(self._pages, journal.operator_audit),
            SqlPages(self._pages, commands, ask_sql),
        )
        operators = RouteGroup(
            "/",
            route_handlers=[
                get("/")(self.now),
                get("/live/now")(self.live_now),
                *self._entering.for_operators(),
                *(handler for part in parts for handler in part.handlers()),
            ],
            guards=[self._entering.guard],
        )
        open_to_all = RouteGroup(
            "/", route_handlers=[*self._entering.open_to_all(), get("/static/{name:str}")(self.file)]
        )
        self.app = Application(
            [operators, open_to_all],
            request_class=Request,
            request_max_body_size=FORM_BYTES,
            exception_handlers={Exception: Failures(self._pages).answer},
            before_send=[_secured],
            on_shutdown=[self._watcher.stop],
            openapi_config=None,
            logging_config=None,
            debug=False,
        )

    def end_live(self) -> None:
        """End what would keep the server from stopping."""
        self._live.stop()

    async def now(self, request: ConsoleRequest) -> Response[str]:
        view = now_view(await self._watcher.facts())
        return self._pages.page(request, "now", session=request.auth, view=view, live="/live/now")

    async def live_now(self, request: ConsoleRequest) -> Stream:
        return self._live.stream(self._now_part, partial(self._entering.is_admitted, request))

    async def _now_part(self) -> str:
        """What changes on ``now``, made once for all who look."""
        facts = await self._watcher.facts()
        if facts is not self._shown:
            self._shown = facts
            self._shown_part = self._pages.html("now_part", view=now_view(facts))
        return self._shown_part

    async def file(self, name: FromPath[str]) -> Response[bytes]:
        file = self._pages.files.get(name)
        if file is None:
            raise NotFoundException
        return Response(file.body, media_type=file.media_type, headers={"cache-control": FILES_KEPT})


async def _secured(message: Message, _: Scope) -> None:
    """Add the headers of every answer, where it does not have its own."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        own = {name.lower() for name, _ in headers}
        told: MutableMapping[str, Any] = message  # type: ignore[assignment]  # Litestar's type has no write
        told["headers"] = [*headers, *((name, value) for name, value in _HEADERS if name not in own)]
