"""Responds to a request whose body is not read to its end.

The server would read and drop the rest of the body, however long, before the next request on that connection, so the
connection is closed. It is not closed at once: a client that is still sending would get a reset instead of the
response. The response is sent first. Then the body up to the limit is read and dropped, and the connection is held
unread for a moment so that the client can read the response. RFC 9112 §9.6 (tear-down).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

from cluster.http.protocol import ANSWERED

SKIPPED_BYTES = 65_536
"""The server skips an unread body up to this length, so that the connection can be kept."""
DRAIN_S = 5.0
HOLD_S = 1.0


class UnreadBodies:
    """Wraps the application. ``limit`` is the most bytes of a body that are read, used or dropped."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The ASGI entry point. It is not a coroutine itself, which would add cost to each step of a request."""
        if scope["type"] == ScopeType.HTTP and _is_long(scope["headers"]):
            extension: Any = (scope.get("extensions") or {}).get(ANSWERED, {})
            answered = extension.get("tell", _nothing)
            return _Exchange(receive, send, self._limit, answered).run(self._app, scope)
        return self._app(scope, receive, send)


def _is_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"transfer-encoding":
            return True
        if name == b"content-length":
            return not (value.isdigit() and len(value) < 10 and int(value) <= SKIPPED_BYTES)
    return False


def _nothing() -> None:
    """The default for a server that does not set it."""


class _Exchange:
    """One request with a long body, and its response."""

    def __init__(self, receive: Receive, send: Send, limit: int, answered: Callable[[], None]) -> None:
        """``answered`` notifies the server that it may give the connection's slot to others."""
        self._receive = receive
        self._send = send
        self._left = limit
        self._answered = answered
        self._ended = False
        self._closing = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self.receive, self.send)

    async def receive(self) -> HTTPReceiveMessage:
        message: HTTPReceiveMessage = await self._receive()  # type: ignore[assignment]
        if message["type"] == "http.request":
            self._left -= len(message["body"])
            self._ended = not message["more_body"]
        else:
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._ended:
            self._closing = True
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        if not self._closing or message["type"] != "http.response.body" or message["more_body"]:
            await self._send(message)
            return
        message["more_body"] = True  # the server closes the connection at the end of the response
        await self._send(message)
        self._answered()
        await self._linger()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                while self._left > 0 and not self._ended:
                    await self.receive()
        except TimeoutError:
            return
        if not self._ended:
            await asyncio.sleep(HOLD_S)
