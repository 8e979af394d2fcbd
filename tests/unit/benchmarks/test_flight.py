"""Which input is parsed as a flight, which is not, and the id of a message."""

import pytest

from benchmarks.flight import flight, message_id

MESSAGE = b"Subject: x\r\nMessage-ID: <m1@example.com>\r\n\r\nhello\r\n"


def octets(mail: bytes, rcpts: tuple[bytes, ...], message: bytes = MESSAGE) -> bytes:
    lines = [b"MAIL FROM:%b" % mail, *(b"RCPT TO:%b" % rcpt for rcpt in rcpts), b"BDAT %d LAST" % len(message)]
    return b"\r\n".join(lines) + b"\r\n" + message


@pytest.mark.parametrize(
    "mail", [b"<a.b+c=d@mail.example.com>", b"<>", b"<a@b> SIZE=5200", b"<a@b> SIZE=1 BODY=8BITMIME"]
)
def test_a_flight(mail: bytes) -> None:
    found = flight(octets(mail, (b"<reader7-0@example.org>", b"<other@example.net>")))
    assert found is not None
    assert found.recipients == ("reader7-0@example.org", "other@example.net")
    assert message_id(octets(mail, (b"<a@b>",)), len(octets(mail, (b"<a@b>",), b""))) == "m1"


@pytest.mark.parametrize(
    "said",
    [
        octets(b"<a@b>", ()),
        octets(b"<a@b> SMTPUTF8", (b"<c@d>",)),
        octets(b"<a@b> SIZE=99999999", (b"<c@d>",)),
        octets(b"<a>", (b"<c@d>",)),
        octets(b"<a@b>", (b"<c>",)),
        octets(b"<a@b>", (b"<x.no@d>",)),
        octets(b"<a@b>", (b"<x.later@d>",)),
        octets(b"<a@b>", (b"<c@d> NOTIFY=NEVER",)),
        octets(b"<a@b>", (b"<\xc3\xa9@d>",)),
        octets(b"<a@b>", (b'<"c"@d>',)),
        octets(b"<a@b>", (b"<c@d>",)) + b"R",
        octets(b"<a@b>", (b"<c@d>",))[:-1],
        octets(b"<a@b>", (b"<c@d>",)).replace(b"\r\nRCPT", b"\nRCPT"),
        octets(b"<a@b>", (b"<c@d>",)).replace(b" LAST", b""),
        b"RSET\r\n" + octets(b"<a@b>", (b"<c@d>",)),
        b"",
    ],
)
def test_no_flight(said: bytes) -> None:
    assert flight(said) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (MESSAGE, "m1"),
        (b"Message-ID: <m2@example.com>\r\n\r\n", "m2"),
        (b"A: b\r\nmessage-id:\r\n <m3@example.com>\r\n\r\n", "m3"),
        (b"A: b\r\n\r\nMessage-ID: <quoted@example.com>\r\n", ""),
        (b"\r\nMessage-ID: <quoted@example.com>\r\n", ""),
        (b"X-Message-ID: <other@example.com>\r\n\r\n", ""),
        (b"no header at all", ""),
        (b"", ""),
    ],
)
def test_the_id_is_the_headers(message: bytes, expected: str) -> None:
    assert message_id(b"\n" + message, 1) == expected
