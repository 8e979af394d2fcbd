"""MIME entities: texts and files in a transfer encoding, and entities put together to a multipart.

The bytes that come out are 7-bit clean, their lines end in CRLF and are at most 998 characters long, at most 76
where they are encoded; nothing in them is changed by relays that trim lines, quote ``From `` or misread a lone dot.
Never does: decide which entities a message has (mime.py).

RFC 2045 and 2046 (MIME), 2183 and 2231 (file names), 2387 (related), 2392 (Content-ID), 6047 (calendar).
"""

import re
import unicodedata
from binascii import b2a_base64, b2a_qp
from collections.abc import Mapping, Sequence

from msgspec import Struct

from actors.compose.fields import LINE, LINE_LIMIT, NotComposable, fold, refuse_line_ends, runs
from cluster.journal.records import Attachment

BOUNDARY_MARK = "=_"
"""How every boundary begins. Neither quoted-printable nor base64 can contain it (RFC 2045 §6.7), and a text that
contains it is not sent as 7bit; so no part can contain a boundary, whatever it says."""

_TRAPS = ("\0", f"--{BOUNDARY_MARK}", " \n", "\t\n", "\nFrom ", "\n.\n")
"""What no text sent as it is may contain: octets that 7bit forbids, and what relays have been seen to change."""

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
_MEDIA_TYPE = re.compile(
    rf'({_TOKEN}/{_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[^"\\\x00-\x1f\x7f-\U0010ffff]*"))*)'
)
_CHARSET = re.compile(r'[ \t]*;[ \t]*charset=(?:"[^"]*"|[^;]*)', re.IGNORECASE)
_CALENDAR_METHOD = re.compile(r"^METHOD:([A-Z]+)[ \t]*$", re.IGNORECASE | re.MULTILINE | re.ASCII)
_PLAIN_VALUE = re.compile(r"(?!From )[A-Za-z0-9](?:[ -<>-~]{0,70}[A-Za-z0-9])?")
"""Values that stand for themselves in quoted-printable, on a line of their own; most names and numbers do."""
_SOFT_BREAK = b"=\r\n"
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
    if kind == "text/calendar" and "method=" not in parameters.lower() and (method := _CALENDAR_METHOD.search(value)):
        parameters += f"; method={method[1].upper()}"  # RFC 6047 §2.4: MUST, and the same as inside
    content_type = _text_type(kind, parameters)
    data = value.replace("\n", "\r\n").encode()
    if _passes_as_it_is(value):
        return Entity(content_type, b"7bit", data)
    quoted = quoted_printable(data)
    if len(quoted) > _base64_length(len(data)):
        return Entity(content_type, b"base64", base64_lines(data))
    return Entity(content_type, b"quoted-printable", quoted)


class QuotedForm:
    """A text with holes in quoted-printable, of which only the values are encoded anew for each message.

    A value stands on lines of its own, made by soft line breaks (RFC 2045 §6.7 (5)): so the lines of what is between
    the holes are the same in every message, whatever the values are.
    """

    def __init__(self, content_type: bytes, between: Sequence[bytes], keys: Sequence[str]) -> None:
        self._content_type = content_type
        self._keys = tuple(keys)
        self._distinct = tuple(dict.fromkeys(keys))
        self._pieces = [b""] * (len(between) + len(keys))
        self._pieces[::2] = between

    def fill(self, values: Mapping[str, str]) -> Entity:
        """The part with the value of each key in its holes; line ends in the values are ``\\n``."""
        encoded = {key: _quoted_value(values[key]) for key in self._distinct}
        pieces = self._pieces.copy()
        pieces[1::2] = [encoded[key] for key in self._keys]
        return Entity(self._content_type, b"quoted-printable", b"".join(pieces))


def quoted_form(media_type: str, literals: Sequence[str], keys: Sequence[str]) -> QuotedForm | None:
    """A form for the text whose holes, one for each of ``keys``, are between the ``literals``; None where each text
    has to be looked at as a whole: it may pass as it is, or be shorter in base64, or name its own method."""
    kind, parameters = _media_type(media_type)
    together = "".join(literals)
    if kind == "text/calendar" or _passes_as_it_is(together):
        return None
    data = together.replace("\n", "\r\n").encode()
    between = _between_holes(literals)
    # The pieces are longer than the whole, by their soft breaks: most texts are short enough all the same.
    enough = _base64_length(len(data))
    if sum(map(len, between)) > enough and len(quoted_printable(data)) > enough:
        return None
    return QuotedForm(_text_type(kind, parameters), between, keys)


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


def quoted_printable(data: bytes) -> bytes:
    """``data``, whose line ends are CRLF, in quoted-printable (RFC 2045 §6.7)."""
    # binascii takes its soft line breaks after the first line end of its input: there must be one. It encodes white
    # space at the end of a line and a lone dot, but not one behind a soft break of its own; nor the "From " that mbox
    # files quote. The break in the middle of that word keeps the line within 76.
    encoded = b2a_qp(data + b"\r\n").replace(b"=\r\n.\r\n", b"=\r\n=2E\r\n")[:-2]
    encoded = encoded.replace(b"\nFrom ", b"\n=46rom=\r\n ")
    lines = encoded.split(b"\r\n")
    if max(map(len, lines)) > LINE:
        # Nor does binascii count what encoding the white space at the end of a line adds to it.
        encoded = b"\r\n".join([line if len(line) <= LINE else line[:-3] + b"=\r\n" + line[-3:] for line in lines])
    return b"=46rom=\r\n " + encoded[5:] if encoded.startswith(b"From ") else encoded


def _between_holes(literals: Sequence[str]) -> list[bytes]:
    """The literals in quoted-printable, with the soft breaks that give the value between two of them its own lines."""
    encoded = [quoted_printable(literal.replace("\n", "\r\n").encode()) for literal in literals]
    last = len(encoded) - 1
    pieces = []
    for index, piece in enumerate(encoded):
        after_value = index > 0 and not piece.startswith(b"\r\n") and not (index == last and not piece)
        before_value = index < last and piece and not piece.endswith(b"\r\n")
        pieces.append((_SOFT_BREAK if after_value else b"") + (_with_soft_break(piece) if before_value else piece))
    return pieces


def _with_soft_break(encoded: bytes) -> bytes:
    """Quoted-printable with a soft break behind it, which must not make its last line too long."""
    start = encoded.rfind(b"\n") + 1
    if len(encoded) - start >= LINE:
        cut = start + LINE - 4
        while b"=" in encoded[cut - 2 : cut]:
            cut -= 1  # not within the three characters of an octet
        encoded = encoded[:cut] + _SOFT_BREAK + encoded[cut:]
    return encoded + _SOFT_BREAK


def _quoted_value(value: str) -> bytes:
    """A hole's value in quoted-printable."""
    if _PLAIN_VALUE.fullmatch(value):
        return value.encode()
    return quoted_printable(value.replace("\n", "\r\n").encode())


def base64_lines(data: bytes) -> bytes:
    """``data`` in base64, on lines of 76 (RFC 2045 §6.8), without a last line end."""
    encoded = b2a_base64(data, newline=False)
    return b"\r\n".join([encoded[start : start + 76] for start in range(0, len(encoded), 76)])


def _base64_length(size: int) -> int:
    encoded = (size + 2) // 3 * 4
    return encoded + (encoded - 1) // 76 * 2


def _passes_as_it_is(value: str) -> bool:
    if not value.isascii():
        return False
    framed = f"\n{value}\n"
    for trap in _TRAPS:
        if trap in framed:
            return False
    return len(value) <= LINE_LIMIT or max(map(len, value.split("\n"))) <= LINE_LIMIT


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
