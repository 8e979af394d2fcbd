"""Broken and hostile messages can be read all the same."""

import pytest

from actors.capture import mime_view

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
    "".join(shown).encode()  # no surrogates: a page can be made of it
    for part in view.parts:
        assert mime_view.part(raw, part.number) is not None


def test_encoded_words_and_folds() -> None:
    raw = b"subject: =?utf-8?q?Gr=C3=BC?=\r\n =?utf-8?q?=C3=9Fe?=\r\n\tend\r\nTo: x\r\n\r\nSubject: not this\r\n"
    assert mime_view.listed(raw) == mime_view.Listed("Grüße end", "", "x")


def test_what_is_nested_at_great_cost_is_shown_unparsed() -> None:
    view = mime_view.view(BROKEN["deep"])
    assert (view.headers, view.text, view.parts) == ([], BROKEN["deep"].decode(), [])
