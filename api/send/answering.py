"""Writes the answer to an accepted request to send: such a route is served by itself, without the web framework."""

from litestar.types import Scope, Send

from api.http.idempotency import REPLAYED
from api.http.ignored import HEADER as IGNORED
from api.http.limiting import standing_headers
from api.send.large.frames import Promised


async def answer(
    status: int, body: bytes, promised: Promised, scope: Scope, send: Send, *further: tuple[bytes, bytes]
) -> None:
    """``body`` is JSON. ``further`` are header fields of the route's own."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *further,
        *standing_headers(scope),
    ]
    if promised.ignored:
        headers.append((IGNORED.lower().encode(), promised.ignored.encode()))
    if promised.is_repeat:
        headers.append((REPLAYED.lower().encode(), b"true"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
