"""What a request to ClickHouse's HTTP interface says: the query and its parameters, the login, formats. Pure.

See https://clickhouse.com/docs/interfaces/http.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from urllib.parse import parse_qsl

from msgspec import Struct

from analytics.door import blocks
from analytics.door.failures import ErrorCode, failed
from analytics.door.parsing import MOST_BYTES

Headers = Mapping[str, str]
"""By their names in lower case."""
Parameters = Mapping[str, str]
"""Of the URL."""

_OWN = frozenset({"compress", "database", "decompress", "default_format", "password", "query", "query_id", "user"})
_INFLATED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Window bits, for zlib, of the encodings of a body."""


class SqlRequest(Struct, frozen=True, kw_only=True):
    """``parameters``: of the query, by name, escaped as in TSV. ``accepted``: encodings of the answer, the preferred
    first. ``in_blocks``: the answer is wanted in compressed blocks (``blocks``) instead."""

    query: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str
    format: str
    accepted: tuple[str, ...]
    in_blocks: bool


def parameters(query_string: bytes) -> Parameters:
    """The parameters of a URL. Raises QueryFailed."""
    try:
        return dict(
            parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
        )
    except ValueError:
        raise failed(ErrorCode.BAD_ARGUMENTS, "The parameters of the URL are malformed") from None


def request_of(given: Parameters, headers: Headers, body: bytes) -> SqlRequest:
    """The request. Raises QueryFailed."""
    body = inflated(body, headers.get("content-encoding", ""))
    text = _text(blocks.unpacked(body, MOST_BYTES) if is_on(given, "decompress") else body)
    query = "\n".join(part for part in (given.get("query", ""), text) if part)
    in_blocks = is_on(given, "compress")
    accepts = is_on(given, "enable_http_compression") and not in_blocks
    return SqlRequest(
        query=query,
        parameters={name[6:]: value for name, value in given.items() if name.startswith("param_")},
        settings={name: value for name, value in given.items() if name not in _OWN and not name.startswith("param_")},
        database=given.get("database") or headers.get("x-clickhouse-database", ""),
        format=headers.get("x-clickhouse-format") or given.get("default_format", ""),
        accepted=_encodings(headers.get("accept-encoding", "")) if accepts else (),
        in_blocks=in_blocks,
    )


def is_on(given: Parameters, name: str) -> bool:
    """Whether a parameter of the URL asks for something."""
    return given.get(name, "0") not in ("0", "", "false")


def credentials(given: Parameters, headers: Headers) -> tuple[str, str] | None:
    """User and password: from the headers of ClickHouse, HTTP's, or the parameters; None when there are none. Raises
    QueryFailed."""
    user, key = headers.get("x-clickhouse-user"), headers.get("x-clickhouse-key")
    if user is not None or key is not None:
        return user or "", key or ""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise failed(ErrorCode.AUTHENTICATION_FAILED, "The header Authorization is malformed") from None
        return name, password
    if "user" in given or "password" in given:
        return given.get("user", ""), given.get("password", "")
    return None


def inflated(body: bytes, encoding: str) -> bytes:
    """A request's body without its encoding. Raises QueryFailed."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _INFLATED:
        raise failed(ErrorCode.NOT_IMPLEMENTED, f"A body may be compressed with {' or '.join(_INFLATED)} only")
    inflating = zlib.decompressobj(_INFLATED[name])
    try:
        data = inflating.decompress(body, MOST_BYTES + 1)
    except zlib.error:
        raise failed(ErrorCode.BAD_ARGUMENTS, f"The body is not {name}") from None
    if len(data) > MOST_BYTES:
        raise failed(ErrorCode.QUERY_IS_TOO_LARGE, f"A query has at most {MOST_BYTES} bytes")
    if not inflating.eof:
        raise failed(ErrorCode.BAD_ARGUMENTS, f"The body is not {name}, or not all of it")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise failed(ErrorCode.SYNTAX_ERROR, "The query is not UTF-8") from None


def _encodings(accept: str) -> tuple[str, ...]:
    named = [part.split(";") for part in accept.lower().split(",")]
    return tuple(one[0].strip() for one in named if not any(p.strip().replace(" ", "") == "q=0" for p in one[1:]))
