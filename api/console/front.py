"""What ``admin.bind`` answers: the console, and /api/admin as http.bind does."""

from collections.abc import Awaitable
from typing import Any

API = "/api/admin/"


class Front:
    """An ASGI application of two: ``console`` starts and stops with the server, ``api`` with a server of its own."""

    def __init__(self, console: Any, api: Any) -> None:
        self._console = console
        self._api = api

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI. It is not a coroutine itself, as every step of a request would pass through it."""
        is_api = scope["type"] == "http" and scope["path"].startswith(API)
        answer: Awaitable[None] = (self._api if is_api else self._console)(scope, receive, send)
        return answer
