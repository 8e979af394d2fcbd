"""A Litestar application: its GET routes answer HEAD, too, and a route may be served without Litestar's own steps."""

from collections.abc import Awaitable
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

SERVED_BY = "served_by"
"""A route without path parameters may have an ASGI application under this name among its options. It serves the route:
Litestar documents it, and answers what is raised. Its steps to a handler and back (a search for the route, exception
handlers looked up and put around two times, copies of ``send``) take longer than a small request does."""


class Application(Litestar):
    """To its routes, HEAD is GET (RFC 9110 §9.3.2). The server drops the body, by the method that it was asked with."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._served: dict[tuple[str, str], tuple[ASGIApp, HTTPRouteHandler]] = {
            (method, route.path): (handler.opt[SERVED_BY], handler)
            for route in self.routes
            for handler in getattr(route, "route_handlers", ())
            if SERVED_BY in handler.opt
            for method in (*handler.http_methods, *(("HEAD",) if "GET" in handler.http_methods else ()))
        }

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:  # type: ignore[override]
        """ASGI; no coroutine of its own, which each step of a request would go through."""
        if scope["type"] == "http":
            if served := self._served.get((scope["method"], scope["path"])):
                return self._serve(*served, scope, receive, send)
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
        return super().__call__(scope, receive, send)

    async def _serve(self, app: ASGIApp, handler: HTTPRouteHandler, scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = scope["litestar_app"] = self
        scope["route_handler"] = handler
        try:
            await app(scope, receive, send)
        except Exception as error:
            request = self.request_class(scope, receive, send)
            response = self.exception_handlers[Exception](request, error)
            await response.to_asgi_response(app=None, request=request)(scope, receive, send)
