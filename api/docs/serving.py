"""GET / leads to GET /docs, the page; GET /docs/{name} serves its files. They need no key and are not in OpenAPI.

All links are relative, so that the page also works behind a proxy that adds a prefix to the path.
"""

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Redirect
from msgspec import Struct

from api.http import help_texts
from api.http.refusals import NotFound
from api.http.routes import RouteGroup

PAGE = ""
"""The page's name among its files. It has no path below /docs: there its relative links would lead nowhere."""

_HEADERS: Final = {
    # Swagger UI sets style attributes and has its icons as data URLs.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
"""``no-cache``: a browser keeps a file and asks with its ETag whether it has changed."""


class File(Struct, frozen=True):
    """A file of the page."""

    body: bytes
    media_type: str
    etag: str


class Docs:
    """The routes of this module."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        """Read at the first request; 2 MB, most of it Swagger UI."""

    def routes(self) -> RouteGroup:
        root = get("/", include_in_schema=False)
        page = get("/docs", include_in_schema=False)
        file = get("/docs/{name:str}", include_in_schema=False)
        return RouteGroup("/", route_handlers=[root(self.root), page(self.page), file(self.file)])

    async def root(self) -> Redirect:
        return Redirect("docs", status_code=302)

    async def page(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        return self._answer(request, PAGE)

    async def file(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        return self._answer(request, name)

    def _answer(self, request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """RFC 9110 §13.1.2 (If-None-Match)."""
        if not self._files:
            self._files = _read()
        if (file := self._files.get(name)) is None:
            raise NotFound("The page has no such file", help=help_texts.CALLS)
        headers = {**_HEADERS, "etag": file.etag}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if file.etag in known or "*" in known:
            return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
        return Response(file.body, headers=headers, media_type=file.media_type)


def _read() -> dict[str, File]:
    """The files of the page by name."""
    own = files("api.docs")
    swagger_ui = files("mkdocs_swagger_ui_tag") / "swagger-ui"
    return {
        PAGE: _file(own / "page.html", "text/html"),
        "page.js": _file(own / "page.js", "text/javascript"),
        "page.css": _file(own / "page.css", "text/css"),
        "swagger-ui-bundle.js": _file(swagger_ui / "javascripts" / "swagger-ui-bundle.js", "text/javascript"),
        "swagger-ui.css": _file(swagger_ui / "stylesheets" / "swagger-ui.css", "text/css"),
    }


def _file(path: Traversable, media_type: str) -> File:
    body = path.read_bytes()
    return File(body, media_type, f'"{sha256(body).hexdigest()[:32]}"')
