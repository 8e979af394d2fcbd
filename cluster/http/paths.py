"""A path is routed in one spelling only; every other spelling is answered with 404.

Routers accept variants: doubled slashes, a trailing slash, an encoded one. Components in front (a proxy's access rules,
a log, a cache) accept other variants, and so mistake one resource for another (RFC 3986 §6.2).

Only an email address in a path may hold a slash, encoded: ``a/b@example.com`` is one (RFC 5321 §4.1.2). Routers split
decoded paths at each slash, so such a path is routed as it was sent, and its parameters are decoded afterwards.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence, Set
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from cluster.http.refusals import RefusedRequest

WITH_SLASH = "email"
"""The name of path parameters that may hold a slash."""
_NOT_FOUND = RefusedRequest(404, "Not Found", "A path has one spelling: no doubled, trailing or encoded slash")
_AS_SENT = "path_as_sent"


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
        named = [[part.encode() if isinstance(part, str) else None for part in path] for path in paths]
        self._with_address = [
            shape
            for path, shape in zip(paths, named, strict=True)
            if path and not isinstance(path[-1], str) and path[-1].name == WITH_SLASH
        ]
        """The routes that end with an address, as the segments of each; None for a parameter."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI. It is not a coroutine itself, as every step of a request would pass through it."""
        spelled = scope["type"] != "http" or (raw := scope["raw_path"]) in self._plain or is_spelled(raw, self._words)
        if not spelled and is_spelled_with_slash(raw, self._words, self._with_address):
            scope = {**scope, "path": raw.decode("ascii"), _AS_SENT: True}
            spelled = True
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


def is_spelled_with_slash(raw: bytes, words: Set[bytes], routes: Iterable[Sequence[bytes | None]]) -> bool:
    """Whether a path ends with an address that holds a slash, and is spelled as the routes are otherwise. ``routes``:
    those that end with an address, by their segments; None stands for a parameter."""
    before, _, address = raw.rpartition(b"/")
    if b"%2f" not in address.lower() or b"@" not in unquote_to_bytes(address) or not raw.isascii():
        return False
    if not is_spelled(before, words):
        return False
    given = before[1:].split(b"/")
    return any(
        len(route) == len(given) + 1 and all(own in (None, part) for own, part in zip(route, given, strict=False))
        for route in routes
    )


def decoded(scope: Any, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters that a router found in the path of a request."""
    if _AS_SENT not in scope:
        return parameters
    return {name: unquote(value) if isinstance(value, str) else value for name, value in parameters.items()}
