"""Every limit of POST /v3/mail/send at its edge: the last value that passes, the first that does not."""

import base64
from typing import Any

import msgspec
import pytest

from api.send.request import AttachmentPart, MailSend
from api.send.validation import check
from tests.unit.api.bodies import TEMPLATE, a_template, attachment, mail, many, templated, to
from tests.unit.api.conftest import World


def args(size: int) -> dict[str, str]:
    """An object of exactly this many bytes of JSON."""
    return {"a": "x" * (size - len('{"a":""}'))}


def one(**own: Any) -> dict[str, Any]:
    return mail(personalizations=[to("a@example.com", **own)])


def data(given: dict[str, Any]) -> dict[str, Any]:
    """A request with data for a template."""
    return {**templated(), "personalizations": [to("a@example.com", dynamic_template_data=given)]}


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    assert isinstance(value, dict)
    return value


LIMITS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "personalizations",
        mail(personalizations=[to(email) for email in many(1000)]),
        mail(personalizations=[to(email) for email in many(1001)]),
        "personalizations",
    ),
    (
        "recipients of to",
        mail(personalizations=[to(*many(1000))]),
        mail(personalizations=[to(*many(1001))]),
        "personalizations[0]",
    ),
    (
        "recipients over to, cc, bcc",
        mail(personalizations=[to(*many(998), cc=[{"email": "c@x.example"}], bcc=[{"email": "b@x.example"}])]),
        mail(personalizations=[to(*many(999), cc=[{"email": "c@x.example"}], bcc=[{"email": "b@x.example"}])]),
        "personalizations[0]",
    ),
    (
        "recipients in all",
        mail(personalizations=[to(*many(1000))] * 100),
        mail(personalizations=[*[to(*many(1000))] * 100, to("a@example.com")]),
        "personalizations",
    ),
    ("an address once", one(cc=[{"email": "b@example.com"}]), one(cc=[{"email": "A@Example.com"}]), ".cc[0].email"),
    ("reply_to xor list", mail(reply_to={"email": "a@b.cc"}), mail(reply_to={"email": "a@b"}), "reply_to.email"),
    (
        "reply_to and list",
        mail(reply_to_list=[{"email": "a@b.cc"}]),
        mail(reply_to={"email": "a@b.cc"}, reply_to_list=[{"email": "a@b.cc"}]),
        "reply_to",
    ),
    (
        "reply_to_list",
        mail(reply_to_list=[{"email": e} for e in many(1000)]),
        mail(reply_to_list=[{"email": e} for e in many(1001)]),
        "reply_to_list",
    ),
    (
        "reply_to_list unique",
        mail(reply_to_list=[{"email": "a@b.cc"}, {"email": "b@b.cc"}]),
        mail(reply_to_list=[{"email": "a@b.cc"}, {"email": "A@b.cc"}]),
        "reply_to_list[1].email",
    ),
    ("subject of its own", {**one(subject="Own"), "subject": ""}, {**one(), "subject": ""}, "subject"),
    ("subject line ends", mail(subject="a\tb"), mail(subject="a\rb"), "subject"),
    ("names", mail(**{"from": {"email": "a@mail.example.com", "name": "A\u200bB"}}), mail(
        **{"from": {"email": "a@mail.example.com", "name": "A\nBcc: x"}}), "from.name"),
    (
        "content types",
        mail(
            content=[
                {"type": kind, "value": "x"}
                for kind in ("text/plain", "text/x-amp-html", "TEXT/html", "text/calendar")
            ]
        ),
        mail(content=[{"type": "text/markdown", "value": "x"}]),
        "content[0].type",
    ),
    (
        "content once",
        mail(content=[{"type": "text/html", "value": "x"}]),
        mail(content=[{"type": "text/html", "value": "x"}] * 2),
        "content[1].type",
    ),
    ("content type given", mail(), mail(content=[{"value": "x"}]), "content[0].type"),
    ("content NUL", mail(), mail(content=[{"type": "text/html", "value": "a\0b"}]), "content[0].value"),
    ("categories", mail(categories=list("abcdefghij")), mail(categories=list("abcdefghijk")), "categories"),
    ("category length", mail(categories=["é" * 255]), mail(categories=["é" * 256]), "categories[0]"),
    ("category empty", mail(categories=[]), mail(categories=[""]), "categories[0]"),
    ("category NUL", mail(categories=["a"]), mail(categories=["a\0"]), "categories[0]"),
    ("custom_args", mail(custom_args=args(10_000)), mail(custom_args=args(10_001)), "custom_args"),
    ("own custom_args", one(custom_args=args(10_000)), one(custom_args=args(10_001)), ".custom_args"),
    (
        "merged custom_args",
        {**one(custom_args=args(9_000)), "custom_args": {"a": "y" * 9_000}},
        {**one(custom_args=args(9_000)), "custom_args": {"b": "y" * 1_000}},
        "personalizations[0].custom_args",
    ),
    ("args integers", mail(custom_args={"a": 2**64 - 1}), mail(custom_args={"a": 2**64}), "custom_args"),
    ("args nesting", mail(custom_args=nested(64)), mail(custom_args=nested(65)), "custom_args"),
    ("args NUL", mail(custom_args={"a": "\\u0000"}), mail(custom_args={"a": ["\0"]}), "custom_args"),
    ("data nesting", data(nested(64)), data(nested(65)), "[0].dynamic_template_data"),
    ("data NUL", data({"a": "\\u0000"}), data({"\0": 1}), "[0].dynamic_template_data"),
    ("data", data(args(1024 * 1024)), data(args(1024 * 1024 + 1)), "[0].dynamic_template_data"),
    ("substitutions", one(substitutions={"k": "é" * 4999 + "x"}), one(substitutions={"k": "é" * 5000}), "tions"),
    ("substitutions NUL", one(substitutions={"k": ""}), one(substitutions={"k": "\0"}), "substitutions.k"),
    ("attachments", mail(attachments=[attachment()] * 10), mail(attachments=[attachment()] * 11), "attachments"),
    (
        "filename",
        mail(attachments=[attachment(filename="f" * 255)]),
        mail(attachments=[attachment(filename="f" * 256)]),
        "attachments[0]",
    ),
    (
        "filename given",
        mail(attachments=[attachment(filename="", disposition="inline", content_id="x")]),
        mail(attachments=[attachment(filename=None)]),
        "attachments[0]",
    ),
    ("filename controls", mail(attachments=[attachment(filename="ü ✓")]), mail(
        attachments=[attachment(filename="a\r\nb")]), "attachments[0]"),
    (
        "inline",
        mail(attachments=[attachment(disposition="inline", content_id="<logo>")]),
        mail(attachments=[attachment(disposition="inline")]),
        "attachments[0]",
    ),
    (
        "disposition",
        mail(attachments=[attachment(disposition="attachment")]),
        mail(attachments=[attachment(disposition="form-data")]),
        "attachments[0]",
    ),
    (
        "base64 alphabet",
        mail(attachments=[attachment(content=base64.b64encode(bytes(range(256))).decode())]),
        mail(attachments=[attachment(content="AAA-")]),
        "attachments[0]",
    ),
    ("base64 padding", mail(attachments=[attachment(content="QQ==")]), mail(
        attachments=[attachment(content="QQ=")]), "attachments[0]"),
    ("base64 ASCII", mail(attachments=[attachment(content="QUFB")]), mail(
        attachments=[attachment(content="QUFé")]), "attachments[0]"),
    ("base64 given", mail(attachments=[attachment()]), mail(attachments=[attachment(content=None)]), "attachments[0]"),
    ("media type", mail(attachments=[attachment(type='text/csv; header="a b"')]), mail(
        attachments=[attachment(type="text/csv\r\nX: y")]), "attachments[0]"),
    ("send_at", mail(send_at=253_370_764_800), mail(send_at=253_370_764_801), "send_at"),
    ("own send_at", one(send_at=253_370_764_800), one(send_at=1_714_060_800_000), "personalizations[0].send_at"),
    ("ip_pool_name", mail(ip_pool_name="p" * 64), mail(ip_pool_name="p" * 65), "ip_pool_name"),
    ("asm", mail(), mail(asm={"group_id": 1}), "asm.group_id"),
    (
        "bypass",
        mail(mail_settings={"bypass_list_management": {"enable": True}, "bypass_spam_management": {"enable": False}}),
        mail(mail_settings={"bypass_list_management": {"enable": True}, "bypass_spam_management": {"enable": True}}),
        "mail_settings.bypass_list_management",
    ),
    (
        "footer NUL",
        mail(mail_settings={"footer": {"enable": True, "text": "x"}}),
        mail(mail_settings={"footer": {"enable": True, "text": "\0"}}),
        "mail_settings.footer.text",
    ),
    (
        "tracking NUL",
        mail(tracking_settings={"ganalytics": {"enable": False, "utm_source": "x"}}),
        mail(tracking_settings={"ganalytics": {"enable": False, "utm_source": "\0"}}),
        "tracking_settings.ganalytics.utm_source",
    ),
    (
        "utm line",
        mail(tracking_settings={"ganalytics": {"enable": False, "utm_campaign": "spring sale"}}),
        mail(tracking_settings={"ganalytics": {"enable": False, "utm_campaign": "spring\r\nsale"}}),
        "tracking_settings.ganalytics.utm_campaign",
    ),
    ("header name", mail(headers={"X-A.b!": "é"}), mail(headers={"X A": "x"}), "headers.X A"),
    ("header name ASCII", mail(headers={"X": ""}), mail(headers={"Ü": "x"}), "headers.Ü"),
    ("header name empty", mail(headers={}), mail(headers={"": "x"}), "headers."),
    ("header value", mail(headers={"X": "a\tb"}), mail(headers={"X": "a\nb"}), "headers.X"),
    ("header value NUL", mail(headers={"X": "a b"}), mail(headers={"X": "a\0"}), "headers.X"),
    ("header line", mail(headers={"X": "a" * 995 + " a"}), mail(headers={"X": "a" * 996 + " a"}), "headers.X"),
    ("own header", one(headers={"X": "x"}), one(headers={"subject": "x"}), "personalizations[0].headers.subject"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "field"), [limit[1:] for limit in LIMITS], ids=[limit[0] for limit in LIMITS])
async def test_limit(world: World, good: dict[str, Any], bad: dict[str, Any], field: str) -> None:
    world.journal.active_templates["tnt_acme", TEMPLATE] = a_template()
    accepted = await world.send(good)
    assert accepted.status_code == 202, accepted.text[:500]
    (named,) = await world.fields(bad)
    assert named is not None and named.endswith(field)


PROTECTED = [
    "Received", "DKIM-Signature", "Content-Type", "Content-Transfer-Encoding", "To", "From", "Subject",
    "Reply-To", "Cc", "Bcc", "MIME-Version", "x-sg-id", "x-sg-eid", "Resent-Bcc", "Resent-Date",
]  # fmt: skip


@pytest.mark.parametrize("name", PROTECTED)
async def test_protected_headers(world: World, name: str) -> None:
    for spelling in (name, name.upper()):
        assert await world.fields(mail(headers={spelling: "x"})) == [f"headers.{spelling}"]


FAULTS_OF_ATTACHMENTS: list[tuple[dict[str, Any], str]] = [
    ({"content": None}, "The content is required"),
    ({"content": ""}, "The content is required"),
    ({"content": "@@not base64@@"}, "The content is not base64: only base64 data is allowed"),
    ({"content": "QQ="}, "The content is not base64: incorrect padding"),
    ({"content": "QUJD\r\nREVG"}, "The content is base64 without line breaks"),
    ({"content": "QUI_"}, "The content is base64 with + and /, not the form for URLs with - and _"),
    (
        {"content": "data:application/pdf;base64,QUJD"},
        "The content is base64 alone: leave out what stands before the comma",
    ),
    ({"filename": None}, "The filename is required"),
    ({"filename": ""}, "The filename is required"),
    ({"filename": "f" * 256}, "The filename has 256 characters; at most 255"),
    ({"filename": "a\x7fb"}, "The filename may not contain control characters"),
    ({"type": "pdf"}, "'pdf' is not a media type, such as application/pdf"),
    ({"type": "a/" + "b" * 254}, "The type has 256 characters; at most 255"),
    ({"disposition": "form-data"}, "The disposition is attachment or inline"),
    ({"disposition": "inline"}, "An inline attachment needs a content_id"),
    ({"disposition": "inline", "content_id": ""}, "An inline attachment needs a content_id"),
    ({"content_id": "c" * 300}, "The content_id has 300 characters; at most 255"),
    ({"content_id": "a b"}, "The content_id may not contain spaces: a cid: URL cannot name it"),
    ({"filename": "../.."}, "The filename is only a path; the name of a file is required"),
    ({"filename": "C:\\invoices\\"}, "The filename is only a path; the name of a file is required"),
    ({"content_id": "é"}, "'é' is not a content_id of 1 to 255 printable ASCII characters"),
]


async def test_each_fault_of_an_attachment_has_its_own_words(world: World) -> None:
    for changes, said in FAULTS_OF_ATTACHMENTS:
        faults = await world.faults(mail(attachments=[attachment(), attachment(**changes)]))
        assert faults == [("attachments[1]", said)]


async def test_all_faults_of_attachments_are_named_at_once(world: World) -> None:
    logo = attachment(disposition="inline", content_id="logo")
    twin = attachment(disposition="inline", content_id="<logo>", filename="\r" * 256, type="x", content="=")
    faults = await world.faults(mail(attachments=[logo, twin]))
    assert {field for field, _ in faults} == {"attachments[1]"}
    assert len({said for _, said in faults}) == 5
    eleven = await world.faults(mail(attachments=[attachment()] * 11))
    assert eleven == [("attachments", "At most 10 attachments, not 11")]


def test_an_attachment_that_makes_the_message_too_large_is_named() -> None:
    """Within a body of 20 MB, the line breaks of its base64 may be too much."""

    def faults(*sizes: int) -> list[str | None]:
        files = [AttachmentPart(content="QUJD" * (size // 3), filename="a.pdf") for size in sizes]
        request = msgspec.convert(mail(), MailSend)
        request.attachments = files
        return [fault.field for fault in check(request).faults]

    assert faults(15_000_000) == []
    assert faults(1000, 15_500_000) == ["attachments[1]"]
    assert faults(7_500_000, 8_000_000) == ["attachments"]
