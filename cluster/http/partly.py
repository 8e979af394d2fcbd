"""Serves only some paths of an application, for a server of its own that faces more clients than the whole does."""

from collections.abc import Awaitable
from typing import Any

from cluster.http.refusals import RefusedRequest

_NOT_FOUND = RefusedRequest(404, "Not Found")


class PathsOf:
    """An ASGI wrapper around an application that another server starts and stops."""

    def __init__(self, app: Any, *beginnings: str) -> None:
        """``beginnings``: what the paths begin with that are served; all others are answered with 404."""
        self._app = app
        self._beginnings = beginnings

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI. It is not a coroutine itself, as every step of a request would pass through it."""
        if scope["type"] == "lifespan":
            return _live(receive, send)
        answer: Awaitable[None] = (self._app if scope["path"].startswith(self._beginnings) else _NOT_FOUND)(
            scope, receive, send
        )
        return answer


async def _live(receive: Any, send: Any) -> None:
    """The server's start and stop, which are not the application's."""
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})
