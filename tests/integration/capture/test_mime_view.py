"""Broken and hostile messages can still be displayed."""

import pytest

from actors.capture import mime_view
from tests.growth import assert_quicker

BROKEN = {
    "empty": b"",
    "no headers": b"\r\njust text",
    "8-bit headers": "Subject: Grüße\r\nContent-Type: text/plain; charset=x-unknown\r\n\r\nGrüße".encode(),
    "bad encoded words": b"Subject: =?utf-8?b?!!!?= =?nope?q?=ff?= =?raw_unicode_escape?q?=5Cud800?=\r\n\r\n",
    "bad base64": b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n####",
    "no boundary": b"Content-Type: multipart/mixed\r\n\r\n--x\r\n",
    "deep": b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (i, i) for i in range(1200)),
    "message in message": b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody",
    "surrogates": b"Content-Type: text/plain; charset=raw_unicode_escape\r\n\r\n\\ud800",
    "odd disposition": b"Content-Disposition: attachment; filename*0*=utf-8''%ff; filename*1=\r\n\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_broken_messages_can_be_shown(raw: bytes) -> None:
    view = mime_view.view(raw)
    listed = mime_view.listed(raw)
    shown = [listed.subject, view.text or "", view.html or "", *(header.value for header in view.headers)]
    "".join(shown).encode()  # no surrogates, so it can be written to a page
    for part in view.parts:
        assert mime_view.part(raw, part.number) is not None


PART = b'--b\r\nContent-Type: text/plain; a="' + b";" * 3500 + b"\r\n\r\nx\r\n"
SLOW = {
    "encoded words": b"X-A: " + b"=?utf-8?q?a?= " * 100_000 + b"\r\n\r\n",
    "headers of encoded words": (b"X-A: " + b"=?utf-8?q?a?= " * 500 + b"\r\n") * 300 + b"\r\n",
    "semicolons in quotes": b'Content-Type: text/plain; a="' + b";" * 300_000 + b"\r\n\r\n",
    "of a boundary": b'Content-Type: multipart/mixed; a="' + b";" * 300_000 + b"\r\n\r\n",
    "of a filename": b'Content-Disposition: attachment; a="' + b";" * 300_000 + b"\r\n\r\n",
    "of many parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + PART * 500,
    "continued parameters": b"Content-Type: a/b; "
    + b"; ".join(b"n*%d*=%%ff" % n for n in range(200_000))
    + b"\r\n\r\n",
    "punycode": b"Content-Type: text/plain; charset=Punycode\r\n\r\n" + b"a" * 500_000 + b"-" + b"z" * 500_000,
    "a forwarded header": b"Content-Type: message/rfc822\r\n\r\nX: " + b"a ;" * 1_000_000 + b"\r\n\r\n",
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 1_000_000,
}


ORDINARY = (
    b"X-Header: some words, as in any message\r\n" * 6000 + b"\r\n" + b"Some words in a line, as in any.\r\n" * 90_000
)
"""3 MB: many headers, many lines."""


@pytest.mark.parametrize("raw", SLOW.values(), ids=SLOW.keys())
def test_no_message_takes_much_longer_than_an_ordinary_large_one(raw: bytes) -> None:
    def read(message: bytes) -> None:
        mime_view.listed(message)
        view = mime_view.view(message)
        assert mime_view.part(message, 0) is not None or not view.parts

    assert_quicker(lambda: read(raw), lambda: read(ORDINARY), 5)


def test_long_headers_are_cut_and_a_forwarded_message_is_not() -> None:
    inner = b"X: " + "é".encode() + b"y" * 50_000 + b"\n\nbody"
    raw = b"Subject: " + b"x" * 10_000 + b"\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    view = mime_view.view(raw)
    assert (view.headers[0], view.cut) == (mime_view.Header("Subject", "x" * 8192 + "…"), True)
    many = mime_view.view(b"X: y\r\n" * 100_000 + b"\r\nbody")
    assert (len(many.headers), many.cut, many.text) == (256 * 1024 // 6 + 1, True, "body")
    assert not mime_view.view(b"X: y\r\n\r\n" + b"body" * 100_000).cut
    part = mime_view.part(raw, 0)
    assert part is not None
    assert part.content == inner


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Ada <a@example.com>", "Ada"),
        ("a@example.com", "a@example.com"),
        ("(" * 50_000, "(" * 1000),
        ("", ""),
    ],
)
def test_the_name_of_a_sender(header: str, name: str) -> None:
    assert mime_view.person(header) == name


def test_encoded_words_and_folds() -> None:
    raw = b"subject: =?utf-8?q?Gr=C3=BC?=\r\n =?utf-8?q?=C3=9Fe?=\r\n\tend\r\nTo: x\r\n\r\nSubject: not this\r\n"
    assert mime_view.listed(raw) == mime_view.Listed("Grüße end", "", "x")


def test_what_is_nested_at_great_cost_is_shown_unparsed() -> None:
    view = mime_view.view(BROKEN["deep"])
    assert (view.headers, view.text, view.parts) == ([], BROKEN["deep"].decode(), [])
