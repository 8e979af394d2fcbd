"""A cache of the rendered OpenAPI document: it is public, and rendering takes a hundred milliseconds."""

from typing import Any

from litestar import Request, Router
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.types import Receive, Scope, Send

from api.http.examples import add_examples
from cluster.http.application import SERVED_BY


class ReadyMade(OpenAPIRenderPlugin):
    """Renders another plugin's document at its first request and sends the same octets in each response."""

    def __init__(self, plugin: OpenAPIRenderPlugin) -> None:
        super().__init__(path=plugin.paths, media_type=plugin.media_type)
        self._plugin = plugin
        self._document: bytes | None = None
        self._headers: list[tuple[bytes, bytes]] = []

    def receive_router(self, router: Router) -> None:
        for route in router.routes:
            for handler in getattr(route, "route_handlers", ()):
                if handler.paths.issuperset(self.paths):
                    handler.opt[SERVED_BY] = self._serve

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._document is None:
            add_examples(openapi_schema, request.app.routes)
            self._document = self._plugin.render(request, openapi_schema)
        return self._document

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not self._headers:
            document = self.render(Request(scope), scope["litestar_app"].openapi_schema.to_schema())
            length = b"%d" % len(document)
            self._headers = [(b"content-type", self.media_type.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._document or b"", "more_body": False})
