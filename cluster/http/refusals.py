"""The answer when a request cannot even be passed to the application: JSON, like all errors."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

RETRY_AFTER_S = 5


class RefusedRequest(Exception):
    """The request is refused. As an ASGI application, it answers every request with the error."""

    def __init__(self, status: int, detail: str, help: str | None = None) -> None:
        """``help`` is the way out."""
        super().__init__(status, detail, help)
        self.status = status
        self.detail = detail
        self.help = help

    def __str__(self) -> str:
        return f"{self.status} {self.detail}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        content, headers = self._content()
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": False})

    def response(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The octets of the last response of a connection, with ``headers`` in addition to its own."""
        content, own = self._content()
        lines = [b"HTTP/1.1 %d %s" % (self.status, HTTPStatus(self.status).phrase.encode())]
        lines += [b"%s: %s" % field for field in (*headers, *own, (b"connection", b"close"))]
        return b"\r\n".join(lines) + b"\r\n\r\n" + content

    def _content(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        error = {"message": self.detail, "field": None, "help": self.help}  # the format of api/http/errors.py
        content = msgspec.json.encode({"errors": [error], "detail": self.detail})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        if self.status == 503:
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
        return content, headers
