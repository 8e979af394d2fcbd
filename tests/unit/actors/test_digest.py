"""What the list of captured mail shows of a message's contents."""

from email.message import EmailMessage

from actors.capture.digest import READ_OCTETS, digest, folded, links_of
from actors.capture.mime_view import view


def mail(text: str = "", html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "x"
    if text:
        message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def test_the_snippet_is_what_mail_programs_preview() -> None:
    preheader = "<div style='display:none'>Soon &zwnj;&nbsp;&#847; &zwnj;&nbsp;</div>"
    assert digest(mail("plain", f"{preheader}<p>Dear Ada,</p><p>it").as_bytes()).snippet == "Soon Dear Ada, it"
    assert digest(mail("Dear\n\n  Ada\n").as_bytes()).snippet == "Dear Ada"
    assert digest(b"Subject: x\r\n\r\n").snippet == ""
    assert len(digest(mail("word " * 1_000).as_bytes()).snippet) == 200


def test_both_bodies_are_searched() -> None:
    body = digest(mail("PLAIN\ntext", "<p>Gr&uuml;&szlig;e<br>Ada</p>").as_bytes()).body
    assert folded("plain  TEXT") in body and folded("GRÜSSE\nada") in body


def test_the_mark_is_for_attachments() -> None:
    message = mail("a", "<img src='cid:x'>")
    related = message.get_payload(1)
    assert isinstance(related, EmailMessage)
    related.add_related(b"GIF89a", "image", "gif", cid="<x>")
    assert not digest(message.as_bytes()).attached
    message.add_attachment(b"x", "application", "pdf", filename="a.pdf")
    assert digest(message.as_bytes()).attached


def test_a_long_message_is_read_as_far_as_the_bound() -> None:
    message = mail("begin")
    message.add_attachment(b"x" * 2 * READ_OCTETS, "application", "pdf", filename="a.pdf")
    found = digest(message.as_bytes())
    assert (found.snippet, found.attached) == ("begin", True)


def test_links_are_those_of_the_html_or_else_of_the_text() -> None:
    assert [link.url for link in links_of(view(mail("https://a.example", "<a href='b'>").as_bytes()))] == ["b"]
    assert [link.url for link in links_of(view(mail("https://a.example").as_bytes()))] == ["https://a.example"]
    assert links_of(view(b"")) == []
