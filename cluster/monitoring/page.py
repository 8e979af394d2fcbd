"""GET /metrics as an ASGI application: a route of the API, or all that a server of its own answers (``Alone``)."""

from collections.abc import Awaitable
from typing import Any

from cluster.http.partly import PathsOf
from cluster.http.refusals import RefusedRequest
from cluster.monitoring.scraping import PATIENCE_S, Scraping

PATH = "/metrics"
PATIENCE = b"x-prometheus-scrape-timeout-seconds"
"""With it Prometheus says how long it waits."""
_NOT_FOUND = RefusedRequest(404, "Not Found")
_NOT_ALLOWED = RefusedRequest(405, "Method Not Allowed")


class MetricsPage:
    """Answers GET; the server drops the body for HEAD."""

    def __init__(self, scraping: Scraping) -> None:
        self._scraping = scraping

    async def answer(self, accept: str, patience_s: float = PATIENCE_S) -> tuple[bytes, str]:
        """The text, and its content type. ``accept``: the value of the header. ``patience_s``: how long the client
        waits."""
        # Not loaded before: most processes that could be asked never are.
        from cluster.monitoring.exposition import exposition

        return exposition(await self._scraping.readings(patience_s), accept)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        sent: dict[bytes, bytes] = dict(scope["headers"])
        accept = sent.get(b"accept", b"").decode("latin-1")
        body, content_type = await self.answer(accept, _seconds(sent.get(PATIENCE, b"")))
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _seconds(told: bytes) -> float:
    """A client's patience; what is no number of seconds is left aside."""
    try:
        seconds = float(told)
    except ValueError:
        return PATIENCE_S
    return seconds if 0 < seconds <= PATIENCE_S else PATIENCE_S


class Alone:
    """The page, and nothing else, for a server of its own."""

    def __init__(self, page: MetricsPage) -> None:
        self._page = page
        self._served = PathsOf(self._answer, PATH)

    def serve(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI."""
        return self._served(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != PATH:
            await _NOT_FOUND(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await _NOT_ALLOWED(scope, receive, send)
        else:
            await self._page(scope, receive, send)
