"""GET /t/o/{token}.gif and GET /t/c/{token}: the pixel of a message, and its links. For recipients, without an API key.

Each is an ASGI application of its own, since thousands open a mail at a time. Both are answered before anything is
written. What a token leads to stands in it, signed; nothing else of a request matters. RFC 9110.
"""

from collections.abc import Sequence

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.types import Receive, Scope, Send

from api.http import help_texts
from api.http.body import header
from api.http.errors import ErrorBody, answers
from api.http.examples import CLICK_TOKEN, PIXEL_TOKEN, Example
from api.http.media import accepted
from api.http.refusals import Fault, NotFound
from api.http.routes import RouteGroup, resource
from api.tracking.recording import Engagements
from api.unsubscribing.page import HEADERS, failure
from api.unsubscribing.words import language_of
from cluster.access.terms import network
from cluster.http.application import SERVED_BY
from cluster.journal.journal import Unavailable
from cluster.tracking.clients import Client, client_of, kept
from cluster.tracking.keys import TokenKeys
from cluster.tracking.location import location
from cluster.tracking.tokens import Kind

PATH = "/t"
OPENS = f"{PATH}/o/"
CLICKS = f"{PATH}/c/"
ENDING = ".gif"
PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00"
    b"\x01\x00\x00\x02\x01D\x00;"
)
"""One transparent pixel (GIF89a)."""
MISSING = "The URL is not one that postray made, or not all of it"

_ALWAYS = [
    # Each open and each click is to arrive here.
    (b"cache-control", b"no-store"),
    (b"x-robots-tag", b"noindex, nofollow"),
]
_PIXEL_HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"%d" % len(PIXEL)),
    *_ALWAYS,
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"cross-origin"),  # mail clients on the web show it in their own pages
]
_REDIRECT_HEADERS = [
    (b"content-length", b"0"),
    *_ALWAYS,
    # The target need not know the recipient's token.
    (b"referrer-policy", b"no-referrer"),
]
_PAGE_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    *[(name.encode(), value.encode()) for name, value in (HEADERS | {"vary": "Accept, Accept-Language"}).items()],
]
_GONE = ErrorBody([Fault(MISSING, None, help_texts.TRACKED_URL)], MISSING)
_MISSING_BODY = msgspec.json.encode(_GONE)
_MISSING_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(_MISSING_BODY)),
    *_ALWAYS,
]


class TrackedUrls:
    """What tracked URLs name, and who asks for them."""

    def __init__(self, keys: TokenKeys, engagements: Engagements, trusted_proxies: Sequence[str] = ()) -> None:
        """``trusted_proxies``: networks of proxies whose X-Forwarded-For is believed."""
        self._keys = keys
        self._engagements = engagements
        self._trusted = tuple(map(network, trusted_proxies))

    def client(self, scope: Scope) -> Client:
        """Who sent the request."""
        peer = scope.get("client")
        method: str = scope["method"]  # type: ignore[typeddict-item]  # of HTTP
        return client_of(peer[0] if peer else "", method, scope["headers"], self._trusted)

    def kept(self, client: Client) -> str:
        """What is kept of a client's address."""
        return kept(client.address, self._engagements.keep)

    async def pixel(self, scope: Scope, token: str) -> bool:
        """Note an open by the pixel; returns whether the token is one. Raises Unavailable."""
        named = await self._keys.read(token, Kind.OPEN)
        if named is None:
            return False
        self._engagements.opened(named.recipient, self.client(scope))
        return True

    async def image(self, scope: Scope, token: str, image: str) -> None:
        """Note an open by an image of the library. A token that is none is as good as no token."""
        try:
            named = await self._keys.read(token, Kind.OPEN)
        except Unavailable:
            return
        if named is not None:
            self._engagements.opened(named.recipient, self.client(scope), image)

    async def click(self, scope: Scope, token: str) -> bytes | None:
        """Note a click; returns where the link leads. Raises Unavailable."""
        named = await self._keys.read(token, Kind.CLICK)
        if named is None or named.target is None:
            return None
        self._engagements.clicked(named.recipient, self.client(scope), named.target)
        return location(named.target.url)


class TrackingServing:
    """The routes of this module."""

    def __init__(self, urls: TrackedUrls) -> None:
        self._urls = urls

    def routes(self) -> RouteGroup:
        pixel = get(
            "/o/{token:str}",
            responses={
                200: ResponseSpec(bytes, description="A pixel", media_type="image/gif"),
                **answers(400, 404, 503),
            },
            opt={SERVED_BY: self.serve_pixel},
            summary="The pixel of a message: it was opened",
            example=Example(path={"token": PIXEL_TOKEN}),
        )
        link = get(
            "/c/{token:str}",
            status_code=302,
            responses={302: ResponseSpec(None, description="The target of the link"), **answers(400, 404, 503)},
            opt={SERVED_BY: self.serve_link},
            summary="A link of a message: on to its target",
            description="A URL that is not one of ours is a page (404) where text/html is accepted.",
            example=Example(path={"token": CLICK_TOKEN}),
        )
        return resource(PATH, pixel(self.pixel), link(self.link), tag="tracking")

    async def pixel(self, token: FromPath[str]) -> bytes:
        """The route in the OpenAPI document; ``serve_pixel`` answers its requests."""
        raise NotFound(MISSING, help=help_texts.TRACKED_URL)

    async def link(self, token: FromPath[str]) -> Response[None]:
        """The route in the OpenAPI document; ``serve_link`` answers its requests."""
        raise NotFound(MISSING, help=help_texts.TRACKED_URL)

    async def serve_pixel(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path = scope["path"]
        if path.endswith(ENDING) and await self._urls.pixel(scope, path[len(OPENS) : -len(ENDING)]):
            await _answer(send, 200, _PIXEL_HEADERS, PIXEL)
        else:
            await _answer(send, 404, _MISSING_HEADERS, _MISSING_BODY)

    async def serve_link(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        leads_to = await self._urls.click(scope, scope["path"][len(CLICKS) :])
        if leads_to is not None:
            await _answer(send, 302, [(b"location", leads_to), *_REDIRECT_HEADERS], b"")
        elif "text/html" in accepted(scope):  # a browser: a person follows a link that their program has cut
            page = failure(language_of(header(scope, b"accept-language") or ""), later=False).encode()
            await _answer(send, 404, [*_PAGE_HEADERS, (b"content-length", b"%d" % len(page))], page)
        else:
            await _answer(send, 404, _MISSING_HEADERS, _MISSING_BODY)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
