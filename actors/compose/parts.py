"""MIME entities: texts and files in a transfer encoding, and entities combined to a multipart.

cluster/message (transfer_encoding.py, forms.py) encodes texts and files so that any relay can carry them and none
contains a boundary. mime.py decides which entities a message has.

RFC 2045 and 2046 (MIME), 2183 and 2231 (file names), 2387 (related), 2392 (Content-ID), 6047 (calendar), 6532
(message/global).
"""

import re
import unicodedata
from collections.abc import Collection, Hashable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from actors.compose.relaxed import relaxed_lines, single_spaces
from cluster.journal.records import Attachment
from cluster.message import forms
from cluster.message.charsets import charset_of
from cluster.message.forms import Values
from cluster.message.header_fields import fold, refuse_line_ends, runs
from cluster.message.mime_fields import content_id, media_type
from cluster.message.transfer_encoding import (
    LINE_LIMIT,
    base64_length,
    base64_lines,
    encoded_text,
    slices,
)

_CHARSET = re.compile(r'[ \t]*;[ \t]*charset=(?:"[^"]*"|[^;]*)', re.IGNORECASE)
_CALENDAR_METHOD = re.compile(r"^METHOD:([A-Z-]+)[ \t\r]*$", re.IGNORECASE | re.MULTILINE | re.ASCII)
_MESSAGES = frozenset(("message/rfc822", "message/delivery-status", "message/disposition-notification"))
"""Sent as they are if they are 7-bit; base64 is forbidden for them."""
_ENCODED_MESSAGES = frozenset(("message/global", "message/global-delivery-status", "message/global-headers"))
"""RFC 6532 §3.7 and RFC 6533 §8 allow base64 for these."""
_PLAIN_FILENAME = re.compile(r"[\x20-\x7e]*")
_LONGEST_FILENAME_LINE = 200
_SEGMENT = 54
"""Characters of a name in one RFC 2231 segment: with its parameter name and charset they fill a line of 76."""
_FILENAME_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Head(Struct, frozen=True):
    """The fields of an entity as they are written between boundaries, with the empty line behind them."""

    lines: bytes
    relaxed: bytes
    """As DKIM hashes them."""


def head_of(type_: bytes, encoding: bytes, further: bytes = b"") -> Head:
    """``further``: other fields as whole lines."""
    lines = b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n%b\r\n" % (type_, encoding, further)
    return Head(lines, relaxed_lines(lines))


class Entity(Struct, frozen=True):
    """A MIME entity: its Content-Type, its Content-Transfer-Encoding, further fields as whole lines, its content."""

    type: bytes
    encoding: bytes
    content: bytes
    further: bytes = b""
    relaxed: bytes | None = None
    """The content as DKIM hashes it, if that is known: what messages share is brought into that form once."""
    shared_head: Head | None = None
    """The head, if it is at hand."""

    @property
    def head(self) -> Head:
        return self.shared_head or head_of(self.type, self.encoding, self.further)


def shared(entity: Entity) -> Entity:
    """An entity that several messages share."""
    relaxed = relaxed_lines(entity.content)
    same = relaxed == entity.content
    return replace(entity, relaxed=entity.content if same else relaxed, shared_head=entity.head)


def text(type_: str, value: str) -> Entity:
    """A text part; line ends in ``value`` are ``\\n``."""
    kind, parameters = media_type(type_)
    if kind == "text/calendar":
        parameters = _with_method(parameters, value)
    encoding, content = encoded_text(value)
    return Entity(_text_type(kind, parameters), encoding, content)


class Form:
    """A text part with holes: only the values are encoded for each message."""

    __slots__ = ("_head", "_pieces", "_relaxed", "_text", "_type")

    def __init__(self, type_: bytes, text: forms.Form) -> None:
        self._type = type_
        self._head = head_of(type_, text.encoding)
        self._text = text
        self._pieces = _with_holes(text.literals)
        relaxed = [single_spaces(literal.encode()).decode() for literal in text.literals]
        self._relaxed = None if relaxed == list(text.literals) else _with_holes(relaxed)
        """The pieces as DKIM hashes them, where they differ. No line of a form ends in white space."""

    def fill(self, values: Values) -> Entity | None:
        """The part with the values in its holes; line ends in the values are ``\\n``. None if this text must be encoded
        as a whole."""
        filled = self._text.fill(values)
        if filled is None:
            return None
        content = _filled(self._pieces, filled.pieces)
        relaxed = None
        if filled.apart:
            if filled.single_spaced:
                relaxed = content if self._relaxed is None else _filled(self._relaxed, filled.pieces)
            else:
                relaxed = _filled(self._relaxed or self._pieces, _single_spaced(filled.pieces))
        return Entity(self._type, self._text.encoding, content, relaxed=relaxed, shared_head=self._head)

    def size(self, values: Values) -> int:
        """Octets of the part with these values, or some less."""
        return self._text.size(values)


def _with_holes(literals: Sequence[str]) -> list[str]:
    """The literals with empty pieces between them."""
    pieces = [""] * (2 * len(literals) - 1)
    pieces[::2] = literals
    return pieces


def _filled(pieces: list[str], values: Sequence[str]) -> bytes:
    pieces = pieces.copy()
    pieces[1::2] = values
    return "".join(pieces).encode()


def _single_spaced(pieces: Sequence[str]) -> list[str]:
    """The pieces of a form with single spaces, made together: no form has this control character in a piece."""
    return single_spaces("\x1f".join(pieces).encode()).decode().split("\x1f")


def text_form(
    type_: str, literals: Sequence[str], keys: Sequence[Hashable], words: Collection[Hashable] = frozenset()
) -> Form | None:
    """A form for the text whose holes, one for each of ``keys``, are between the ``literals``. ``words``: keys whose
    values need no examination (``forms.form_of``). None if each text must be encoded as a whole: it may name its own
    method, or its values may decide how it is sent."""
    kind, parameters = media_type(type_)
    if kind == "text/calendar" or (form := forms.form_of(literals, keys, words)) is None:
        return None
    return Form(_text_type(kind, parameters), form)


def file(attachment: Attachment, data: bytes, boundary: str) -> Entity:
    """An attached or inline file: in base64, but a message as it is. A text names its charset. ``boundary``: the prefix
    of the boundaries of the message that it is attached to."""
    kind, parameters = media_type(attachment.type)
    further = f"Content-Disposition: {_disposition(attachment)}\r\n"
    if attachment.content_id:
        further += f"Content-ID: <{content_id(attachment.content_id)}>\r\n"
    if kind == "text/calendar":
        parameters = _with_method(parameters, data.decode("utf-8", "replace"))
    if kind.startswith("text/"):
        parameters = _with_charset(kind, parameters, data)
    elif kind in _MESSAGES and (lines := _message_lines(data, boundary)) is not None:
        return Entity(f"{kind}{parameters}".encode(), b"7bit", lines, further.encode())
    elif kind.startswith(("message/", "multipart/")) and kind not in _ENCODED_MESSAGES:
        # RFC 2046 §5.2.1 and RFC 2045 §6.4 forbid base64 for these types, and 8-bit lines must not be rewritten.
        kind, parameters = "application/octet-stream", ""
    return Entity(f"{kind}{parameters}".encode(), b"base64", base64_lines(data), further.encode())


def _message_lines(data: bytes, boundary: str) -> bytes | None:
    """A message with CRLF line ends; None if it cannot be sent as it is: it has 8-bit or overlong lines, lines that
    some relays change, or a boundary of the message around it."""
    if not data or not data.isascii() or b"\0" in data or boundary.encode() in data:
        return None
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
    if max(map(len, lines)) > LINE_LIMIT or b"." in lines or any(line.startswith(b"From ") for line in lines):
        return None
    whole = b"\r\n".join(lines) + b"\r\n"
    return whole if len(whole) <= base64_length(len(data)) else None  # what was accepted as so large becomes no larger


def multipart(subtype: str, boundary: str, entities: Sequence[Entity]) -> Entity:
    """A multipart of the entities. ``related`` names the type of its root, the first entity (RFC 2387 §3.1)."""
    root = f'type="{entities[0].type.partition(b";")[0].decode()}";\r\n ' if subtype == "related" else ""
    content_type = f'multipart/{subtype};\r\n {root}boundary="{boundary}"'.encode()
    delimiter = f"\r\n--{boundary}".encode()
    pieces = [delimiter[2:]]
    relaxed = pieces.copy()
    for entity in entities:
        head = entity.head
        pieces += (b"\r\n", head.lines, entity.content, delimiter)
        if entity.relaxed is not None:
            relaxed += (b"\r\n", head.relaxed, entity.relaxed, delimiter)
    pieces.append(b"--\r\n")
    relaxed.append(b"--\r\n")
    content = b"".join(pieces)
    if len(relaxed) < len(pieces):
        return Entity(content_type, b"7bit", content)
    # Of equal pieces most are the same object, so comparing them takes no time.
    return Entity(content_type, b"7bit", content, relaxed=content if relaxed == pieces else b"".join(relaxed))


def _with_method(parameters: str, calendar: str) -> str:
    """RFC 6047 §2.4: the type MUST name the same method as the calendar."""
    if "method=" not in parameters.lower() and (method := _calendar_method(calendar)):
        return f"{parameters}; method={method}"
    return parameters


def _with_charset(kind: str, parameters: str, data: bytes) -> str:
    """A text's charset, unless its sender names one: without it a reader takes the text for US-ASCII (RFC 2046
    §4.1.2)."""
    if _CHARSET.search(parameters):
        return parameters
    return f"{parameters}; charset={charset_of(kind, data)}"


def _calendar_method(value: str) -> str | None:
    for piece in slices(value):
        if method := _CALENDAR_METHOD.search(piece):
            return method[1].upper()
    return None


def _text_type(kind: str, parameters: str) -> bytes:
    return f"{kind}{_CHARSET.sub('', parameters)}; charset=utf-8".encode()


def _disposition(attachment: Attachment) -> str:
    kind = "inline" if attachment.inline else "attachment"
    name = refuse_line_ends(attachment.filename, "a filename")
    if not name:
        return kind
    chunks = [kind, *(f" {parameter}" for parameter in _filename(name))]
    return fold(len("Content-Disposition: "), [f"{chunk};" for chunk in chunks[:-1]] + chunks[-1:])


def _filename(name: str) -> list[str]:
    """The filename parameter, or the extended ones of RFC 2231 followed by a plain one for clients without RFC 2231.
    The extended ones come first because some clients take the two for duplicates and use the first."""
    # Many clients decode what looks like an encoded word, even in quotes.
    plain = bool(_PLAIN_FILENAME.fullmatch(name)) and "=?" not in name
    short = len(name) <= _LONGEST_FILENAME_LINE
    if plain and short:
        return [_quoted_filename(name)]
    segments = [
        "".join([chr(byte) if byte in _FILENAME_SAFE else f"%{byte:02X}" for byte in run.encode()])
        for run in runs(name, _SEGMENT - len("utf-8''"), _SEGMENT, _percent_cost)
    ]
    if len(segments) == 1:
        extended = [f"filename*=utf-8''{segments[0]}"]
    else:
        segments[0] = f"utf-8''{segments[0]}"
        extended = [f"filename*{number}*={segment}" for number, segment in enumerate(segments)]
    return [*extended, _quoted_filename(_transliterated(name))] if short else extended


def _percent_cost(character: str) -> int:
    return sum([1 if byte in _FILENAME_SAFE else 3 for byte in character.encode()])


def _quoted_filename(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'filename="{escaped}"'


def _transliterated(name: str) -> str:
    """The nearest ASCII name: without accents, with an underscore for each character without an ASCII form."""
    bare = [character for character in unicodedata.normalize("NFKD", name) if not unicodedata.combining(character)]
    return "".join([character if " " <= character <= "~" else "_" for character in bare]).replace("=?", "=_")
