"""What a request said in vain, and how its answer says so: the header ``X-Postray-Ignored``.

This module is independent of the web framework, so that the worker process need not load it.
"""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from msgspec import Struct, field

if TYPE_CHECKING:
    from litestar.types import Message, Scope

HEADER = "X-Postray-Ignored"
_HEADER = HEADER.lower().encode()
MOST_NAMED = 20
"""The most ignored paths that are listed."""
LONGEST_PATH = 100
"""In octets, as it is written. All paths together fit into the 4 KB that proxies have for the head of an answer."""
_OF_REQUEST = "postray_ignored"
"""The key in the ASGI scope of a request that said something in vain."""


class Ignored(Struct):
    """``ignored`` has the first paths that are accepted and have no effect, ``more`` the number of the others."""

    ignored: list[str] = field(default_factory=list)
    more: int = 0

    def ignore(self, path: str) -> None:
        if len(self.ignored) < MOST_NAMED:
            self.ignored.append(path)
        else:
            self.more += 1

    def header(self) -> str:
        """The value of the header; "" when nothing was ignored."""
        if not self.ignored:
            return ""
        paths = [_written(path) for path in self.ignored]
        return ",".join([*paths, f"+{self.more}"] if self.more else paths)


def _written(path: str) -> str:
    """The path percent-encoded, or as many of its first characters as there is room for."""
    written = quote(path, safe="[]") if len(path) <= LONGEST_PATH else ""
    if written and len(written) <= LONGEST_PATH:
        return written
    characters = [quote(character, safe="[]") for character in path[:LONGEST_PATH]]
    while sum(map(len, characters)) > LONGEST_PATH:
        characters.pop()
    return "".join(characters)


def ignored_by(scope: "Scope") -> Ignored:
    """What a request says in vain, to add to. Its answer lists it, except that of a route that is served by itself
    (``SERVED_BY``)."""
    ignored: Ignored = cast("MutableMapping[str, Any]", scope).setdefault(_OF_REQUEST, Ignored())
    return ignored


async def list_ignored(message: "Message", scope: "Scope") -> None:
    """Litestar's hook before each part of an answer is sent: adds the header to its start."""
    if _OF_REQUEST in scope and message["type"] == "http.response.start":
        ignored = ignored_by(scope).header()
        if ignored:
            message["headers"] = [*message["headers"], (_HEADER, ignored.encode())]
