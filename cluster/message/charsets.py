"""The charset that a text file is declared in, by its octets. Pure.

RFC 2046 §4.1.2 (charset), RFC 2781 (UTF-16), the Encoding and HTML standards (a mark before a declaration).
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder

from cluster.message.transfer_encoding import SLICE

FALLBACK = "iso-8859-1"
"""Of a text that is in no charset that is known here: its octets can at least be read, and survive."""
_MARKS = (
    (BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)
_DECLARING = frozenset(("text/html", "text/xml"))
_DECLARATION = re.compile(rb"""\b(?:charset|encoding)\s*=\s*["']?([a-z0-9][a-z0-9._:+-]{1,39})""", re.IGNORECASE)
_DECLARED_WITHIN = 1024
"""Octets: HTML looks no further."""


def charset_of(kind: str, data: bytes) -> str:
    """``kind``: the media type, in lower case."""
    for mark, charset in _MARKS:
        if data.startswith(mark):
            return charset
    if (unmarked := _utf16(data)) is not None:
        return unmarked
    is_utf8 = _decodes(data, "utf-8")
    if is_utf8 and not data.isascii():
        return "utf-8"
    own = _declared(data) if kind in _DECLARING else None
    return own or ("utf-8" if is_utf8 else FALLBACK)


def _utf16(data: bytes) -> str | None:
    """UTF-16 without a mark, by its NULs: Latin letters and digits have one octet that is NUL, always on the same side.
    More than
    half of the characters must have one, since a text in another charset may hold a NUL too."""
    head = data[:SLICE]
    if b"\0" not in head or len(data) % 2:
        return None
    first, second = head[::2].count(0), head[1::2].count(0)
    for charset, nuls, others in (("utf-16le", second, first), ("utf-16be", first, second)):
        if not others and 4 * nuls > len(head) and _decodes(data, charset):
            return charset
    return None


def _declared(data: bytes) -> str | None:
    """The charset that a document names in itself; not a form of Unicode, which its octets would show."""
    if (found := _DECLARATION.search(data[:_DECLARED_WITHIN])) is None:
        return None
    name = found[1].decode().lower()
    return None if name.startswith(("utf-", "utf8", "unicode", "ucs", "iso-10646")) else name


def _decodes(data: bytes, charset: str) -> bool:
    """In slices, so that no call holds the interpreter for long."""
    decode = getincrementaldecoder(charset)().decode
    try:
        for begin in range(0, len(data), SLICE):
            decode(data[begin : begin + SLICE])
        decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
