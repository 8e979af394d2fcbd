"""The limits on a request's head: its size, its target, its Host. RFC 9112 §3, RFC 9110 §7.2."""

import ipaddress
import logging
import re
from collections.abc import Iterable
from functools import lru_cache

import httptools

from cluster.http.refusals import RefusedRequest

log = logging.getLogger(__name__)

HEAD_BYTES = 64 * 1024
"""The size limit of a request's head: request line and header fields."""
HEAD_FIELDS = 100
LONGEST_HOST = 300
"""A domain name has at most 255 characters (RFC 1035 §2.3.4); a port may follow."""

_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")
"""RFC 3986 §3.2.2: a name, an address, or an IPv6 address in brackets; then optionally a port."""


def head_too_large(*, in_target: bool) -> RefusedRequest:
    if in_target:
        return RefusedRequest(414, "The request's target is too long")
    return RefusedRequest(431, f"The request's head is larger than {HEAD_BYTES // 1024} KB")


def reason(error: httptools.HttpParserError) -> RefusedRequest:
    """The answer after this parser error."""
    cause = error.__context__
    if isinstance(cause, RefusedRequest):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, httptools.HttpParserError):
        log.error("unexpected", exc_info=cause or error)
        return RefusedRequest(500, "Internal error")
    return RefusedRequest(400, f"This is no HTTP request: {cause or error}")


def check_counts(hosts: int, codings: int, version: str) -> None:
    """Check the number of Host fields (RFC 9112 §3.2) and Transfer-Encoding fields (§6.1). Raises
    RefusedRequest."""
    if hosts > 1 or (not hosts and version != "1.0"):
        raise RefusedRequest(400, "The request needs one Host header")
    if codings > 1:
        raise RefusedRequest(400, "The request has more than one Transfer-Encoding header")


def plain_target(url: bytes) -> bytes:
    """The request target (RFC 9112 §3.2), an absolute one reduced to path and query. Raises RefusedRequest or
    HttpParserInvalidURLError."""
    if b"#" in url:
        raise RefusedRequest(400, "The request's target has a fragment")
    if url[:1] == b"/" or url == b"*":
        return url
    target = httptools.parse_url(url)
    return (target.path or b"/") + (b"?" + target.query if target.query else b"")


def head_without_upgrade(
    parser: httptools.HttpRequestParser, url: bytes, fields: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The head that was just read, without its Upgrade field."""
    lines = [b"%s %s HTTP/%s" % (parser.get_method(), url, parser.get_http_version().encode())]
    lines += [b"%s: %s" % field for field in fields if field[0] != b"upgrade"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def is_host(value: bytes) -> bool:
    """Whether the value is valid for a Host header."""
    return len(value) <= LONGEST_HOST and _is_host(value)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    if match["v6"] is None:
        return True
    try:
        ipaddress.IPv6Address(match["v6"].decode())
    except ValueError:
        return False
    return True
