from datetime import timedelta

import pytest

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from cluster.journal.records import Address
from tests.unit.compose.reading import (
    DATE,
    MESSAGE_ID,
    Key,
    content,
    html,
    personalization,
    plain,
    signer_with,
    verdicts,
    wire,
)


def test_unsigned() -> None:
    made = wire(content(plain("Hello\n"), subject="Hi", headers={"X-Empty": ""}))
    assert not made.smtputf8
    assert made.data == (
        b"Date: Sun, 01 Mar 2026 09:05:07 +0000\r\n"
        b"From: Example News <news@example.com>\r\n"
        b"To: Jane Doe <jane@example.net>\r\n"
        b"Subject: Hi\r\n"
        b"Message-ID: <msg_01@example.com>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"X-Empty:\r\n"
        b"\r\n"
        b"Hello\r\n"
    )


def test_each_message_of_a_request_verifies(rsa: Key, ed25519: Key) -> None:
    skeleton = compile_content(content(plain("Hello -n-"), html("<p>same"), subject="-n-"), {})
    signer = signer_with(rsa, ed25519)
    own = (
        personalization(),
        personalization(substitutions={"-n-": "日本"}),
        personalization(subject="x"),
        personalization(),
    )
    drafts = [
        draft_message(
            skeleton,
            one,
            signer if number != 1 else None,
            message_id=f"<{number}@example.com>",
            date=DATE,
            signed_at=DATE,
        )
        for number, one in enumerate(own)
    ]
    for number, made in enumerate(finish(drafts)):
        assert f"Message-ID: <{number}@example.com>".encode() in made.data
        if number == 1:
            assert b"DKIM-Signature" not in made.data
        else:
            assert verdicts(made.data, rsa, ed25519) == [True, True]


def test_a_later_attempt_differs_in_its_signatures_only(rsa: Key, ed25519: Key) -> None:
    skeleton, signer = compile_content(content(plain("x")), {}), signer_with(rsa, ed25519)
    drafts = [
        draft_message(skeleton, personalization(), signer, message_id=MESSAGE_ID, date=DATE, signed_at=DATE + wait)
        for wait in (timedelta(0), timedelta(hours=1))
    ]
    first, later = (made.data for made in finish(drafts))
    assert first.partition(b"\r\nDate: ")[2] == later.partition(b"\r\nDate: ")[2]
    assert first.count(b" t=1772355907;") == later.count(b" t=1772359507;") == 2


def test_smtputf8_of_the_header(rsa: Key, ed25519: Key) -> None:
    assert not wire(content(plain("x")), personalization(to=(Address("jane@bücher.example"),)), rsa.signer()).smtputf8
    own = personalization(to=(Address("jürgen@köln.example", "Jürgen"),))
    made = wire(content(plain("x")), own, signer_with(rsa, ed25519))
    assert made.smtputf8
    assert "<jürgen@köln.example>".encode() in made.data
    assert verdicts(made.data, rsa, ed25519) == [True, True]


def test_the_form_for_a_host_without_smtputf8(rsa: Key, ed25519: Key) -> None:
    international = Address("jürgen@köln.example", "Jürgen")
    given = [personalization(cc=(international,)), personalization(), personalization(to=(international,))]
    skeleton, signer = compile_content(content(plain("x")), {}), signer_with(rsa, ed25519)
    drafts = [draft_message(skeleton, own, signer, message_id=MESSAGE_ID, date=DATE, signed_at=DATE) for own in given]
    first, plain_one, last = finish(drafts)
    assert plain_one.downgraded is None
    for made in (first, last):
        assert made.downgraded is not None
        assert made.downgraded.partition(b"\r\n\r\n")[0].isascii()
        for form in (made.data, made.downgraded):
            assert verdicts(form, rsa, ed25519) == [True, True]
        assert made.data.partition(b"\r\n\r\n")[2] == made.downgraded.partition(b"\r\n\r\n")[2]
    assert b"\r\nCc: =?utf-8?b?SsO8cmdlbiBqw7xyZ2VuQGvDtmxuLmV4YW1wbGU=?= :;\r\n" in (first.downgraded or b"")


@pytest.mark.parametrize("name", ["from_", "reply_to"])
def test_an_author_has_no_other_form(name: str) -> None:
    author = Address("jürgen@example.com")
    fields = {name: author if name == "from_" else (author,)}
    made = wire(content(plain("x"), **fields), personalization(cc=(Address("é@example.com"),)))
    assert made.smtputf8 and made.downgraded is None
