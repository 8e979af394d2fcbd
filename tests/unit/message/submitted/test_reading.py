"""A submitted message as the API shows it, and sent again."""

from datetime import UTC, datetime, timedelta

from api.messages.views import detail
from api.send.resending import former, resent
from cluster.ids import new_id
from cluster.journal.records import Address, Content, MessageRow, PreparedPersonalization, decode_content, encode
from cluster.message.submitted.reading import opened
from cluster.policy.lifecycle import Status
from tests.unit.compose.submitted.corpus import CORPUS, HEAD, HTML, crlf, message, part, parts

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def row(data: bytes, **values: str) -> MessageRow:
    content = Content(from_=Address("news@example.com"), subject="Hello -name-", original=data)
    own = PreparedPersonalization(to=(Address("jane@example.net"),), substitutions=values)
    return MessageRow(
        id=new_id("msg_"),
        tenant_id="t",
        request_id="r",
        batch_id=None,
        created_at=NOW,
        send_at=None,
        subject="Hello -name-",
        content=encode(content),
        personalization=encode(own),
        status=Status.QUEUED,
        retry_count=0,
        next_retry_at=None,
        finished_at=None,
        error_message=None,
    )


def test_texts_fields_and_files() -> None:
    content = opened(decode_content(row(CORPUS["nested"].data).content))
    assert [one.type for one in content.parts] == ["text/plain", "text/html"]
    assert [(one.filename, one.type, one.inline, one.size) for one in content.attachments] == [
        ("a.png", "image/png", True, 396),
        ("b.pdf", "application/pdf", False, 396),
    ]
    assert content.headers == {"Date": "Sun, 01 Mar 2026 10:00:00 +0100", "Message-ID": "<abc@example.com>"}
    assert content.original == b""


def test_names_and_texts_are_decoded() -> None:
    data = message(
        "multipart/mixed; boundary=m",
        parts("m", part("text/plain; charset=utf-8", "é"), part("text/html; name*=utf-8''%E2%82%AC.html", "x")),
        head=HEAD + "X-A: =?utf-8?q?=C3=A9?=\nX-B: \n",
    )
    content = opened(decode_content(row(data).content))
    assert content.parts[0].value == "é"
    assert content.attachments[0].filename == "€.html"
    assert content.headers["X-A"] == "é" and content.headers["X-B"] == ""


def test_every_message_can_be_shown() -> None:
    for name, specimen in CORPUS.items():
        shown = detail(row(specimen.data), None)
        assert shown.custom_headers is not None, name
    for odd in (b"", b"\r\n", b"odd", b"A: \xff\r\n\r\n\xff\0"):
        assert detail(row(odd), None).custom_headers is not None


def test_the_detail_of_a_message() -> None:
    stored = row(message("text/html", HTML, head=HEAD + "X-A: b\n"), **{"-name-": "Zoe"})
    shown = detail(stored, None)
    assert shown.subject == "Hello Zoe"
    assert shown.html_content == HTML.replace("-name-", "Zoe") and shown.plain_content is None
    assert shown.custom_headers == {"Message-ID": "<abc@example.com>", "X-A": "b"}
    withheld = detail(stored, None, withheld=True)
    assert withheld.html_content is None and withheld.custom_headers is None


def test_sent_again_it_gets_a_date_and_a_message_id_of_its_own() -> None:
    data = crlf(f"{HEAD}Sender: desk@other.example.com\n\nx\n")
    first = former(row(data))
    assert first.sender_domains == {"example.com", "other.example.com"}
    request = resent(first, files={}, pool="", key_id="", sandbox=False, now=NOW, lifetime=timedelta(days=1))
    again = decode_content(request.content).original
    assert b"Date:" not in again and b"Message-ID:" not in again
    assert len(again) == len(data) - len(crlf("Date: Sun, 01 Mar 2026 10:00:00 +0100\nMessage-ID: <abc@example.com>\n"))
