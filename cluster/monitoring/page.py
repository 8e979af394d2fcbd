"""GET /metrics as an ASGI application: a route of the API, or all that a server of its own answers (``Alone``)."""

from collections.abc import Awaitable
from typing import Any

from cluster.http.partly import PathsOf
from cluster.http.refusals import RefusedRequest
from cluster.monitoring.scraping import Scraping

PATH = "/metrics"
_NOT_FOUND = RefusedRequest(404, "Not Found")
_NOT_ALLOWED = RefusedRequest(405, "Method Not Allowed")


class MetricsPage:
    """Answers GET; the server drops the body for HEAD."""

    def __init__(self, scraping: Scraping) -> None:
        self._scraping = scraping

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """The text, and its content type. ``accept``: the value of the header."""
        # Not loaded before: most processes that could be asked never are.
        from cluster.monitoring.exposition import exposition

        return exposition(await self._scraping.readings(), accept)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        body, content_type = await self.answer(accept)
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


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
