"""/login and /logout."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.response import Redirect

from api.console.commands import Commands
from api.console.failing import NotLoggedIn
from api.console.pages import Pages
from api.console.requests import (
    COOKIE,
    LOGIN_COOKIE,
    ConsoleRequest,
    address_of,
    cookie,
    form,
    login_form,
    new_cookie,
    next_page,
)
from api.console.sessions import LIFE, Sessions, new_token
from api.console.throttling import LoginThrottle
from api.http.refusals import Unauthenticated
from cluster.access.client_address import address_key
from cluster.access.login_failures import failure_line
from cluster.policy.routes.networks import Network

log = logging.getLogger(__name__)

WRONG = "This is no operator token that is in use"


class Entering:
    """The routes of this module, and the guard of all others."""

    def __init__(
        self,
        pages: Pages,
        sessions: Sessions,
        commands: Commands,
        trusted: Sequence[Network],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``trusted``: networks of proxies whose X-Forwarded-For is believed."""
        self._pages = pages
        self._sessions = sessions
        self._commands = commands
        self._trusted = trusted
        self._throttle = LoginThrottle(clock)

    def open_to_all(self) -> list[HTTPRouteHandler]:
        return [get("/login")(self.show), post("/login", status_code=200)(self.enter)]

    def for_operators(self) -> list[HTTPRouteHandler]:
        return [post("/logout", status_code=303)(self.leave)]

    async def guard(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Admit one who is logged in. Raises NotLoggedIn, Unavailable."""
        session = await self._sessions.find(connection.cookies.get(COOKIE, ""))
        if session is None:
            raise NotLoggedIn
        connection.scope["auth"] = session

    async def is_admitted(self, request: ConsoleRequest) -> bool:
        """Whether one who was admitted still is. Raises Unavailable."""
        return await self._sessions.find(cookie(request, COOKIE)) is not None

    async def show(self, request: ConsoleRequest) -> Response[str]:
        return self._page(request, request.query_params.get("next", ""))

    async def enter(self, request: ConsoleRequest) -> Response[Any]:
        fields = await login_form(request)
        address, after = address_of(request, self._trusted), fields.get("next", "")
        key = address_key(address)
        if (wait_s := self._throttle.wait_s(key)) > 0:
            said = f"Too many wrong tokens from your address: try again in {wait_s:.0f} s"
            answer = self._page(request, after, said, 429)
            answer.headers["retry-after"] = str(int(wait_s) + 1)
            return answer
        try:
            value, session = await self._sessions.open(fields.get("token", "").strip())
        except Unauthenticated:
            self._throttle.failed(key)
            log.warning("%s", failure_line(address, "console"))
            return self._page(request, after, WRONG, 403)
        self._throttle.succeeded(key)
        async with self._commands.noted(request, session.operator, "log in", ""):
            pass  # it is done
        # The session's cookie lives as long as the session, which the journal ends as well.
        return Redirect(
            next_page(after),
            status_code=303,
            cookies=[
                new_cookie(request, COOKIE, value, max_age_s=int(LIFE.total_seconds())),
                new_cookie(request, LOGIN_COOKIE, "", max_age_s=0),
            ],
        )

    async def leave(self, request: ConsoleRequest) -> Redirect:
        await form(request)
        await self._sessions.close(request.auth)
        async with self._commands.noted(request, request.auth.operator, "log out", ""):
            pass  # it is done
        return Redirect("/login", status_code=303, cookies=[new_cookie(request, COOKIE, "", max_age_s=0)])

    def _page(self, request: ConsoleRequest, after: str, fault: str = "", status: int = 200) -> Response[str]:
        token = cookie(request, LOGIN_COOKIE) or new_token()
        return self._pages.page(
            request,
            "login",
            session=None,
            status=status,
            cookies=[new_cookie(request, LOGIN_COOKIE, token)],
            token=token,
            after=after,
            fault=fault,
        )
