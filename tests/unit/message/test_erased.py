"""What is stored of a message to others, without an address that it names."""

from msgspec.structs import replace

from cluster.journal.records import (
    Address,
    Attachment,
    BodyPart,
    Content,
    Footer,
    PreparedPersonalization,
    decode_content,
    decode_personalization,
    encode,
)
from cluster.message.dsn import Dsn
from cluster.message.erased import content_without, personalization_without
from cluster.message.mentions import ERASED, Mentions

ADA, BOB = "ada@example.com", "bob@example.com"
MENTIONS = Mentions([ADA])
CONTENT = Content(
    from_=Address("shop@mail.example.com", "Shop"),
    reply_to=(Address(ADA, "Ada"), Address(BOB, f"Bob, for {ADA}")),
    subject=f"From {ADA}",
    parts=(BodyPart("text/plain", f"Hello, {ADA} wrote"), BodyPart("text/html", f'<a href="mailto:{ADA}">x</a>')),
    attachments=(Attachment(filename=f"{ADA} 1.pdf", sha256=ADA.encode(), size=1),),
    headers={"X-For": ADA},
    categories=(f"by {ADA}", "other"),
    custom_args={"who": {"of": [ADA, 1, None]}, ADA: "key"},
    footer=Footer(text=ADA),
    original=f"To: {ADA}\r\n\r\nx\r\n".encode(),
)
PERSONALIZATION = PreparedPersonalization(
    to=(Address(BOB, "Bob"),),
    cc=(Address(ADA, "Ada"),),
    headers={"X-For": ADA},
    substitutions={"{{friend}}": ADA},
    template_data=b'{"friend": "ada\\u0040example.com", "n": 1}',
    dsn=Dsn(
        envelope_id=ADA,
        original_recipients={BOB: "rfc822;ada@example.com", "carl@example.com": "rfc822;carl@example.com"},
        never=(ADA, BOB),
    ),
)


def test_every_field_is_rewritten() -> None:
    content = content_without(CONTENT, MENTIONS)
    assert content.reply_to == (Address(ERASED), Address(BOB, f"Bob, for {ERASED}"))
    assert content.parts[1].value == f'<a href="mailto:{ERASED}">x</a>'
    assert content.custom_args == {"who": {"of": [ERASED, 1, None]}, ERASED: "key"}
    assert content.original == f"To: {ERASED}\r\n\r\nx\r\n".encode()
    assert replace(content, attachments=()) == decode_content(encode(replace(content, attachments=())))
    # A file is found by the hash of its content, which stays.
    [file] = content.attachments
    assert (file.filename, file.sha256) == (f"{ERASED} 1.pdf", ADA.encode())
    # Statistics are counted by categories.
    assert content.categories == CONTENT.categories
    assert ADA.encode() not in encode(replace(content, attachments=(), categories=()))
    personal = personalization_without(PERSONALIZATION, MENTIONS)
    assert personal.cc == (Address(ERASED),)
    assert personal.template_data == b'{"friend":"erased@erased.invalid","n":1}'
    assert personal.dsn == Dsn(
        envelope_id=ERASED, original_recipients={"carl@example.com": "rfc822;carl@example.com"}, never=(BOB,)
    )
    assert ADA.encode() not in encode(personal)
    assert decode_personalization(encode(personal)) == personal


def test_what_names_no_address_is_equal() -> None:
    other = Mentions(["eve@example.com"])
    assert content_without(CONTENT, other) == CONTENT
    assert personalization_without(PERSONALIZATION, other) == PERSONALIZATION
