"""GET /i/{id}: an image, for everybody and without a key; its URL stands in mail.

It is an ASGI application of its own, since a popular mail is opened by thousands at a time. RFC 9110, RFC 8246.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import msgspec
from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery
from litestar.types import Receive, Scope, Send

from api.http import help_texts
from api.http.errors import ErrorBody, answers
from api.http.examples import IMAGE_ID, Example
from api.http.existing import IMAGE, missing
from api.http.refusals import Fault
from api.http.routes import RouteGroup, resource
from api.images.cache import Gone, ImageCache, Served
from api.images.ranges import ConditionFailed, Unsatisfiable, is_known, is_meant, part
from cluster.http.application import SERVED_BY
from cluster.images import urls

PATH = urls.PATH.removesuffix("/")
DELETED = "The image was deleted"
MISSING = "The image does not exist"
BEYOND = "The range is beyond the end of the image"
OTHER = "The image is not the one that If-Match names"
NO_VARIANT = "There is one variant: thumbnail"
LONGEST_QUERY = 2000
"""What follows in a query is not read."""
Opened = Callable[[Scope, str, str], Awaitable[None]]
_NOTHING = b""
_encode = msgspec.json.Encoder().encode


class ImageServing:
    """The route of this module."""

    def __init__(self, cache: ImageCache, viewed: Callable[[str], None], opened: Opened) -> None:
        """``viewed`` is called with the id of an image that was fetched, ``opened`` where a message shows it: with the
        request, the token of the message, and the id."""
        self._cache = cache
        self._viewed = viewed
        self._opened = opened

    def routes(self) -> RouteGroup:
        route = get(
            "/{id:str}",
            responses={
                200: ResponseSpec(bytes, description="The image", media_type="image/*", generate_examples=False),
                206: ResponseSpec(bytes, description="A part of it", media_type="image/*", generate_examples=False),
                304: ResponseSpec(None, description="The client has it already", generate_examples=False),
                **answers(400, 404, 410, 412, 416, 503),
            },
            opt={SERVED_BY: self.serve},
            summary="An image, as mail shows it",
            example=Example(path={"id": IMAGE_ID}),
        )
        return resource(PATH, route(self.show), tag="images")

    async def show(
        self,
        id: FromPath[str],
        variant: FromQuery[str | None] = None,
        tombstone: FromQuery[bool] = False,
        m: FromQuery[str | None] = None,
    ) -> bytes:
        """The route in the OpenAPI document; ``serve`` answers its requests."""
        found = await self._cache.load((id, variant == "thumbnail"))
        if not isinstance(found, Served):
            raise missing(IMAGE)
        return found.content

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        method: str = scope["method"]  # type: ignore[typeddict-item]  # of HTTP
        id = scope["path"][len(PATH) + 1 :]
        variant = token = ""
        if scope["query_string"]:
            variant, token = _query(scope["query_string"])
            if variant not in ("", "thumbnail"):
                await _refuse(send, 400, NO_VARIANT, "variant")
                return
        thumbnail = variant != ""
        found = self._cache.get((id, thumbnail)) or await self._cache.load((id, thumbnail))
        if not isinstance(found, Served):
            status, detail = (410, DELETED) if isinstance(found, Gone) else (404, MISSING)
            await _refuse(send, status, detail, None)
            return
        try:
            status, headers, body, begins = _answer(scope, found, method == "GET")
        except ConditionFailed:
            await _refuse(send, 412, OTHER, "If-Match")
            return
        except Unsatisfiable:
            await _refuse(send, 416, BEYOND, "Range", (b"content-range", b"bytes */%d" % len(found.content)))
            return
        if begins and method == "GET":
            if not thumbnail:
                self._viewed(id)
            if token:
                await self._opened(scope, token, id)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _answer(scope: Scope, found: Served, in_part: bool) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool]:
    """The status, the headers, the body, and whether the answer has the image from its beginning, or the client has.
    ``in_part``: whether a range is answered, as it is for GET alone. Raises ConditionFailed, Unsatisfiable."""
    range_ = if_range = if_match = None
    known = False
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            known = known or is_known(value, found.etag)
        elif name == b"if-match":
            if_match = value if if_match is None else if_match + b"," + value
        elif name == b"range":
            range_ = value
        elif name == b"if-range":
            if_range = value
    if if_match is not None and not is_meant(if_match, found.etag):
        raise ConditionFailed
    if known:
        kept = (b"content-type", b"content-length", b"accept-ranges")
        return 304, [header for header in found.headers if header[0] not in kept], _NOTHING, True
    if range_ is None or not in_part:
        return 200, found.headers, found.content, True
    size = len(found.content)
    asked = part(range_, if_range, found.etag, size)
    if asked is None:
        return 200, found.headers, found.content, True
    start, end = asked
    others = [header for header in found.headers if header[0] != b"content-length"]
    length = (b"content-length", b"%d" % (end - start))
    return (
        206,
        [*others, length, (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size))],
        found.content[start:end],
        start == 0,
    )


def _query(query: bytes) -> tuple[str, str]:
    """The variant ("" is the image itself), and the token of the message that shows it. Other parameters mean nothing
    here: mail clients and caches add some."""
    values = parse_qs(query[:LONGEST_QUERY].decode("latin-1"))
    return values.get("variant", [""])[-1], values.get("m", [""])[-1]


async def _refuse(send: Send, status: int, detail: str, field: str | None, *headers: tuple[bytes, bytes]) -> None:
    body = _encode(ErrorBody([Fault(detail, field, help_texts.IMAGES)], detail))
    sent = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body, "more_body": False})
