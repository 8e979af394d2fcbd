"""A small HTTP client for the scenarios: one connection per request, and a distinct error for each way to fail.

A load generator must know whether a failed request may have been accepted, which general clients do not report:
``NotSent`` means that it cannot have been, ``Unanswered`` that it may.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

CONNECT_S = 5.0
MOST_HEADER_BYTES = 64 * 1024


class NotSent(Exception):
    """No connection was opened: the server has not seen the request."""


class Unanswered(Exception):
    """At least a part was sent, and no complete answer received: the outcome is unknown."""


class HttpAnswer(Struct, frozen=True):
    """A response. ``headers``: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to one server, with one key."""

    def __init__(self, url: str, key: str, answer_s: float = 15.0) -> None:
        """``answer_s``: how long an answer may take, from connecting to its last byte."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._key = key
        self._answer_s = answer_s

    async def get(self, path: str) -> HttpAnswer:
        """Raises NotSent, Unanswered."""
        return await self.request("GET", path)

    async def post(self, path: str, body: Any = None) -> HttpAnswer:
        """``body``: a JSON value. Raises NotSent, Unanswered."""
        return await self.request("POST", path, b"" if body is None else json.dumps(body).encode())

    async def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> HttpAnswer:
        """Raises NotSent, Unanswered."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=MOST_HEADER_BYTES)
        except (OSError, TimeoutError) as error:
            raise NotSent(str(error) or "no connection in time") from error
        try:
            async with asyncio.timeout(self._answer_s):
                writer.write(self._head(method, path, len(body), content_type) + body)
                await writer.drain()
                return await _read(reader)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, TimeoutError) as error:
            raise Unanswered(str(error) or type(error).__name__) from error
        finally:
            writer.transport.abort()

    def _head(self, method: str, path: str, length: int, content_type: str) -> bytes:
        lines = (
            f"{method} {path} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            f"Authorization: Bearer {self._key}",
            f"Content-Type: {content_type}",
            f"Content-Length: {length}",
            "Connection: close",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _read(reader: asyncio.StreamReader) -> HttpAnswer:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    headers = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    # Our API always sends Content-Length.
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return HttpAnswer(int(status_line.split()[1]), headers, body)
