"""The mail of the measuring scenarios is valid for the API, and as large as its name says."""

import msgspec

from api.send.request import MailSend
from api.send.validation import check
from benchmarks.mail import Mail, Shape


def decoded(mail: Mail, *numbers: int, send_at: int | None = None) -> MailSend:
    return msgspec.json.decode(mail.body(numbers, send_at), type=MailSend)


def test_a_body_has_no_faults() -> None:
    sent = decoded(Mail(Shape(recipients=3, attachment_bytes=5000)), 1, 2, 3)
    assert check(sent).faults == []
    assert len(sent.personalizations or ()) == 3


def test_every_recipient_is_another() -> None:
    sent = decoded(Mail(Shape(recipients=2)), *range(50))
    to = [mailbox.email for one in sent.personalizations or () for mailbox in one.to or ()]
    assert len(set(to)) == 100


def test_the_sizes_are_about_what_was_asked_for() -> None:
    sent = decoded(Mail(Shape(text_bytes=30_000, html_bytes=70_000, attachment_bytes=10_000)), 1)
    text, html = (len(part.value or "") for part in sent.content or ())
    assert 30_000 <= text < 30_300
    assert 70_000 <= html < 70_300
    (file,) = check(sent).files
    assert len(file) == 10_000


def test_a_send_time_is_told() -> None:
    assert decoded(Mail(Shape()), 1, send_at=1_900_000_000).send_at == 1_900_000_000
    assert decoded(Mail(Shape()), 1).send_at is None


def test_the_domain_is_the_numbers() -> None:
    sent = decoded(Mail(Shape(), lambda number: f"d{number}.example.org"), 7)
    assert [mailbox.email for one in sent.personalizations or () for mailbox in one.to or ()] == [
        "reader7-0@d7.example.org"
    ]
