"""Reads the parts of a MIME message within bounds, whatever its octets are.

The standard library reads each header and decodes each body. Its parser for whole messages is not used: it has no bound
on depth and number of parts, its time grows with their product, and it does not decode what is within message/*, as
RFC 2045 §6.4 forbids the encoding that some hosts apply.
"""

import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import Parser
from html import unescape

from msgspec import Struct

MAX_BYTES = 262_144
"""What is read of a message by default. Reports come before what they return."""
MAX_DEPTH = 8
MAX_PARTS = 40
MAX_HEADER_BYTES = 65_536
MAX_FIELDS = 300
MAX_FIELD_CHARS = 2_048
MAX_TEXT_CHARS = 32_768

RETURNED = frozenset(
    ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
)
"""The media types of a returned message or header (RFC 3462 §2, RFC 6533 §5)."""

_BLANK_LINE = re.compile(r"(?:^|\n)\n")
_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:(.*)", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})\b[^<>]{0,4000}>")
_BLOCKS = frozenset(("p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote", "pre", "ul", "ol"))
_UNSEEN = frozenset(("style", "script", "title"))


class Part(Struct, frozen=True):
    """A part of a message, or the whole."""

    header: Message
    """The header alone."""
    body: str
    """Undecoded; octets that are not ASCII are surrogates."""
    children: tuple["Part", ...] = ()

    @property
    def media_type(self) -> str:
        return self.header.get_content_type()

    def field(self, name: str) -> str:
        """The first field of this name, on one line and decoded; "" when there is none."""
        value = self.header.get(name)
        return words(str(value)) if value is not None else ""

    def fields(self, name: str) -> list[str]:
        return [words(str(value)) for value in self.header.get_all(name, [])]

    def parameter(self, name: str) -> str:
        """A parameter of Content-Type, in lower case."""
        try:
            value = self.header.get_param(name)
        except (ValueError, TypeError, LookupError):  # of a continuation that is broken (RFC 2231 §3)
            return ""
        return (value[2] if isinstance(value, tuple) else value or "").lower()

    @property
    def text(self) -> str:
        """The decoded text, of html without its markup; lines end with "\\n"."""
        text = _decoded(self.octets(), self.parameter("charset"))[: 2 * MAX_TEXT_CHARS]
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        if self.media_type == "text/html":
            text = plain(text)
        return text[:MAX_TEXT_CHARS]

    def octets(self) -> bytes:
        """The body, with its transfer encoding decoded."""
        message: Message = Message()
        encoding = self.header.get("content-transfer-encoding")
        if encoding is not None:
            message["content-transfer-encoding"] = str(encoding)
        message.set_payload(self.body)
        data = message.get_payload(decode=True)
        return data if isinstance(data, bytes) else b""

    def walk(self) -> Iterator["Part"]:
        """This part and those below it, in their order."""
        yield self
        for child in self.children:
            yield from child.walk()


def read_parts(message: bytes, max_bytes: int = MAX_BYTES) -> Part:
    """The message as a tree of parts. It never fails: what cannot be read is text."""
    return _Reader().part(_undecoded(message[:max_bytes]), 0)


class _Reader:
    def __init__(self) -> None:
        self._left = MAX_PARTS

    def part(self, text: str, depth: int) -> Part:
        self._left -= 1
        header_text, body = _divided(text)
        header = _header(header_text)
        kind = header.get_content_type()
        whole = Part(header, body)
        if depth >= MAX_DEPTH:
            return whole
        if kind.startswith("multipart/"):
            boundary = _boundary(whole)
            return Part(header, body, tuple(self._between(body, boundary, depth))) if boundary else whole
        if kind in RETURNED and self._left > 0:
            return Part(header, body, (self.part(_undecoded(whole.octets()), depth + 1),))
        return whole

    def _between(self, body: str, boundary: str, depth: int) -> Iterator[Part]:
        """RFC 2046 §5.1.1. The last part may end with the message, which may have been cut."""
        delimiter = re.compile(rf"^--{re.escape(boundary)}(--)?[ \t]*\n?", re.MULTILINE)
        begin: int | None = None
        for found in delimiter.finditer(body):
            if begin is not None and self._left > 0:
                yield self.part(body[begin : found.start()], depth + 1)
            begin = None if found[1] else found.end()
            if begin is None or self._left <= 0:
                return
        if begin is not None:
            yield self.part(body[begin:], depth + 1)


def field_blocks(text: str) -> list[dict[str, str]]:
    """Groups of fields, which empty lines separate (RFC 3464 §2.1), by their names in lower case; the first field of a
    name counts. A line that is neither a field nor indented continues the field before it, as some hosts break lines
    without an indent."""
    blocks: list[dict[str, str]] = []
    block: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line.strip():
            if block:
                blocks.append(block)
            if len(blocks) > MAX_FIELDS:
                return blocks
            block, name = {}, ""
        elif line[0] not in " \t" and (found := _FIELD.fullmatch(line)):
            name = found[1].lower()
            if name in block or len(block) >= MAX_FIELDS:
                name = ""
            else:
                block[name] = found[2].strip()[:MAX_FIELD_CHARS]
        elif name and len(block[name]) < MAX_FIELD_CHARS:
            block[name] = f"{block[name]} {line.strip()[:MAX_FIELD_CHARS]}".strip()
    return [*blocks, block] if block else blocks


def words(value: str) -> str:
    """A field's value on one line, with encoded words (RFC 2047) decoded."""
    value = " ".join(value[:MAX_FIELD_CHARS].split())
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    return "".join(
        piece if isinstance(piece, str) else _decoded(piece, charset or "") for piece, charset in pieces
    ).replace("\0", "")


def plain(html: str) -> str:
    """The text of html, each block on lines of its own. A parser would build a tree, and depth multiplies its time."""
    pieces: list[str] = []
    begin, unseen = 0, ""
    for tag in _TAG.finditer(html):
        name = tag[2].lower()
        if not unseen:
            pieces.append(html[begin : tag.start()])
            if name in _BLOCKS:
                pieces.append("\n")
            elif name in _UNSEEN and not tag[1]:
                unseen = name
        elif name == unseen and tag[1]:
            unseen = ""
        begin = tag.end()
    if not unseen:
        pieces.append(html[begin:])
    return unescape("".join(pieces)).replace("\u00a0", " ")


def _undecoded(octets: bytes) -> str:
    """The text of octets, those that are not ASCII as surrogates, with "\n" as line end and without NUL."""
    text = octets.decode("ascii", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").lstrip("\n")


def _divided(text: str) -> tuple[str, str]:
    """Header and body. A text without an empty line is all header where it begins like one."""
    found = _BLANK_LINE.search(text, 0, MAX_HEADER_BYTES)
    if found is not None:
        return text[: found.start()], text[found.end() :]
    return text[:MAX_HEADER_BYTES], ""


def _header(text: str) -> Message:
    """At most ``MAX_FIELDS`` fields of at most ``MAX_FIELD_CHARS``. Lines that are no fields are left out: they say
    nothing, and the library takes what follows for the body."""
    kept: list[str] = []
    chars = 0
    for line in text.split("\n"):
        if line[:1] in (" ", "\t") and kept:
            chars += len(line)
            if chars <= MAX_FIELD_CHARS:
                kept.append(line)
        elif _FIELD.fullmatch(line):
            if len(kept) >= MAX_FIELDS:
                break
            kept.append(line[:MAX_FIELD_CHARS])
            chars = len(line)
    octets = "\n".join(kept).encode("ascii", "surrogateescape")
    # Decoded, as the library would lose what is not ASCII (RFC 6532).
    return Parser().parsestr(_decoded(octets, "") + "\n\n", headersonly=True)


def _boundary(part: Part) -> str:
    """The boundary as it is written, without what RFC 2046 §5.1.1 does not let it end with."""
    try:
        value = part.header.get_boundary("")
    except (ValueError, TypeError, LookupError):
        return ""
    return (value or "")[:200].rstrip()


def _decoded(data: bytes, charset: str) -> str:
    """Text in the charset, else in UTF-8, else in ISO 8859-1, in which all octets are characters."""
    for name in (charset, "utf-8"):
        if not name or name in ("us-ascii", "unknown-8bit"):
            continue
        try:
            return data.decode(name)
        except (LookupError, ValueError):  # unknown, no charset of texts, or not the right one
            continue
    return data.decode("iso-8859-1")
