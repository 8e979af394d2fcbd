"""What the sink reads in tracked mail."""

from email.message import EmailMessage
from email.policy import SMTP

import pytest

from benchmarks.tracked_links import TrackedLinks, tracked_links

BASE = "http://127.0.0.1:8080"
LONG = "x-" * 200


def mail(html: str, **headers: str) -> bytes:
    message = EmailMessage(policy=SMTP)
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(f"{BASE}/t/c/plain")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message.as_bytes()


def test_links_are_found_in_encoded_html_and_in_the_header() -> None:
    html = f'<a href="{BASE}/t/c/{LONG}">a</a><a href="{BASE}/t/c/2">b</a><a href="{BASE}/t/u/3">c</a>'
    html += f'<img src="{BASE}/t/o/4.gif">'
    assert tracked_links(mail(html, List_Unsubscribe=f"<{BASE}/t/u/{LONG}>")) == TrackedLinks(
        pixel="/t/o/4.gif", clicks=(f"/t/c/{LONG}", "/t/c/2"), unsubscribe=f"/t/u/{LONG}"
    )


@pytest.mark.parametrize("content", [mail("<p>Hello</p>"), b"Subject: x\r\n\r\nHello\r\n", b"\r\n", b""])
def test_other_mail_has_none(content: bytes) -> None:
    assert tracked_links(content) is None
