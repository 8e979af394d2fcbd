"""A submitted message keeps what it says, without the addresses."""

import base64
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.message.mentions import ERASED, Mentions
from cluster.message.submitted.erasing import without_addresses

ADA, BOB = "ada@example.com", "bob@example.com"
MENTIONS = Mentions([ADA])
HEADER = b"From: Shop <shop@mail.example.com>\r\nTo: bob@example.com\r\n"


def parsed(data: bytes) -> EmailMessage:
    return message_from_bytes(data, policy=policy.SMTP)


def test_a_message_that_names_none_keeps_its_octets() -> None:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = "shop@mail.example.com", BOB, "Grüße"
    message.set_content("Grüße an alle\n")
    message.add_alternative("<p>Grüße</p>\n", subtype="html")
    message.add_attachment(b"\x00\x01", maintype="application", subtype="x", filename="a.bin")
    data = message.as_bytes()
    assert without_addresses(data, MENTIONS) == data


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b'To: "Ada Lovelace" <ada@example.com>, Bob <bob@example.com>', f"Cc: {ERASED}, Bob <bob@example.com>"),
        (
            b"To: Bob <bob@example.com>,\r\n =?utf-8?q?Ad=C3=A1?= <ADA@example.com>",
            f"Cc: Bob <bob@example.com>, {ERASED}",
        ),
        (b'To: "ada@example.com" <bob@example.com>', f'Cc: "{ERASED}" <bob@example.com>'),
        (b"To: Friends: ada@example.com;", f"Cc: Friends: {ERASED};"),
        (b"Subject: For ada@example.com", f"Subject: For {ERASED}"),
        (b"Subject: For =?utf-8?b?YWRhQGV4YW1wbGUuY29t?=", None),
        (b"X-Original-To: ada@example.com", f"X-Original-To: {ERASED}"),
        (b"Received: from x by y for <ada@example.com>; now", f"Received: from x by y for <{ERASED}>; now"),
    ],
)
def test_fields(field: bytes, expected: str | None) -> None:
    """Other fields keep their octets; one that cannot be written otherwise goes."""
    field = field.replace(b"To:", b"Cc:", 1) if field.startswith(b"To:") else field
    line = b"" if expected is None else expected.encode() + b"\r\n"
    data = HEADER + field + b"\r\nX-Other: 1\r\n\r\nHello\r\n"
    assert without_addresses(data, MENTIONS) == HEADER + line + b"X-Other: 1\r\n\r\nHello\r\n"


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_texts_keep_their_encoding(encoding: str) -> None:
    said = "This was for ada@example.com, and for bob@example.com.\r\n"
    octets = said.encode()
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        octets = octets.replace(b"@", b"=40")
    data = HEADER + f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + octets
    kept = parsed(without_addresses(data, MENTIONS))
    assert kept.get_content() == said.replace(ADA, ERASED)
    assert kept["Content-Transfer-Encoding"] == encoding


def test_what_cannot_be_read_is_emptied() -> None:
    forwarded = EmailMessage(policy=policy.SMTP)
    forwarded["To"] = ADA
    forwarded.set_content("secret")
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"] = "shop@mail.example.com", BOB
    message.set_content("Hello\n")
    message.add_attachment(forwarded)
    message.add_attachment(b"\xff\x00 ada@example.com", maintype="application", subtype="x", filename="a.bin")
    message.add_attachment(b"\xff\x00 bob@example.com", maintype="application", subtype="x", filename="b.bin")
    data = without_addresses(message.as_bytes(), MENTIONS)
    assert b"secret" not in data
    files = {part.get_filename(): part.get_payload(decode=True) for part in parsed(data).iter_attachments()}
    assert (files["a.bin"], files["b.bin"]) == (b"", b"\xff\x00 bob@example.com")


WORDS = st.sampled_from(
    [
        "ada@example.com",
        "YWRhQGV4YW1wbGUuY29t",
        "=?utf-8?b?YWRhQGV4YW1wbGUuY29t?=",
        "ada=40example.com",
        "--b",
        "--b--",
        "",
        "To: <ada@example.com>",
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Type: message/rfc822",
        "Content-Type: text/plain; charset=utf-16",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: quoted-printable",
        " folded ada@example.com",
    ]
)


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=25), st.sampled_from(["", "Content-Type: multipart/mixed; boundary=b\r\n"]))
def test_nothing_is_left_in_any_message(lines: list[str], start: str) -> None:
    data = (start + "\r\n".join(lines)).encode()
    kept = without_addresses(data, MENTIONS)
    assert b"ada@example.com" not in kept
    assert without_addresses(kept, MENTIONS) == kept
    if not MENTIONS.are_in_mail(data) and b"=?" not in data:
        assert kept == data
