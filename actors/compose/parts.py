"""MIME entities: texts and files in a transfer encoding, and entities put together to a multipart.

Their bytes are what cluster/transfer_encoding.py makes of texts and files: clean for any relay, and never with a
boundary in them. Never does: decide which entities a message has (mime.py).

RFC 2045 and 2046 (MIME), 2183 and 2231 (file names), 2387 (related), 2392 (Content-ID), 6047 (calendar).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from msgspec import Struct

from cluster.header_fields import NotComposable, fold, refuse_line_ends, runs
from cluster.journal.records import Attachment
from cluster.transfer_encoding import QuotedForm, base64_lines, encoded_text, quoted_form, slices

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
_MEDIA_TYPE = re.compile(
    rf'({_TOKEN}/{_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[^"\\\x00-\x1f\x7f-\U0010ffff]*"))*)'
)
_CHARSET = re.compile(r'[ \t]*;[ \t]*charset=(?:"[^"]*"|[^;]*)', re.IGNORECASE)
_CALENDAR_METHOD = re.compile(r"^METHOD:([A-Z]+)[ \t]*$", re.IGNORECASE | re.MULTILINE | re.ASCII)
_CONTENT_ID = re.compile(r"[\x20-;=?-~]+")
_PLAIN_FILENAME = re.compile(r"[\x20-\x7e]*")
_LONGEST_FILENAME_LINE = 200
_SEGMENT = 54
"""Characters of a name in one RFC 2231 segment: with its parameter name and charset they fill a line of 76."""
_FILENAME_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Entity(Struct, frozen=True):
    """A MIME entity: its Content-Type, its Content-Transfer-Encoding, further fields as whole lines, its content."""

    type: bytes
    encoding: bytes
    content: bytes
    further: bytes = b""

    def lines(self) -> tuple[bytes, ...]:
        """The entity as it stands between boundaries."""
        return (
            b"Content-Type: ",
            self.type,
            b"\r\nContent-Transfer-Encoding: ",
            self.encoding,
            b"\r\n",
            self.further,
            b"\r\n",
            self.content,
        )


def text(media_type: str, value: str) -> Entity:
    """A text part; line ends in ``value`` are ``\\n``."""
    kind, parameters = _media_type(media_type)
    if kind == "text/calendar" and "method=" not in parameters.lower() and (method := _calendar_method(value)):
        parameters += f"; method={method}"  # RFC 6047 §2.4: MUST, and the same as inside
    encoding, content = encoded_text(value)
    return Entity(_text_type(kind, parameters), encoding, content)


class Form(Struct, frozen=True):
    """A text part with holes, of which only the values are encoded anew for each message."""

    type: bytes
    quoted: QuotedForm

    def fill(self, values: Mapping[str, str]) -> Entity:
        """The part with the value of each key in its holes; line ends in the values are ``\\n``."""
        return Entity(self.type, b"quoted-printable", self.quoted.fill(values))


def text_form(media_type: str, literals: Sequence[str], keys: Sequence[str]) -> Form | None:
    """A form for the text whose holes, one for each of ``keys``, are between the ``literals``; None where each text
    has to be looked at as a whole: it may name its own method, or be sent in another encoding."""
    kind, parameters = _media_type(media_type)
    if kind == "text/calendar" or (quoted := quoted_form(literals, keys)) is None:
        return None
    return Form(_text_type(kind, parameters), quoted)


def file(attachment: Attachment, data: bytes) -> Entity:
    """An attached or inline file, always in base64."""
    kind, parameters = _media_type(attachment.type)
    if kind.startswith(("message/", "multipart/")):
        # RFC 2046 §5.2.1 and RFC 2045 §6.4 forbid base64 for these, and 8-bit lines are not ours to rewrite.
        kind, parameters = "application/octet-stream", ""
    further = f"Content-Disposition: {_disposition(attachment)}\r\n"
    if attachment.content_id:
        further += f"Content-ID: <{_content_id(attachment.content_id)}>\r\n"
    return Entity(f"{kind}{parameters}".encode(), b"base64", base64_lines(data), further.encode())


def multipart(subtype: str, boundary: str, entities: Sequence[Entity]) -> Entity:
    """The entities in one. ``related`` names the type of its root, the first (RFC 2387 §3.1)."""
    root = f'type="{entities[0].type.partition(b";")[0].decode()}";\r\n ' if subtype == "related" else ""
    content_type = f'multipart/{subtype};\r\n {root}boundary="{boundary}"'.encode()
    delimiter = f"\r\n--{boundary}".encode()
    pieces = [delimiter[2:]]
    for entity in entities:
        pieces.append(b"\r\n")
        pieces.extend(entity.lines())
        pieces.append(delimiter)
    pieces.append(b"--\r\n")
    return Entity(content_type, b"7bit", b"".join(pieces))


def _calendar_method(value: str) -> str | None:
    for piece in slices(value):
        if method := _CALENDAR_METHOD.search(piece):
            return method[1].upper()
    return None


def _text_type(kind: str, parameters: str) -> bytes:
    return f"{kind}{_CHARSET.sub('', parameters)}; charset=utf-8".encode()


def _media_type(value: str) -> tuple[str, str]:
    """Type and subtype in lower case, and the parameters as written."""
    match = _MEDIA_TYPE.fullmatch(value)
    if match is None or len(value) > 255:
        raise NotComposable(f"{value[:80]!r} is not a media type")
    return match[1].lower(), match[2]


def _content_id(value: str) -> str:
    bare = value.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare) or len(bare) > 255:
        raise NotComposable(f"{value[:80]!r} is not a content_id")
    return bare


def _disposition(attachment: Attachment) -> str:
    kind = "inline" if attachment.inline else "attachment"
    name = refuse_line_ends(attachment.filename, "a filename")
    if not name:
        return kind
    chunks = [kind, *(f" {parameter}" for parameter in _filename(name))]
    return fold(len("Content-Disposition: "), [f"{chunk};" for chunk in chunks[:-1]] + chunks[-1:])


def _filename(name: str) -> list[str]:
    """The filename parameter, or the extended ones of RFC 2231 with a plain one behind for readers that know only
    that. In this order: the first of a name wins with those that take the two for a repetition."""
    plain = bool(_PLAIN_FILENAME.fullmatch(name))
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
    """The nearest ASCII name: accents dropped, what has no ASCII form as an underscore."""
    bare = [character for character in unicodedata.normalize("NFKD", name) if not unicodedata.combining(character)]
    return "".join([character if " " <= character <= "~" else "_" for character in bare])
