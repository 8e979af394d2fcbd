"""Reading a request's body: never past the limit, never for ever, inflated when it is gzip, decoded with one type.

Called by Litestar for every route that has a body. What it refuses is answered without reading the rest; what then
becomes of the connection is unread.py's. RFC 9110 §8.4 (gzip), §15.5.14 (413), RFC 1952.
"""

import asyncio
import re
import zlib
from collections.abc import Generator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.types import Scope
from litestar.typing import FieldDefinition

from api.errors import Fault, Invalid, Overloaded, Refusal, Stalled, TooLarge, Unparseable, UnsupportedMedia
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

# msgspec reports half a surrogate pair as malformed JSON; it is better named (RFC 8259 §8.2).
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


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


class _Gunzip:
    """Inflates a body piece by piece, never to more than ``limit`` bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._made = 0
        self._member: Any = None

    def feed(self, data: bytes) -> bytes:
        pieces = []
        while data:
            if self._member is None:
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = self._member.decompress(data, self._limit - self._made + 1)
            except zlib.error as error:
                raise Invalid([Fault("The body is not gzip, as its Content-Encoding says")]) from error
            self._made += len(piece)
            if self._made > self._limit:
                raise too_large(self._limit)
            pieces.append(piece)
            data = self._member.unconsumed_tail
            if self._member.eof:  # RFC 1952 §2.2: members may follow one another
                data, self._member = self._member.unused_data, None
        return b"".join(pieces)

    def end(self) -> None:
        if self._member is not None:
            raise Invalid([Fault("The gzip body ends too early")])


def header(scope: Scope, name: bytes) -> str | None:
    """A header of a request; ``name`` in lower case. Litestar's mapping of them all takes longer to make than the few
    that are asked for take to find."""
    for other, value in scope["headers"]:
        if other == name:
            return value.decode("latin-1")
    return None


class ApiRequest(Request[None, ApiKey, State]):
    """A request whose body is bounded in size, time and form."""

    async def body(self) -> bytes:
        """The whole body, inflated. Not kept: it is decoded once.

        Raises TooLarge, Stalled, UnsupportedMedia, Overloaded, Invalid (not gzip), Unparseable (empty).
        """
        limit = self.route_handler.resolve_request_max_body_size()
        assert limit is not None
        may_be_empty = self.route_handler.opt.get(MAY_BE_EMPTY, False)
        length = int(header(self.scope, b"content-length") or 0)
        if may_be_empty and not length and header(self.scope, b"transfer-encoding") is None:
            return b""
        encoding = coding_of(header(self.scope, b"content-type"), header(self.scope, b"content-encoding"))
        if length > limit:
            raise too_large(limit)
        gunzip = _Gunzip(limit) if encoding == "gzip" else None
        budget: BodyBudget = self.app.state.body_budget
        chunks: list[bytes] = []
        taken = read = 0
        more = True
        try:
            async with asyncio.timeout(CHUNK_PATIENCE_S) as patience:
                while more:
                    chunk, more = await self._next_chunk()
                    read += len(chunk)
                    if read > limit:
                        raise too_large(limit)
                    if gunzip:
                        chunk = gunzip.feed(chunk)
                    budget.take(len(chunk))
                    taken += len(chunk)
                    chunks.append(chunk)
                    if more:
                        patience.reschedule(asyncio.get_running_loop().time() + CHUNK_PATIENCE_S)
        except TimeoutError:
            raise Stalled("The body stopped arriving") from None
        finally:
            budget.give_back(taken)
        if gunzip:
            gunzip.end()
        if not taken and not may_be_empty:
            raise Unparseable("The body is empty", "json_invalid")
        return b"".join(chunks) if len(chunks) > 1 else chunks[0]

    async def _next_chunk(self) -> tuple[bytes, bool]:
        event = await self.receive()
        if event["type"] != "http.request":
            raise Stalled("The client went away")
        return event.get("body", b""), event.get("more_body", False)


def too_large(limit: int) -> TooLarge:
    """What is said of a body over ``limit`` bytes."""
    return TooLarge(f"Request body exceeds maximum size of {limit / (1024 * 1024):g} MB")


def coding_of(content_type: str | None, content_encoding: str | None) -> str:
    """The content coding, when the body can be read. A body without a type is taken to be JSON.

    Raises UnsupportedMedia.
    """
    if len(content_type or "") + len(content_encoding or "") > LONGEST_TYPE:
        raise UnsupportedMedia("Content-Type and Content-Encoding are too long")
    return _coding_of(content_type, content_encoding)


@lru_cache(maxsize=64)
def _coding_of(content_type: str | None, content_encoding: str | None) -> str:
    media_type, _, parameters = (content_type or "application/json").partition(";")
    media_type = media_type.strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMedia("The body must be application/json")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("The body must be UTF-8")
    encoding = (content_encoding or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise UnsupportedMedia("The body may be sent as it is, or with Content-Encoding gzip")
    return "gzip" if encoding.endswith("gzip") else encoding


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


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body in its type. Raises Unparseable, and Invalid for text that cannot be stored."""
    problem: Refusal
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = Unparseable(str(error), "type_error")
    except msgspec.DecodeError as error:
        problem = Unparseable(str(error), "json_invalid")
        if _LONE_SURROGATE.search(body):
            problem = Invalid([Fault("The body holds half of a UTF-16 surrogate pair, which is no character")])
    except UnicodeDecodeError:
        problem = Unparseable("The body is not UTF-8", "json_invalid")
    except RecursionError:
        problem = Unparseable("The body is nested too deeply", "json_invalid")
    raise problem
