"""The texts of a submitted message, and how they are written again where something in them changes. Pure.

A text is read only if its octets can be made of it again, so what is not changed in it survives: it is in a known
charset, in a transfer encoding without faults, and not signed, encrypted or attached. It is written in the same charset
and transfer encoding where it fits in them.

RFC 2045 §6 (transfer encodings), RFC 1847 (signed and encrypted parts), RFC 8551 (S/MIME), RFC 4880 §6.2 (PGP).
"""

import codecs
import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterator

from msgspec import Struct

from cluster.message.submitted.header import Header
from cluster.message.submitted.structure import Part
from cluster.message.transfer_encoding import LINE_LIMIT, base64_lines, newlines, quoted_octets

PLAIN, HTML, AMP = "text/plain", "text/html", "text/x-amp-html"
KINDS = frozenset((PLAIN, HTML, AMP))
_SEALED = frozenset(("multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"))
_PGP = "-----BEGIN PGP"
_AS_IT_IS = frozenset(("", "7bit", "8bit", "binary"))
_BAD_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r\n|\Z))")
_TRAILING = re.compile(rb"[ \t]+(?=\r\n|\Z)")
_CHARSET = re.compile(rb';[ \t\r\n]*charset(?:\*[0-9]*\*?)?[ \t]*=[ \t]*(?:"[^"]*"|[^\s;]*)', re.IGNORECASE)
_SUPERSETS = {
    "gb2312": "gbk",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
}
"""What software writes under these names."""
_NO_CHARSETS = frozenset(
    ("punycode", "idna", "unicode_escape", "raw_unicode_escape", "utf-7", "undefined", "mbcs", "oem")
)
"""Codecs of Python that are no charsets of mail, or of which text has several forms."""
_WIDE = ("utf-16", "utf-32")


class SubmittedText(Struct, frozen=True):
    """A text part, read."""

    part: Part
    kind: str
    """Its media type: one of ``KINDS``."""
    value: str
    """The text with ``\\n`` as line ends."""
    codec: str
    """The name of Python's codec of its charset."""
    line_end: str
    """The line ends that its octets have, decoded: ``\\n`` or CRLF."""


class Written(Struct, frozen=True):
    """A text as it is sent. ``encoding`` and ``charset``: those of the part, if they are not as before."""

    content: bytes
    encoding: bytes | None = None
    charset: bytes | None = None


def is_sealed(part: Part) -> bool:
    """Whether the part is signed or encrypted, so that nothing in it may change."""
    return part.media.kind in _SEALED


def leaves(root: Part, *, of_sealed: bool) -> Iterator[Part]:
    """The parts without parts, in order. ``of_sealed``: also those in signed and encrypted parts."""
    pending = [root]
    while pending:
        part = pending.pop()
        if not of_sealed and is_sealed(part):
            continue
        if part.parts:
            pending += reversed(part.parts)
        else:
            yield part


def octets_of(data: bytes, part: Part) -> bytes:
    """The octets of a part for reading: as they came where they cannot be decoded."""
    content = data[part.content : part.end]
    octets = decoded(content, part.media.encoding)
    return content if octets is None else octets


def texts_of(data: bytes, root: Part) -> list[SubmittedText]:
    """The texts that may change: neither sealed nor attached, and readable."""
    pending, found = [root], list[SubmittedText]()
    while pending:
        part = pending.pop()
        media = part.media
        if is_sealed(part) or media.is_attachment:
            continue
        pending += reversed(part.parts)
        if media.kind in KINDS and not media.filename and (text := read(data, part)) is not None:
            found.append(text)
    return found


def read(data: bytes, part: Part) -> SubmittedText | None:
    """The text of a part; None if it has to stay as it is."""
    octets = decoded(data[part.content : part.end], part.media.encoding)
    if octets is None:
        return None
    codec = codec_of(part.media.charset, octets)
    if codec is None or (codec.startswith(_WIDE) and part.media.encoding != "base64"):
        return None
    try:
        # In EBCDIC, for example, the lines that are written would not end in CRLF (RFC 2046 §4.1.1).
        if not codec.startswith(_WIDE) and "\r\n".encode(codec) != b"\r\n":
            return None
        value = octets.decode(codec)
        if value.encode(codec) != octets:
            return None
    except (UnicodeError, LookupError):
        return None
    if "\0" in value or _PGP in value:
        return None
    line_end = "\r\n" if "\r" in value or "\n" not in value else "\n"
    return SubmittedText(part, part.media.kind, newlines(value), codec, line_end)


def written(data: bytes, text: SubmittedText, value: str) -> Written:
    """The text with another value, whose line ends are ``\\n``. Raises UnicodeEncodeError for half of a surrogate
    pair."""
    codec, charset = text.codec, None
    value = value if text.line_end == "\n" else value.replace("\n", text.line_end)
    try:
        octets = value.encode(codec)
    except UnicodeEncodeError:
        if text.kind == PLAIN:
            octets, charset = value.encode(), b"utf-8"
        else:
            value.encode()  # half of a surrogate pair has no reference either
            octets = value.encode(codec, "xmlcharrefreplace")
    encoding = text.part.media.encoding
    if encoding == "base64":
        return Written(_base64(data, text.part, octets), None, charset)
    if encoding == "quoted-printable":
        return Written(quoted_octets(octets), None, charset)
    if (encoding in ("", "7bit") and not octets.isascii()) or has_long_line(octets):
        return Written(quoted_octets(octets), b"quoted-printable", charset)
    return Written(octets, None, charset)


def decoded(content: bytes, encoding: str) -> bytes | None:
    """The octets of a part; None where its transfer encoding is unknown or has faults."""
    if encoding in _AS_IT_IS:
        return content
    if encoding == "quoted-printable":
        return None if _BAD_QUOTED.search(content) else a2b_qp(_TRAILING.sub(b"", content))
    if encoding == "base64":
        try:
            return a2b_base64(content.translate(None, b" \t\r\n"), strict_mode=True)
        except Error:
            return None
    return None


def codec_of(charset: str, octets: bytes) -> str | None:
    """The name of the codec of a charset; None where it is unknown. ``octets`` tell where no charset is named."""
    if not charset:
        return "ascii" if octets.isascii() else "utf-8"
    try:
        info = codecs.lookup(_SUPERSETS.get(charset, charset))
        "".encode(info.name)  # not of a codec between octets
    except (LookupError, ValueError, UnicodeError):
        return None
    return None if info.name in _NO_CHARSETS else info.name


def has_long_line(data: bytes, start: int = 0, end: int | None = None) -> bool:
    """Whether a line has more than 998 octets."""
    at, end = start, len(data) if end is None else end
    while end - at > LINE_LIMIT:
        line_end = data.rfind(b"\n", at, min(at + LINE_LIMIT + 2, end))
        if line_end < 0:
            return True
        at = line_end + 1
    return False


def shortened(data: bytes, part: Part) -> Written | None:
    """A part with lines that are too long, encoded so that they are not; None where its encoding has faults or its type
    may not be encoded (RFC 2045 §6.4)."""
    media = part.media
    if not media.kind or media.kind.startswith(("multipart/", "message/")):
        return None
    octets = decoded(data[part.content : part.end], media.encoding)
    if octets is None:
        return None
    if media.encoding == "base64":
        return Written(_base64(data, part, octets))
    return Written(quoted_octets(octets), None if media.encoding == "quoted-printable" else b"quoted-printable")


def field_changes(data: bytes, header: Header, text: Written) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """What the header of a part has to say of a text that was written: the fields that change by their number, and
    those that are added; names and values."""
    changes: dict[int, bytes] = {}
    added: list[tuple[bytes, bytes]] = []
    numbers = {field.name: number for number, field in enumerate(header.fields)}
    if text.charset is not None:
        number = numbers.get(b"content-type")
        if number is None:
            added.append((b"Content-Type", b"text/plain; charset=" + text.charset))
        else:
            value = _CHARSET.sub(b"", header.fields[number].raw_value(data))
            changes[number] = value + b"; charset=" + text.charset
    if text.encoding is not None:
        number = numbers.get(b"content-transfer-encoding")
        if number is None:
            added.append((b"Content-Transfer-Encoding", text.encoding))
        else:
            changes[number] = b" " + text.encoding
    return changes, added


def _base64(data: bytes, part: Part, octets: bytes) -> bytes:
    """The last line ends in a line end where it did before."""
    lines = base64_lines(octets)
    return lines + b"\r\n" if lines and data.endswith(b"\r\n", part.content, part.end) else lines
