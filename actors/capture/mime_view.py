"""What the page shows of a message: headers, bodies, parts. Pure.

The message may be hostile or broken, so every reading has a fallback that can be shown. A header is cut before it is
read, because the email package takes quadratic time over some.
RFC 5322 (headers), RFC 2045 to 2047 (MIME), RFC 2392 (cid: URLs), RFC 6376 (DKIM-Signature).
"""

import codecs
import re
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.policy import Compat32
from email.utils import parseaddr
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

_MAX_PARTS = 500
_MAX_BLOCK = 256 * 1024
"""Octets of a message's headers that are read."""
_MAX_HEADER = 2000
"""Characters kept of a header for the list of messages, and read of one that says how to read a part."""
_MAX_PARAMETERS = 64
"""Parameters that are read of such a header."""
_MAX_SHOWN = 8192
"""Characters of one header that are shown."""
_MAX_NAME = 1000
"""Characters of a header that are searched for the name of a sender."""
_CUT = "…"
_MOST_LOOKS = 3_000_000
"""Lines times boundaries: the parser checks in each line for the end of each part that contains it."""
_MOST_DELIMITERS = 50_000
"""Lines that may begin a part, each of which becomes an object."""
_SLOW_CHARSET = "punycode"
"""Python's codec takes quadratic time; no mail is written in it."""
_BOUNDARY = re.compile(rb"boundary\s*=", re.IGNORECASE)
_FOLD = re.compile(r"\r?\n(?=[ \t])|[\r\n]")
_CID = re.compile(r"cid:([^\"'\s<>)]+)", re.IGNORECASE)


class _Cut(Message):
    """A message whose headers, such as the boundary, are read by the parser only up to a length limit."""

    def get(self, name: str, failobj: Any = None) -> Any:
        found = next((value for key, value in self.raw_items() if key.lower() == name.lower()), None)
        if found is None:
            return failobj
        return _repaired(";".join(found[:_MAX_HEADER].split(";", _MAX_PARAMETERS)[:_MAX_PARAMETERS]))


class _AsItCame(Compat32):
    """Writes the headers of a forwarded message as they were read; folding them again may take long."""

    def fold_binary(self, name: str, value: str) -> bytes:
        return f"{name}: {value}{self.linesep}".encode("ascii", "surrogateescape")


_POLICY = _AsItCame(message_factory=_Cut)

_BROKEN = (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What the email package raises for broken or hostile messages, such as a thousand nested multiparts."""


class Header(Struct, frozen=True):
    name: str
    value: str
    """Decoded and unfolded, at most ``_MAX_SHOWN`` characters and then an ellipsis."""


class MimePart(Struct, frozen=True):
    number: int
    content_type: str
    filename: str
    """"" for a part without a name."""
    content_id: str
    inline: bool
    """Whether it is shown within the message (text, or an image named by cid:), and not listed as an attachment."""
    size: int


class View(Struct, frozen=True):
    headers: list[Header]
    """The headers in the first ``_MAX_BLOCK`` octets."""
    cut: bool
    """Whether headers were left out or shortened."""
    text: str | None
    html: str | None
    parts: list[MimePart]


class Listed(Struct, frozen=True):
    """The headers that the list of messages shows."""

    subject: str
    sender: str
    to: str


class Octets(Struct, frozen=True):
    part: MimePart
    content: bytes


def listed(raw: bytes) -> Listed:
    """Reads three headers without parsing the message: this runs for every message received."""
    end = raw.find(b"\r\n\r\n")
    block = raw[: min(end + 2, _MAX_BLOCK)] if end >= 0 else raw[:_MAX_BLOCK]
    return Listed(*(_find(pattern, block) for pattern in _LISTED))


def view(raw: bytes) -> View:
    """The parsed message; one that cannot be parsed is shown as plain text without headers."""
    message = _parse(raw)
    if message is None:
        return View([], False, raw.decode("utf-8", "replace"), None, [])
    fields = list(message.raw_items())
    headers = [Header(name, _shown(value)) for name, value in fields]
    cut = len(_with_short_head(raw)) < len(raw) or any(len(value) > _MAX_SHOWN for _, value in fields)
    leaves = _leaves(message)
    return View(headers, cut, _body(leaves, "text/plain"), _body(leaves, "text/html"), [part for part, _ in leaves])


def part(raw: bytes, number: int) -> Octets | None:
    """Part ``number`` of a message, decoded; None when there is no such part."""
    message = _parse(raw)
    for found, leaf in _leaves(message) if message is not None else []:
        if found.number == number:
            return Octets(found, _payload(leaf))
    return None


def link_images(html: str, parts: list[MimePart], url: str) -> str:
    """The HTML with each cid: of a known part replaced by ``url`` and the part's number."""
    numbers = {part.content_id: part.number for part in parts if part.content_id}

    def replaced(match: re.Match[str]) -> str:
        number = numbers.get(unquote(match[1]))
        return match[0] if number is None else f"{url}{number}"

    return _CID.sub(replaced, html)


def person(header: str) -> str:
    """The display name of the first address in a decoded header, or its address; otherwise the header, shortened."""
    header = header[:_MAX_NAME]
    try:
        name, address = parseaddr(header)
    except _BROKEN:
        return header
    return name or address or header


def decode(value: str) -> str:
    """A header's value unfolded, with its encoded words (RFC 2047) decoded.

    Takes time quadratic in the number of encoded words: the caller limits the length.
    """
    value = _FOLD.sub("", value).replace("\t", " ")
    if "=?" not in value:
        return _repaired(value)
    try:
        words = decode_header(value)
    except _BROKEN:
        return _repaired(value)
    return "".join(
        _to_text(word, charset or "utf-8") if isinstance(word, bytes) else _repaired(word) for word, charset in words
    )


def dkim_tags(value: str) -> dict[str, str]:
    """The tags of a DKIM-Signature (RFC 6376 §3.2), without white space."""
    pairs = (tag.partition("=") for tag in value.split(";"))
    return {name.strip(): "".join(rest.split()) for name, equals, rest in pairs if equals}


def _shown(value: str) -> str:
    return decode(value) if len(value) <= _MAX_SHOWN else decode(value[:_MAX_SHOWN]) + _CUT


def _pattern(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^" + name + rb":[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


_LISTED = (_pattern(b"subject"), _pattern(b"from"), _pattern(b"to"))


def _find(pattern: re.Pattern[bytes], block: bytes) -> str:
    match = pattern.search(block)
    return "" if match is None else decode(match[1][: 4 * _MAX_HEADER].decode("utf-8", "replace"))[:_MAX_HEADER]


def _parse(raw: bytes) -> Message | None:
    """None: the message cannot be parsed, or only at high cost."""
    raw = _with_short_head(raw)
    if len(_BOUNDARY.findall(raw)) * raw.count(b"\n") > _MOST_LOOKS or raw.count(b"\n--") > _MOST_DELIMITERS:
        return None
    try:
        return message_from_bytes(raw, policy=_POLICY)
    except _BROKEN:
        return None


def _with_short_head(raw: bytes) -> bytes:
    """The message without what its headers have beyond ``_MAX_BLOCK`` octets."""
    end = raw.find(b"\r\n\r\n")
    if 0 <= end <= _MAX_BLOCK or len(raw) <= _MAX_BLOCK:
        return raw
    return raw[:_MAX_BLOCK] + (raw[end:] if end >= 0 else b"")


def _leaves(message: Message) -> list[tuple[MimePart, Message]]:
    """The parts with content, numbered in order. A forwarded message is one part, and is not opened."""
    leaves: list[tuple[MimePart, Message]] = []
    waiting = [message]
    while waiting and len(leaves) < _MAX_PARTS:
        found = waiting.pop()
        if found.is_multipart() and found.get_content_maintype() == "multipart":
            waiting += reversed([child for child in found.get_payload() if isinstance(child, Message)])
        else:
            leaves.append((_describe(found, len(leaves), alone=found is message), found))
    return leaves


def _describe(leaf: Message, number: int, alone: bool) -> MimePart:
    content_id = str(leaf.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">")
    content_type = leaf.get_content_type()
    disposition = str(leaf.get("Content-Disposition", "")).strip().lower()
    try:
        filename = decode(leaf.get_filename() or "")
    except _BROKEN:
        filename = ""
    is_body = content_type in ("text/plain", "text/html") and not filename
    is_image = content_type.startswith("image/") and bool(content_id)
    inline = not disposition.startswith("attachment") and (is_body or is_image)
    return MimePart(number, content_type, filename, content_id, inline or (alone and is_body), len(_payload(leaf)))


def _body(leaves: list[tuple[MimePart, Message]], content_type: str) -> str | None:
    for described, leaf in leaves:
        if described.inline and described.content_type == content_type:
            return _to_text(_payload(leaf), leaf.get_content_charset("utf-8"))
    return None


def _payload(leaf: Message) -> bytes:
    try:
        if leaf.get_content_maintype() == "message" and leaf.is_multipart():
            return b"\n".join(child.as_bytes() for child in leaf.get_payload() if isinstance(child, Message))
        payload = leaf.get_payload(decode=True)
    except _BROKEN:
        return b""
    return payload if isinstance(payload, bytes) else b""


def _to_text(octets: bytes, charset: str) -> str:
    try:
        charset = codecs.lookup(charset).name
        text = octets.decode("utf-8" if charset == _SLOW_CHARSET else charset, "replace")
    except _BROKEN:
        text = octets.decode("utf-8", "replace")
    # Some codecs let surrogates through, which cannot be encoded in a page.
    return text.encode("utf-8", "replace").decode()


def _repaired(text: str) -> str:
    """The parser keeps octets above 127 as surrogates; they are almost always UTF-8 (RFC 6532)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
