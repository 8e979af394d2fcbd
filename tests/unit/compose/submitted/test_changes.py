"""What a message changes in a submitted one: fields, keys, and texts that do not fit where they were."""

from email import message_from_bytes, policy

import pytest
from msgspec.structs import replace

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from actors.compose.tracking.transform import TrackingTransform
from cluster.journal.records import Address, Content
from cluster.message.composable import why_not
from cluster.message.header_fields import NotComposable
from cluster.settings import MessageSettings
from cluster.tracking.choices import Tracking, UnsubscribeText
from cluster.tracking.tokens import KEY_BYTES, TokenKey
from tests.unit.compose.reading import DATE, MESSAGE_ID, SENDER, Key, personalization, signer_with, verifies
from tests.unit.compose.submitted.corpus import HEAD, HTML, TEXT, base64, crlf, message, part, parts, quoted
from tests.unit.compose.submitted.test_corpus import ADDRESSEE, wire

PLAIN = message("text/plain; charset=us-ascii", TEXT)


def filled(data: bytes, **values: str) -> bytes:
    own = {f"-{name}-": value for name, value in values.items()}
    return wire(data, is_tracked=False, own=personalization(substitutions=own))


def header_of(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[0]


def composed(content: Content, tracking: Tracking | None = None, mail_host: str = "", **own: object) -> bytes:
    transform = TrackingTransform(tracking, TokenKey(1, b"k" * KEY_BYTES)) if tracking is not None else None
    skeleton = compile_content(content, {}, transform=transform)
    addressee = replace(ADDRESSEE, mail_host=mail_host)
    made = skeleton.compose(personalization(**own), message_id=MESSAGE_ID, date=DATE, addressee=addressee)
    assert made.header is not None
    return made.header + b"\r\n" + made.body


def test_fields_are_added_only_where_absent() -> None:
    made = header_of(wire(b"From: news@example.com\r\n\r\nx\r\n", is_tracked=False))
    assert made == (
        b"From: news@example.com\r\nDate: Sun, 01 Mar 2026 09:05:07 +0000\r\nMessage-ID: <msg_01@example.com>\r\n"
        b"Feedback-ID: a:b:c"
    )
    whole = b"From: a@example.com\r\ndate: x\r\nMESSAGE-ID: y\r\nFeedback-id: z\r\n\r\nx\r\n"
    assert wire(whole, is_tracked=False) == whole


def test_unsubscribing_fields_are_added_unless_the_sender_has_one() -> None:
    tracking = Tracking(base_url="https://t.example.com", tenant_number=1, group_id=7)
    made = composed(Content(from_=SENDER, original=PLAIN), tracking)
    assert b"\r\nList-Unsubscribe: <https://t.example.com/t/u/" in made and b"One-Click\r\n\r\n" in made
    at_host = composed(Content(from_=SENDER, original=PLAIN), tracking, mail_host="bounces.example.com")
    assert b">,\r\n <mailto:u+" in at_host and b"@bounces.example.com?subject=unsubscribe>\r\n" in at_host
    own = PLAIN.replace(b"From:", b"list-unsubscribe: <mailto:x@example.com>\r\nFrom:")
    assert composed(Content(from_=SENDER, original=own), tracking) == own


def test_each_message_names_its_own_recipients() -> None:
    data = PLAIN.replace(b"Subject:", b"To: second@example.net\r\nCc: c@example.net\r\nSubject:")
    content = Content(from_=SENDER, original=data, readdressed=True)
    made = composed(content, to=(Address("zoe@example.net", "Zoë"),))
    expected = data.replace(b"To: second@example.net\r\n", b"")
    assert made == expected.replace(b"Jane <jane@example.net>", b"=?utf-8?q?Zo=C3=AB?= <zoe@example.net>")
    bare = Content(from_=SENDER, original=b"From: a@example.com\r\n\r\n", readdressed=True)
    assert b"\r\nTo: Jane Doe <jane@example.net>\r\n" in composed(bare)


def test_a_key_in_a_to_that_is_replaced_breaks_nothing() -> None:
    data = PLAIN.replace(b"jane@example.net", b"-name-@example.net")
    content = Content(from_=SENDER, original=data, readdressed=True)
    assert why_not(content, personalization(substitutions={"-name-": "not an address"})) is None
    made = composed(content, substitutions={"-name-": "not an address"})
    assert b"\r\nTo: Jane Doe <jane@example.net>\r\n" in made and b"Hello not an address" in made
    with pytest.raises(NotComposable):
        composed(Content(from_=SENDER, original=data), substitutions={"-name-": "not an address"})


def test_keys_in_the_header() -> None:
    data = crlf(
        'From: "-name-" <-name-@example.com>\nReply-To: =?iso-8859-1?q?Caf=E9_-name-?= <-name-@example.net>\n'
        "Subject:  Hi -name-\nX-Free: a\n -name-\nX-Other:  none\nTo: group: a@example.net, -name-@example.net;\n"
        "References: <-name-@x>\nDate: -name-\nMessage-ID: <-name-@x>\n\n-name-\n"
    )
    made = filled(data, name="zoe")
    header = header_of(made)
    assert b"From: zoe <-name-@example.com>\r\n" in header
    assert b"Reply-To: =?utf-8?b?Q2Fmw6kgem9l?= <zoe@example.net>\r\n" in header
    assert b"\r\nSubject: Hi zoe\r\nX-Free: a zoe\r\nX-Other:  none\r\n" in header
    for kept in (b"To: group: a@example.net, -name-@example.net;", b"<-name-@x>", b"Date: -name-"):
        assert kept in header
    assert made.endswith(b"\r\n\r\nzoe\r\n")


def test_a_comment_beside_an_address_is_its_name() -> None:
    data = crlf("From: news@example.com (for -name-)\nReply-To: (x) Ada -name- <ada@example.com> (y)\n\nx\n")
    header = header_of(filled(data, name="zoe"))
    assert b"From: for zoe <news@example.com>\r\n" in header
    assert b"Reply-To: Ada zoe <ada@example.com>\r\n" in header


def test_values_do_not_end_a_field() -> None:
    made = header_of(filled(PLAIN, name="x\r\nBcc: y@example.com"))
    assert b"Subject: Hello x Bcc: y@example.com\r\n" in made


def test_keys_in_encoded_texts() -> None:
    data = message(
        "multipart/mixed; boundary=m",
        parts("m", quoted("text/html; charset=utf-8", "é -name-".encode()), base64("text/plain", b"-name-\r\n")),
    )
    made = message_from_bytes(filled(data, name="Zoë"), policy=policy.default)
    first, second = made.iter_parts()
    assert first.get_content() == "é Zoë"
    assert second.get_payload(decode=True) == "Zoë\r\n".encode()
    assert second.get_content_charset() == "utf-8"


def test_what_no_charset_holds() -> None:
    made = filled(message("text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit", HTML), name="日é")
    assert "Hello &#26085;é,".encode("latin-1") in made
    data = message('text/plain; charset="iso-8859-1"; format=flowed\nContent-Transfer-Encoding: 8bit', TEXT)
    made = filled(data, name="日é")
    assert b"Content-Type: text/plain; format=flowed; charset=utf-8\r\n" in made
    assert "Hello 日é,".encode() in made


def test_8bit_in_7bit_becomes_quoted_printable() -> None:
    made = filled(crlf(f"From: news@example.com\n\n{TEXT}"), name="é")
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in made
    assert b"\r\nContent-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n" in made
    assert b"\r\n\r\nHello =C3=A9,\r\n" in made
    made = filled(message("multipart/mixed; boundary=m", parts("m", part("text/plain; charset=utf-8", TEXT))), name="é")
    assert (
        b"\r\n--m\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        in made
    )
    assert made.count(b"MIME-Version") == 1


def test_line_ends_within_an_encoding_stay() -> None:
    data = message("multipart/mixed; boundary=m", parts("m", base64("text/plain", b"a\n-name-\nb\n")))
    [made] = message_from_bytes(filled(data, name="x\ny"), policy=policy.default).iter_parts()
    assert made.get_payload(decode=True) == b"a\nx\ny\nb\n"
    encoded = "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\na=0A-name-=0Ab"
    data = message("multipart/mixed; boundary=m", parts("m", encoded))
    assert b"\r\n\r\na=0Ax=0Ab\r\n--m--" in filled(data, name="x")


def test_the_unsubscribe_text_is_in_the_first_text_of_each_kind() -> None:
    tracking = Tracking(base_url="https://t.example.com", tenant_number=1, subscription=UnsubscribeText())
    data = message("multipart/mixed; boundary=m", parts("m", *[part("text/plain", "x")] * 2, part("text/html", "y")))
    made = composed(Content(from_=SENDER, original=data), tracking)
    plain, again, html = (one.get_content() for one in message_from_bytes(made, policy=policy.default).iter_parts())
    assert plain.startswith("x\r\n\r\nUnsubscribe: https://t.example.com/t/u/")
    assert again == "x"
    assert html.startswith("y<p")


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("Subject: Grüße", "Grüße"),
        ("X-Note:  Grüße\n  und mehr", "Grüße  und mehr"),
        (
            "To: Zoë <zoe@example.net>, =?utf-8?q?Jos=C3=A9?= <j@example.net>",
            "Zoë <zoe@example.net>, José <j@example.net>",
        ),
        ("Cc: jané@example.net, bob@example.net", '"jané@example.net":;, bob@example.net'),
        ("Reply-To: jané@example.net", None),
        ("Sender: jané@example.net", None),
        ("To: Freunde: zoë@example.net;", None),
        ("Content-Disposition: inline; filename=é", None),
        ("Received: by é", None),
    ],
)
def test_a_header_outside_ascii_needs_smtputf8_or_another_form(rsa: Key, field: str, shown: str | None) -> None:
    data = crlf(f"From: a@example.com\n{field}\nX-Odd:a\n\nx\n")
    skeleton = compile_content(Content(from_=SENDER, original=data), {})
    draft = draft_message(
        skeleton, personalization(), signer_with(rsa), message_id=MESSAGE_ID, date=DATE, signed_at=DATE
    )
    [made] = finish([draft])
    assert made.smtputf8 and data.partition(b"\r\n\r\n")[0] in made.data and verifies(made.data, rsa.public)
    if shown is None:
        assert made.downgraded is None
        return
    assert made.downgraded is not None and verifies(made.downgraded, rsa.public)
    head, _, body = made.downgraded.partition(b"\r\n\r\n")
    assert head.isascii() and body == b"x\r\n"
    name = field.partition(":")[0]
    assert message_from_bytes(made.downgraded, policy=policy.SMTP)[name] == shown
    assert b"\r\nFrom: a@example.com\r\n" + name.encode() in head and b"\r\nX-Odd: a\r\n" in head


def test_an_ascii_header_needs_no_smtputf8_whatever_the_body_has() -> None:
    skeleton = compile_content(
        Content(from_=SENDER, original=crlf("From: a@example.com\nTo: b@example.net\n\né\n")), {}
    )
    made = skeleton.compose(personalization(), message_id=MESSAGE_ID, date=DATE)
    assert not made.smtputf8 and made.downgraded is None


def test_messages_that_cannot_be_composed() -> None:
    limits = MessageSettings(max_part_bytes=1000)
    for data, values, reason in (
        (b"From: a@example.com\r\nodd\r\n\r\n", {}, "no field"),
        (crlf("From: a@example.com\n\n" + "-x-" * 90), {"-x-": "y" * 100}, "a text has 9002 bytes"),
        (crlf(f"{HEAD}Reply-To: -x-@example.net\n\n"), {"-x-": "a b"}, "is not an e-mail address"),
    ):
        content, own = Content(from_=SENDER, original=data), personalization(substitutions=values)
        with pytest.raises(NotComposable, match=reason):
            compile_content(content, {}, limits).compose(own, message_id=MESSAGE_ID, date=DATE)
        assert reason in (why_not(content, own, limits) or "").replace("9000", "9002")
    assert why_not(Content(from_=SENDER, original=PLAIN, readdressed=True), personalization(), limits) is None


def test_the_body_that_messages_share_is_hashed_once() -> None:
    skeleton = compile_content(Content(from_=SENDER, original=PLAIN), {})
    first, second = (skeleton.compose(personalization(), message_id=MESSAGE_ID, date=DATE) for _ in range(2))
    assert first.body is second.body
    assert skeleton.body_hash(first.body) is skeleton.body_hash(second.body)


def test_growth_covers_what_is_added() -> None:
    values = {"-name-": "z" * 500}
    data = message("text/html", HTML * 3)
    skeleton = compile_content(Content(from_=SENDER, original=data), {})
    growth = skeleton.growth(personalization(substitutions=values), 500)
    assert growth is not None and len(filled(data, name="z" * 500)) - len(data) <= growth + 1000
