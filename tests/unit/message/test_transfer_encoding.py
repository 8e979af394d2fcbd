"""Transfer encodings: a long text, encoded in slices, is as correct as a short one that is encoded at once."""

import quopri
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.message import transfer_encoding
from cluster.message.transfer_encoding import (
    base64_length,
    base64_lines,
    encoded_text,
    newlines,
    octets,
    passes_as_it_is,
    quoted_printable,
    slices,
)

PIECES = ["a", "word ", " ", "\t", "\n", ".", "From ", "=", "é", "日", "🎉", "\n.\n", "--=_", "x" * 70, "y" * 76]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@given(TEXTS, st.integers(2, 200))
def test_any_text_by_slices(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer_encoding, "LINE_LIMIT", size - 1)  # a line that does not fit in a slice is too long
        passes = passes_as_it_is(text)
        patch.setattr(transfer_encoding, "SLICE", size)
        assert "".join(slices(text)) == text
        assert all(len(piece) <= size for piece in slices(text))
        assert passes_as_it_is(text) == passes
        assert octets(text) == len(text.replace("\n", "\r\n").encode())
        quoted = quoted_printable(text)
        name, data = encoded_text(text)
    meant = text.replace("\n", "\r\n").encode()
    assert len(data) <= max(base64_length(octets(text)), len(meant))
    assert quopri.decodestring(quoted) == meant
    lines = quoted.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert not any(line.startswith(b"From ") or line == b"." or line[-1:] in (b" ", b"\t") for line in lines)
    if name != b"7bit":
        data = b64decode(data) if name == b"base64" else quopri.decodestring(data)
    assert data == meant


@given(st.text("a\r\n", max_size=40), st.integers(2, 9))
def test_line_ends_by_slices(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer_encoding, "SLICE", size)
        assert newlines(text) == text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.binary(max_size=300), st.sampled_from([57, 114, 57 * 1024]))
def test_base64_by_slices(data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer_encoding, "BASE64_SLICE", size)
        lines = base64_lines(data)
    assert b64decode(lines) == data
    assert len(lines) == base64_length(len(data))
    assert all(len(line) == 76 for line in lines.split(b"\r\n")[:-1])
