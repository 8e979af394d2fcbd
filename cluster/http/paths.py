"""A path is routed in one spelling only; every other spelling is answered with 404.

Routers accept variants: doubled slashes, a trailing slash, an encoded one. Components in front (a proxy's access rules,
a log, a cache) accept other variants, and so mistake one resource for another (RFC 3986 §6.2).
"""

from collections.abc import Awaitable, Iterable, Set
from typing import Any
from urllib.parse import unquote_to_bytes

from cluster.http.refusals import RefusedRequest

_NOT_FOUND = RefusedRequest(404, "Not Found", "A path has one spelling: no doubled, trailing or encoded slash")


class OneSpelling:
    """An ASGI wrapper around the application that checks the spelling of paths."""

    def __init__(self, app: Any, routes: Iterable[Any]) -> None:
        """``routes``: the application's Litestar routes."""
        self._app = app
        paths = [route.path_components for route in routes]
        self._words = frozenset(part.encode() for path in paths for part in path if isinstance(part, str))
        plain = [path for path in paths if all(isinstance(part, str) for part in path)]
        self._plain = frozenset("/".join(["", *path]).encode() for path in plain)
        """Paths of routes without parameters: most requests are for one."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI. It is not a coroutine itself, as every step of a request would pass through it."""
        spelled = scope["type"] != "http" or (raw := scope["raw_path"]) in self._plain or is_spelled(raw, self._words)
        answer: Awaitable[None] = (self._app if spelled else _NOT_FOUND)(scope, receive, send)
        return answer


def is_spelled(raw: bytes, words: Set[bytes]) -> bool:
    """Whether a path, as sent, is spelled as the routes are. ``words``: the routes' segments that are not parameters. A
    parameter may contain any encoded octet but a slash."""
    if b"//" in raw or (raw[-1:] == b"/" and raw != b"/"):
        return False
    if b"%" not in raw and b"/." not in raw:
        return True
    for segment in raw[1:].split(b"/"):
        plain = unquote_to_bytes(segment)
        if b"/" in plain or plain in (b".", b"..") or (plain in words and plain != segment):
            return False
    return True
