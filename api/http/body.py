"""Reads a request's body within limits of size and time, inflates gzip, and decodes the body to its type.

Litestar calls this for every route that has a body. A refused body is answered without reading the rest; unread.py
then handles the connection. RFC 9110 §8.4 (gzip), §15.5.14 (413), RFC 1952.
"""

import asyncio
import re
from collections.abc import Generator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.types import Receive, Scope
from litestar.typing import FieldDefinition
from msgspec import Struct

from api.http.ignored import ignored_by
from api.http.inflating import Gunzip, too_large
from api.http.refusals import Stalled, TooLarge, Unparseable, UnsupportedMedia
from api.http.unknown_fields import NamingDecoder
from cluster.http.paths import decoded
from cluster.http.protocol import ARRIVED
from cluster.intake.backpressure import Overloaded
from cluster.journal.records import ApiKey

CHUNK_PATIENCE_S = 30.0
"""The longest gap between two chunks of a body. A slow client that continues to send is served."""
BUDGET_BYTES = 256 * 1024 * 1024
"""The memory limit for all bodies that are being read at one time."""

LONGEST_TYPE = 1000
"""The longest Content-Type and Content-Encoding, together in characters, because parsed values are cached."""
MAY_BE_EMPTY = "body_may_be_empty"
"""The route option for a body that may be missing."""

T = TypeVar("T")


class BodyBudget:
    """The memory of the bodies that are being read. Raises Overloaded instead of exceeding its limit."""

    def __init__(self, bytes_: int = BUDGET_BYTES) -> None:
        self._free = bytes_

    def take(self, bytes_: int) -> None:
        if bytes_ > self._free:
            raise Overloaded("Too many large requests at once; try again later")
        self._free -= bytes_

    def give_back(self, bytes_: int) -> None:
        self._free += bytes_


def header(scope: Scope, name: bytes) -> str | None:
    """A header of a request; ``name`` is in lower case. A search is faster here than Litestar's mapping of all headers,
    because few are needed."""
    for other, value in scope["headers"]:
        if other == name:
            return value.decode("latin-1")
    return None


class BegunBody(Struct, frozen=True):
    """The part of a body that was read before it proved to be large."""

    data: bytes
    """As received, or inflated."""
    ended: bool
    """Whether this is the whole body."""
    inflated: bool = False


class ApiRequest(Request[None, ApiKey, State]):
    """A request whose body is limited in size, time and format."""

    @property
    def path_params(self) -> dict[str, Any]:
        """The parameters of its path, decoded."""
        return dict(decoded(self.scope, super().path_params))

    async def body(self) -> bytes:
        """The whole body, inflated. It is not cached, because it is decoded once.

        Raises TooLarge, Stalled, UnsupportedMedia, Overloaded, Invalid (not gzip), Unparseable (empty).
        """
        limit = self.limit
        body = await self.body_up_to(limit)
        if isinstance(body, BegunBody):
            raise too_large(limit)
        return body

    @property
    def limit(self) -> int:
        """The route's limit for the body, in bytes."""
        limit = self.route_handler.resolve_request_max_body_size()
        assert limit is not None
        return limit

    @property
    def is_gzip(self) -> bool:
        """Raises UnsupportedMedia when the route does not accept the body's type or encoding."""
        return _is_gzip(_first_fields(self.scope))

    async def body_up_to(self, most: int) -> bytes | BegunBody:
        """``body_up_to`` of this module with the route's limit."""
        may_be_empty = self.route_handler.opt.get(MAY_BE_EMPTY, False)
        return await body_up_to(most, self.scope, self.receive, self.limit, may_be_empty=may_be_empty)

    @property
    def length(self) -> int:
        """The Content-Length in bytes; 0 when there is none."""
        return int(header(self.scope, b"content-length") or 0)

    async def next_chunk(self) -> tuple[bytes, bool]:
        """The next chunk of the body, and whether there is more. Raises Stalled when the client stops sending."""
        return await _next_chunk(self.scope, self.receive)


async def body_up_to(
    most: int, scope: Scope, receive: Receive, limit: int, *, may_be_empty: bool = False
) -> bytes | BegunBody:
    """The whole body, inflated, when it is no longer than ``most`` bytes; otherwise the part that was read.

    Raises TooLarge when its Content-Length exceeds ``limit``, and Stalled, UnsupportedMedia, Overloaded,
    Invalid (not gzip), Unparseable (empty).
    """
    fields = _first_fields(scope)
    length = int(fields.get(b"content-length") or 0)
    if may_be_empty and not length and b"transfer-encoding" not in fields:
        return b""
    gunzip = Gunzip(most) if _is_gzip(fields) else None
    if length > limit:
        raise too_large(limit)
    if length > most:
        return BegunBody(b"", False)
    budget: BodyBudget = scope["litestar_app"].state.body_budget
    read: list[bytes] = []
    inflated: list[bytes] = []
    taken, more = 0, True
    try:
        while more:
            chunk, more = await _next_chunk(scope, receive)
            budget.take(len(chunk))
            taken += len(chunk)
            read.append(chunk)
            if taken > most:
                return BegunBody(b"".join(read), not more)
            if gunzip:
                try:
                    inflated.append(gunzip.feed(chunk))
                except TooLarge:
                    return BegunBody(b"".join(read), not more)
    finally:
        budget.give_back(taken)
    if gunzip:
        gunzip.end()
        read = inflated
    if not taken and not may_be_empty:
        raise Unparseable("The body is empty", "json_invalid")
    return b"".join(read) if len(read) > 1 else read[0]


async def _next_chunk(scope: Scope, receive: Receive) -> tuple[bytes, bool]:
    extension: Any = (scope.get("extensions") or {}).get(ARRIVED)
    if extension and extension["ask"]():
        event = await receive()
    else:
        try:
            async with asyncio.timeout(CHUNK_PATIENCE_S):
                event = await receive()
        except TimeoutError:
            raise Stalled("The body stopped arriving") from None
    if event["type"] != "http.request":
        raise Stalled("The client went away")
    return event.get("body", b""), event.get("more_body", False)


def _first_fields(scope: Scope) -> dict[bytes, bytes]:
    """The first header with each name."""
    return dict(reversed(list(scope["headers"])))


def _is_gzip(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a body with these headers is gzip. Raises UnsupportedMedia when its type or encoding is not accepted."""
    content_type, encoding = fields.get(b"content-type", b"application/json"), fields.get(b"content-encoding", b"")
    if len(content_type) + len(encoding) > LONGEST_TYPE:
        raise UnsupportedMedia("Content-Type and Content-Encoding are too long")
    return _means_gzip(content_type, encoding)


@lru_cache(maxsize=64)
def _means_gzip(content_type: bytes, content_encoding: bytes) -> bool:
    """Whether the type is JSON. An empty type counts as JSON."""
    media_type, _, parameters = (content_type.decode("latin-1") or "application/json").partition(";")
    media_type = media_type.strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMedia("The body must be application/json")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("The body must be UTF-8")
    encoding = content_encoding.decode("latin-1").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedMedia("The body may be sent as it is, or with Content-Encoding gzip")
    return encoding.endswith("gzip")


class TypedBody(AbstractDTO[T]):
    """Decodes a body from bytes to structs in one pass; Litestar's own DTOs take two. The answer names the fields that
    the type does not have."""

    decoder: msgspec.json.Decoder[Any]
    _naming: NamingDecoder[Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "decoder" in vars(cls):
            cls._naming = NamingDecoder(cls.decoder)

    def decode_bytes(self, value: bytes) -> Any:
        """Raises Unparseable when the body does not match its type, and Invalid for text that cannot be stored."""
        return self._naming.decode(value, ignored_by(self.asgi_connection.scope))

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Does nothing: there is no transfer model."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False
