"""The charset that a text file is declared in."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE

import pytest

from cluster.message.charsets import charset_of
from cluster.message.transfer_encoding import SLICE

TEXT = "Name;Ort\r\nZoë;Zürich\r\n" * 6000
JAPANESE = "<meta charset='shift_jis'><p>日本語</p>"


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        (b"", "utf-8"),
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (TEXT.encode("latin-1"), "iso-8859-1"),
        (BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16"),
        (BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16"),
        (BOM_UTF16_LE, "utf-16"),
        (BOM_UTF32_LE + TEXT.encode("utf-32-le"), "utf-32"),
        (BOM_UTF32_BE + TEXT.encode("utf-32-be"), "utf-32"),
    ],
)
def test_a_mark_at_the_beginning_decides(data: bytes, charset: str) -> None:
    assert charset_of("text/csv", data) == charset
    assert data.decode(charset)[:1] in ("", "N", "\ufeff")


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        (TEXT.encode("utf-16-le"), "utf-16le"),
        (TEXT.encode("utf-16-be"), "utf-16be"),
        ("a".encode("utf-16-le"), "utf-16le"),
        (("é" * 3 + "日").encode("utf-16-be"), "utf-16be"),
        # Not these: a NUL here and there, an odd length, half of a surrogate pair.
        (b"one\0two and three, which is a longer text", "utf-8"),
        (b"abc\0" * 4, "utf-8"),
        (b"a\0b", "utf-8"),
        (b"\0" * 40, "utf-8"),
        (b"a\0" * SLICE + b"\x00\xd8", "iso-8859-1"),
        (b"z\xfc\0rich", "iso-8859-1"),
    ],
)
def test_utf_16_is_known_by_its_nuls(data: bytes, charset: str) -> None:
    assert charset_of("text/plain", data) == charset


@pytest.mark.parametrize(
    ("kind", "data", "charset"),
    [
        ("text/html", JAPANESE.encode("shift_jis"), "shift_jis"),
        ("text/html", JAPANESE.replace("shift_jis", "iso-2022-jp").encode("iso-2022-jp"), "iso-2022-jp"),
        (
            "text/html",
            b'<META http-equiv="Content-Type" content="text/html; CHARSET=Windows-1252">\x80',
            "windows-1252",
        ),
        ("text/xml", b'<?xml version="1.0" encoding="ISO-8859-15"?><a>\xa4</a>', "iso-8859-15"),
        # Its octets know better.
        ("text/html", b"<meta charset=utf-8>\xff", "iso-8859-1"),
        ("text/html", b"<meta charset=utf-16>", "utf-8"),
        ("text/html", JAPANESE.encode(), "utf-8"),
        ("text/html", b'<meta charset="\r\nX: y">\xff', "iso-8859-1"),
        ("text/html", b" " * 1100 + b"<meta charset=koi8-r>\xff", "iso-8859-1"),
        # Others do not name one in themselves.
        ("text/plain", b"charset=koi8-r \xff", "iso-8859-1"),
    ],
)
def test_html_and_xml_may_name_their_own(kind: str, data: bytes, charset: str) -> None:
    assert charset_of(kind, data) == charset
