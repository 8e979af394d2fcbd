"""Reading a request's body: never past the limit, never for ever, inflated when it is gzip, decoded with one type.

Called by Litestar for every route that has a body. What it refuses is answered without reading the rest; what then
becomes of the connection is unread.py's. RFC 9110 §8.4 (gzip), §15.5.14 (413), RFC 1952.
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

from api.http.decoding import decode
from api.http.inflating import Gunzip, too_large
from api.http.refusals import Stalled, TooLarge, Unparseable, UnsupportedMedia
from cluster.http.protocol import ARRIVED
from cluster.intake.backpressure import Overloaded
from cluster.journal.records import ApiKey

CHUNK_PATIENCE_S = 30.0
"""How long a body may stand still. A slow client that goes on sending is served."""
BUDGET_BYTES = 256 * 1024 * 1024
"""Bodies being read at one time, all together, may hold this much memory."""

LONGEST_TYPE = 1000
"""Characters of Content-Type and Content-Encoding together: what is read of them is remembered."""
MAY_BE_EMPTY = "body_may_be_empty"
"""A route that has this among its options takes a request without a body as well."""

T = TypeVar("T")


class BodyBudget:
    """Memory for the bodies that are being read. Raises Overloaded instead of growing past its bound."""

    def __init__(self, bytes_: int = BUDGET_BYTES) -> None:
        self._free = bytes_

    def take(self, bytes_: int) -> None:
        if bytes_ > self._free:
            raise Overloaded("Too many large requests at once; try again later")
        self._free -= bytes_

    def give_back(self, bytes_: int) -> None:
        self._free += bytes_


def header(scope: Scope, name: bytes) -> str | None:
    """A header of a request; ``name`` in lower case. Litestar's mapping of them all takes longer to make than the few
    that are asked for take to find."""
    for other, value in scope["headers"]:
        if other == name:
            return value.decode("latin-1")
    return None


class BegunBody(Struct, frozen=True):
    """What was read of a body before it turned out to be large."""

    data: bytes
    """As it came, or inflated."""
    ended: bool
    """Whether that is all."""
    inflated: bool = False


class ApiRequest(Request[None, ApiKey, State]):
    """A request whose body is bounded in size, time and form."""

    async def body(self) -> bytes:
        """The whole body, inflated. Not kept: it is decoded once.

        Raises TooLarge, Stalled, UnsupportedMedia, Overloaded, Invalid (not gzip), Unparseable (empty).
        """
        limit = self.limit
        body = await self.body_up_to(limit)
        if isinstance(body, BegunBody):
            raise too_large(limit)
        return body

    @property
    def limit(self) -> int:
        """Bytes of its body at most, as the route has it."""
        limit = self.route_handler.resolve_request_max_body_size()
        assert limit is not None
        return limit

    @property
    def is_gzip(self) -> bool:
        """Raises UnsupportedMedia when the body is in a form that is not read."""
        return _is_gzip(_first_fields(self.scope))

    async def body_up_to(self, most: int) -> bytes | BegunBody:
        """As ``body_up_to`` of this module, with what the route has said of its bodies."""
        may_be_empty = self.route_handler.opt.get(MAY_BE_EMPTY, False)
        return await body_up_to(most, self.scope, self.receive, self.limit, may_be_empty=may_be_empty)

    @property
    def length(self) -> int:
        """Bytes, as the headers say; 0 where they do not."""
        return int(header(self.scope, b"content-length") or 0)

    async def next_chunk(self) -> tuple[bytes, bool]:
        """What comes next of the body, and whether there is more. Raises Stalled."""
        return await _next_chunk(self.scope, self.receive)


async def body_up_to(
    most: int, scope: Scope, receive: Receive, limit: int, *, may_be_empty: bool = False
) -> bytes | BegunBody:
    """The whole body, inflated, where it is no longer than ``most``; else what was read of it.

    Raises TooLarge where the headers say that it is longer than ``limit``, and Stalled, UnsupportedMedia, Overloaded,
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
    """The first header of each name."""
    return dict(reversed(list(scope["headers"])))


def _is_gzip(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a body with these headers is in gzip. Raises UnsupportedMedia when it is in a form that is not read."""
    content_type, encoding = fields.get(b"content-type", b"application/json"), fields.get(b"content-encoding", b"")
    if len(content_type) + len(encoding) > LONGEST_TYPE:
        raise UnsupportedMedia("Content-Type and Content-Encoding are too long")
    return _means_gzip(content_type, encoding)


@lru_cache(maxsize=64)
def _means_gzip(content_type: bytes, content_encoding: bytes) -> bool:
    """An empty type is taken for JSON."""
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
    """Decodes a body straight into its type: one pass from bytes to structs, where Litestar's own way takes two."""

    decoder: msgspec.json.Decoder[Any]

    def decode_bytes(self, value: bytes) -> Any:
        """Raises Unparseable, and Invalid for text that cannot be stored."""
        return decode(self.decoder, value)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Nothing to prepare: there is no transfer model."""

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
