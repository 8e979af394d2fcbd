"""A Litestar application: its GET routes also answer HEAD, and a route may bypass Litestar's own steps."""

import re
from collections.abc import Awaitable
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

SERVED_BY = "served_by"
"""The key, in a route's options, of an ASGI application that serves the route; only for routes without path parameters,
or with one as the last segment, which the application reads from the path.
Litestar documents the route and answers exceptions. Its usual steps (finding the route, looking up and wrapping
exception handlers twice, copying ``send``) take longer than a small request does."""

_PARAMETER = re.compile(r"/\{[^/}]+\}$")
"""The last segment of a path, if it is a parameter."""


class Application(Litestar):
    """Routes see HEAD as GET (RFC 9110 §9.3.2). The server drops the body, based on the method of the request."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._served: dict[tuple[str, str], tuple[ASGIApp, HTTPRouteHandler]] = {
            (method, _PARAMETER.sub("/", route.path)): (handler.opt[SERVED_BY], handler)
            for route in self.routes
            for handler in getattr(route, "route_handlers", ())
            if SERVED_BY in handler.opt
            for method in (*handler.http_methods, *(("HEAD",) if "GET" in handler.http_methods else ()))
        }

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:  # type: ignore[override]
        """ASGI. It is not a coroutine itself, as every step of a request would pass through it."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            served = self._served.get((method, path)) or self._served.get((method, path[: path.rfind("/") + 1]))
            if served:
                return self._serve(*served, scope, receive, send)
            if method == "HEAD":
                scope = {**scope, "method": "GET"}
            elif method == "OPTIONS":
                send = _naming_head(send)
        return super().__call__(scope, receive, send)

    async def _serve(self, app: ASGIApp, handler: HTTPRouteHandler, scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = scope["litestar_app"] = self
        scope["route_handler"] = handler
        try:
            await app(scope, receive, send)
        except Exception as error:
            request = self.request_class(scope, receive, send)
            response = self.exception_handlers[Exception](request, error)
            send = self._wrap_send(send, scope)  # as Litestar does, for what is added to every answer
            await response.to_asgi_response(app=None, request=request)(scope, receive, send)


def allowed(methods: str) -> str:
    """The value of Allow for routes with these methods: with HEAD where there is GET, in a fixed order, OPTIONS last.
    Litestar gives them in the order of a set."""
    names = set(methods.split(", "))
    if "GET" in names:
        names.add("HEAD")
    return ", ".join(sorted(names, key=lambda method: (method == "OPTIONS", method)))


def _naming_head(send: Any) -> Any:
    """``send``, for Litestar's own answer to OPTIONS."""

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, allowed(value.decode()).encode() if name.lower() == b"allow" else value)
                for name, value in message["headers"]
            ]
            message = {**message, "headers": headers}
        await send(message)

    return named
