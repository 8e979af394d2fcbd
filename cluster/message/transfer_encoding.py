"""Texts and files in a content transfer encoding (RFC 2045 §6). Pure.

The output is 7-bit clean; its lines end in CRLF and have at most 998 characters, at most 76 where they are encoded.
Relays that trim lines, quote ``From `` or misread a lone dot change nothing in it. Line ends of input texts are
``\\n``.

Long texts are encoded a slice at a time. No C call holds the interpreter for long, so a thread that does this does not
block others. forms.py encodes texts with holes.
"""

import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterator

from cluster.message.line_ends import are_all_crlf

LINE = 76
"""RFC 2045 §6.7 (5), §6.8."""
LINE_LIMIT = 998
"""RFC 5322 §2.1.1, without the CRLF."""
BOUNDARY_MARK = "=_"
"""The beginning of every boundary. Quoted-printable and base64 cannot contain it (RFC 2045 §6.7), and a text that
contains it is not sent as 7bit; so no part can contain a boundary."""
SLICE = 64 * 1024
"""Characters that are encoded in one call."""

BASE64_SLICE = 57 * 1024
"""Octets; 57 of them make a line of 76."""
_TRAPS = ("\0", f"--{BOUNDARY_MARK}", " \n", "\t\n", "\nFrom ", "\n.\n")
"""What a text sent as 7bit must not contain: octets that 7bit forbids, and text that relays are known to change."""
_PLAIN_LINES = re.compile(r"(?:(?!From |\.$)[ -<>-~]{0,75}+(?<! )(?:\n|\Z))*+", re.MULTILINE)
"""Lines that are unchanged in quoted-printable, as a list in a letter has. Without backtracking: a long text that
differs in its last line takes a quarter of the time."""
SOFT_BREAK = b"=\r\n"
"""A line end that quoted-printable makes and a reader leaves out."""


def slices(text: str) -> Iterator[str]:
    """``text`` in pieces of at most SLICE characters, cut behind line ends where possible."""
    if len(text) <= SLICE:
        yield text
        return
    begin = 0
    while begin < len(text):
        end = begin + SLICE
        if end < len(text):
            line_end = text.rfind("\n", begin, end) + 1
            end = line_end or end - (text[end - 1] == "\r")  # CR and LF stay together
        yield text[begin:end]
        begin = end


def newlines(text: str) -> str:
    """All line ends as ``\\n``: CRLF, and the lone CR that some systems still write."""
    if "\r" not in text:
        return text
    return "".join([piece.replace("\r\n", "\n").replace("\r", "\n") for piece in slices(text)])


def octets(text: str) -> int:
    """The length of a text in UTF-8, with each ``\\n`` as CRLF."""
    length = len(text) if text.isascii() else sum([len(piece.encode()) for piece in slices(text)])
    if len(text) <= SLICE:
        return length + text.count("\n")
    return length + sum([text.count("\n", begin, begin + SLICE) for begin in range(0, len(text), SLICE)])


def encoded_text(value: str) -> tuple[bytes, bytes]:
    """A text on the wire: the name of its transfer encoding, the shortest safe one, and its octets."""
    if passes_as_it_is(value):
        return b"7bit", crlf(value)
    quoted = quoted_printable(value)
    length = base64_length(octets(value))
    if len(quoted) > length:
        return b"base64", base64_lines(crlf(value))
    return b"quoted-printable", quoted


def passes_as_it_is(value: str) -> bool:
    """Whether a text may be sent as 7bit."""
    return value.isascii() and all(map(_slice_passes, slices(value)))


def quoted_printable(value: str) -> bytes:
    """A text in quoted-printable (RFC 2045 §6.7)."""
    if len(value) <= SLICE:
        return _quoted(value)
    pieces: list[bytes] = []
    for piece in slices(value):
        if pieces and not pieces[-1].endswith(b"\r\n"):
            pieces[-1] = with_soft_break(pieces[-1])
        pieces.append(_quoted(piece))
    return b"".join(pieces)


def quoted_octets(data: bytes) -> bytes:
    """Octets in quoted-printable. If CR and LF stand in nothing but CRLF, these are its line ends; otherwise they are
    encoded like other octets."""
    is_text = are_all_crlf(data)
    if len(data) <= SLICE:
        return _quoted_lines(data, is_text=is_text)
    pieces: list[bytes] = []
    begin = 0
    while begin < len(data):
        end = begin + SLICE
        line_end = data.rfind(b"\r\n", begin, end) + 2 if is_text and end < len(data) else 0
        end = line_end if line_end > begin + 1 else end - (data[end - 1 : end] == b"\r")
        if pieces and not pieces[-1].endswith(b"\r\n"):
            pieces[-1] = with_soft_break(pieces[-1])
        pieces.append(_quoted_lines(data[begin:end], is_text=is_text))
        begin = end
    return b"".join(pieces)


def base64_lines(data: bytes) -> bytes:
    """``data`` in base64, on lines of 76 (RFC 2045 §6.8), without a final line end."""
    pieces = []
    for begin in range(0, len(data), BASE64_SLICE):
        encoded = b2a_base64(data[begin : begin + BASE64_SLICE], newline=False)
        pieces.append(b"\r\n".join([encoded[start : start + 76] for start in range(0, len(encoded), 76)]))
    return b"\r\n".join(pieces)


def base64_length(size: int) -> int:
    """The size in octets of ``base64_lines`` for ``size`` octets."""
    encoded = (size + 2) // 3 * 4
    return encoded + max(encoded - 1, 0) // 76 * 2


def crlf(value: str) -> bytes:
    """A text in UTF-8 with CRLF line ends."""
    if len(value) <= SLICE:
        return value.replace("\n", "\r\n").encode()
    return b"".join([piece.replace("\n", "\r\n").encode() for piece in slices(value)])


def _slice_passes(value: str) -> bool:
    framed = f"\n{value}\n"
    for trap in _TRAPS:
        if trap in framed:
            return False
    return len(value) <= LINE_LIMIT or max(map(len, value.split("\n"))) <= LINE_LIMIT


def _quoted(value: str) -> bytes:
    data = value.replace("\n", "\r\n").encode()
    return data if _PLAIN_LINES.fullmatch(value) else _quoted_lines(data)


def _quoted_lines(data: bytes, *, is_text: bool = True) -> bytes:
    # binascii puts its soft line breaks after the first line end of its input, so there must be one. It encodes white
    # space at the end of a line and a lone dot, but neither a dot behind its own soft break nor the "From " that mbox
    # files quote. The break in the middle of that word keeps the line within 76.
    if is_text:
        encoded = b2a_qp(data + b"\r\n")
    else:
        encoded = b2a_qp(data, istext=False).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    encoded = encoded.replace(b"=\r\n.\r\n", b"=\r\n=2E\r\n")[:-2]
    encoded = encoded.replace(b"\nFrom ", b"\n=46rom=\r\n ")
    lines = encoded.split(b"\r\n")
    if max(map(len, lines)) > LINE:
        # binascii does not count what it adds by encoding the white space at the end of a line.
        encoded = b"\r\n".join([line if len(line) <= LINE else line[:-3] + b"=\r\n" + line[-3:] for line in lines])
    return b"=46rom=\r\n " + encoded[5:] if encoded.startswith(b"From ") else encoded


def with_soft_break(encoded: bytes) -> bytes:
    """Quoted-printable with a soft break added, which must not make its last line too long."""
    start = encoded.rfind(b"\n") + 1
    if len(encoded) - start >= LINE:
        cut = start + LINE - 4
        while b"=" in encoded[cut - 2 : cut]:
            cut -= 1  # not within the three characters of an octet
        encoded = encoded[:cut] + SOFT_BREAK + encoded[cut:]
    return encoded + SOFT_BREAK
