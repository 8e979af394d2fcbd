"""A Litestar application whose GET routes answer HEAD, too (RFC 9110 §9.3.2)."""

from collections.abc import Awaitable
from typing import Any

from litestar import Litestar


class Application(Litestar):
    """To its routes, HEAD is GET. The server drops the body, by the method that it was asked with."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:  # type: ignore[override]
        """ASGI; no coroutine of its own, which each step of a request would go through."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        return super().__call__(scope, receive, send)
