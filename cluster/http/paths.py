"""One spelling of a path routes; every other is not found.

Routers forgive much: doubled slashes, one at the end, an encoded one. What stands in front (a proxy's access rules, a
log, a cache) does not forgive the same, and so takes one request for another (RFC 3986 §6.2).
"""

from collections.abc import Iterable, Set
from typing import Any
from urllib.parse import unquote_to_bytes

from cluster.http.refusals import Refused

_NOT_FOUND = Refused(404, "Not Found")


class OneSpelling:
    """The application, with this care around it."""

    def __init__(self, app: Any, routes: Iterable[Any]) -> None:
        """``routes``: Litestar's, of the application."""
        self._app = app
        parts = [part for route in routes for part in route.path_components]
        self._words = frozenset(part.encode() for part in parts if isinstance(part, str))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "http" and not is_spelled(scope["raw_path"], self._words):
            await _NOT_FOUND(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_spelled(raw: bytes, words: Set[bytes]) -> bool:
    """Whether a path, as it was sent, is spelled as routes are. ``words``: their segments that are no parameters. A
    parameter may hold any encoded octet but a slash."""
    if b"//" in raw or (raw[-1:] == b"/" and raw != b"/"):
        return False
    if b"%" not in raw and b"/." not in raw:
        return True
    for segment in raw[1:].split(b"/"):
        plain = unquote_to_bytes(segment)
        if b"/" in plain or plain in (b".", b"..") or (plain in words and plain != segment):
            return False
    return True
