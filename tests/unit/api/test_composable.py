"""Every accepted message can be composed: acceptance is tested against composing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from api.send.conversion import new_request
from api.send.request import MailSend
from api.send.validation import check
from cluster.journal.records import decode_content, decode_personalization
from cluster.message.composable import why_not
from cluster.message.header_fields import address, writable
from cluster.settings import MessageSettings
from tests.unit.api.bodies import attachment, mail, to
from tests.unit.api.conftest import World
from tests.unit.compose.reading import assert_sound, read

NOW = datetime(2026, 4, 23, 10, tzinfo=UTC)


def composed(body: dict[str, Any], limits: MessageSettings | None = None) -> list[bytes] | None:
    """The messages of a request, or None where it is refused."""
    limits = limits or MessageSettings()
    sent = msgspec.convert(body, MailSend)
    checked = check(sent, limits)
    if checked.faults:
        return None
    request = new_request(sent, checked.files, tenant_id="t", sandbox=False, now=NOW, lifetime=timedelta(days=1))
    content = decode_content(request.content)
    skeleton = compile_content(content, request.attachments, limits)
    made = []
    for message in request.messages:
        assert message.subject.isprintable() or not set(message.subject) & set("\r\n")
        assert why_not(content, decode_personalization(message.personalization), limits) is None
        own = decode_personalization(message.personalization)
        assert writable((*own.to, *own.cc)) == [*own.to, *own.cc]  # composing would leave them out
        for recipient in message.recipients:
            draft = draft_message(
                skeleton, decode_personalization(message.personalization), None,
                message_id=f"<{message.id}@x.example>", date=NOW, signed_at=NOW,
            )  # fmt: skip
            assert address(recipient.email)
            made += [wire.data for wire in finish([draft])]
    assert all(len(data) <= limits.max_bytes for data in made)
    return made


def the_one(body: dict[str, Any]) -> Any:
    made = composed(body)
    assert made is not None
    assert_sound(made[0])
    return read(made[0])


_PIECES = st.sampled_from(
    [
        *(
            "a",
            "é",
            "日",
            " ",
            "\t",
            "\r",
            "\n",
            "\0",
            "\u200b",
            "\u2028",
            "\ufeff",
            "=?",
            "?=",
            '"',
            "\\",
            "<",
            ">",
            ",",
        ),
        *(
            ";",
            "@",
            ".",
            "%k%",
            "b@example.com",
            "xn--i-7iq.ws",
            "r3---sn-x.example",
            "\x07",
            "🎉",
            "x" * 80,
            " " * 1200,
        ),
    ]
)
_TEXT = st.lists(_PIECES, max_size=6).map("".join)
_DOMAINS = st.sampled_from(
    [
        "example.com",
        "xn--i-7iq.ws",
        "r3---sn-x.example",
        "bücher.example",
        "BÜCHER.example",
        "exa\u200bmple.com",
        "%k%.example",
    ]
)
_EMAIL = st.one_of(
    st.sampled_from(["a@example.com", "b@bücher.example", "é@xn--i-7iq.ws", " c@example.com"]),
    st.sampled_from(["a@example.com", "é@example.com", "%k%@example.com"]),
    st.tuples(st.sampled_from(["a", "é", '"a b"', "%k%", " a", "\u200ba", "a.b", "x" * 64]), _DOMAINS).map("@".join),
    _TEXT,
)
_BOX = st.fixed_dictionaries({"email": _EMAIL}, optional={"name": _TEXT})
_GOOD_BOX = st.fixed_dictionaries({"email": st.just("%k%@example.com")}, optional={"name": _TEXT})
_NAME = st.sampled_from(
    [
        *("X-A", "x-a", "Resent-Bcc", "List-Unsubscribe", "Errors-To", "In-Reply-To", "Keywords", "List-Id", "Sender"),
        *("Message-ID", "Date", "X-SMTPAPI", "To", "X" * 901),
    ]
)
_HEADERS = st.dictionaries(_NAME, _TEXT | st.sampled_from(["<a@example.com>", "Zoë <z@example.com>", "<https://é/>"]))
_PERSONALIZATION = st.fixed_dictionaries(
    {"to": st.lists(st.just({"email": "ada@example.com"}) | _BOX, min_size=1, max_size=2)},
    optional={
        "cc": st.lists(_BOX, max_size=1), "bcc": st.lists(_BOX, max_size=1), "from": _BOX, "subject": _TEXT,
        "headers": _HEADERS, "substitutions": st.dictionaries(st.sampled_from(["%k%", "a", ""]), _TEXT, max_size=2),
    },
)  # fmt: skip
_ATTACHMENT = st.fixed_dictionaries(
    {"content": st.sampled_from(["QQ==", "RnJvbTogYQ0KDQr/Cg==", "RnJvbTogYQ0KDQpiCg=="]), "filename": _TEXT},
    optional={
        "type": st.sampled_from(["text/calendar", "message/rfc822", "multipart/mixed", "x", "a/b; c=d"]) | _TEXT,
        "disposition": st.sampled_from(["inline", "attachment"]),
        "content_id": _TEXT,
    },
)
_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "personalizations": st.lists(_PERSONALIZATION, min_size=1, max_size=2), "from": _BOX, "subject": _TEXT,
        "reply_to": _BOX | _GOOD_BOX, "reply_to_list": st.lists(_BOX | _GOOD_BOX, max_size=2), "headers": _HEADERS,
        "attachments": st.lists(_ATTACHMENT, max_size=2),
        "content": st.just([{"type": "text/plain", "value": "Hello %k%"}]),
    },
)  # fmt: skip
SMALL = MessageSettings(max_bytes=60_000, max_part_bytes=50_000)


@given(_CHANGES)
def test_what_is_accepted_is_composed(changes: dict[str, Any]) -> None:
    for data in composed(mail() | changes) or ():
        assert_sound(data)


@given(_CHANGES)
def test_what_is_accepted_is_composed_within_small_limits(changes: dict[str, Any]) -> None:
    composed(mail() | changes, SMALL)


@given(st.lists(_PERSONALIZATION, min_size=1, max_size=3), _GOOD_BOX)
def test_what_substitutions_bring_is_refused_or_composed(own: list[dict[str, Any]], reply_to: dict[str, Any]) -> None:
    for data in composed(mail(personalizations=own, reply_to=reply_to, subject="Hello %k%")) or ():
        assert_sound(data)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n\r\n"])
async def test_a_line_end_that_is_substituted_becomes_a_space(world: World, end: str) -> None:
    body = mail(
        personalizations=[to("ada@example.com", substitutions={"%k%": f"A{end}X-B: x@example.com"})],
        subject="Hello %k%",
        reply_to={"email": "a@example.com", "name": "%k%"},
    )
    assert (await world.send(body)).status_code == 202
    message = the_one(body)
    assert message["Subject"] == "Hello A X-B: x@example.com"
    assert message["Reply-To"].addresses[0].display_name == "A X-B: x@example.com"
    assert message["X-B"] is None
    assert world.journal.requests[-1].messages[0].subject == "Hello A X-B: x@example.com"


@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (
            {"personalizations": [to("a@example.com", substitutions={"%k%": "x y"})]},
            "personalizations[0].substitutions",
        ),
        ({"personalizations": [to("a@example.com", substitutions={"%k%": ""})]}, "personalizations[0].substitutions"),
        (
            {"personalizations": [to("a@example.com", substitutions={"%k%": "x" * 65})]},
            "personalizations[0].substitutions",
        ),
        ({"headers": {"Resent-Bcc": "a@example.com"}}, "headers.Resent-Bcc"),
        ({"headers": {"X-A": f"a{' ' * 1200}b"}}, "headers.X-A"),
        ({"headers": {"X" * 901: "é"}}, f"headers.{'X' * 100}"),
        ({"headers": {"In-Reply-To": "<é@example.com>"}}, "headers.In-Reply-To"),
        ({"headers": {"Message-ID": "none"}}, "headers.Message-ID"),
        ({"headers": {"Sender": "none"}}, "headers.Sender"),
        (
            {"headers": {"Message-ID": "<a@b>"}, "personalizations": [to("a@example.com"), to("b@example.com")]},
            "headers.Message-ID",
        ),
        ({"attachments": [attachment(content_id="<x>"), attachment(content_id="x")]}, "attachments[1]"),
        ({"sections": {"-s-": "x"}}, "sections"),
        ({"mail_settings": {"bcc": {"enable": True, "email": "b@example.com"}}}, "mail_settings.bcc"),
        ({"mail_settings": {"spam_check": {"enable": True, "threshold": 5}}}, "mail_settings.spam_check"),
        ({"personalizations": [to("a@exa\u200bmple.com")]}, "personalizations[0].to[0].email"),
    ],
)
async def test_what_can_never_be_sent_is_refused_with_its_field(
    world: World, changes: dict[str, Any], field: str, sandbox: bool
) -> None:
    body = mail(reply_to={"email": "%k%@example.com"}, **changes)
    if sandbox:
        body["mail_settings"] = {**body.get("mail_settings", {}), "sandbox_mode": {"enable": True}}
    assert await world.fields(body) == [field]


@pytest.mark.parametrize(
    "email", ['"a b"@r3---sn-x.example', "é@xn--i-7iq.ws", " ada@example.com\n", "\u200bada@x.example"]
)
def test_addresses_that_are_accepted_are_written(email: str) -> None:
    [data] = composed(mail(personalizations=[to(email)])) or [b""]
    assert b"\r\nTo: " + email.strip(" \n\u200b").encode() + b"\r\n" in data


async def test_white_space_around_an_address_is_taken_off(world: World) -> None:
    body = mail(
        personalizations=[to(" ada@example.com", cc=[{"email": "ADA@example.com\t"}])],
        **{"from": {"email": " hello@mail.example.com "}},
    )
    assert await world.fields(body) == ["personalizations[0].cc[0].email"]
    body["personalizations"][0]["cc"] = [{"email": "bob@example.com\u200b"}]
    assert (await world.send(body)).status_code == 202
    message = world.journal.requests[-1].messages[0]
    assert (message.from_email, message.to_emails) == ("hello@mail.example.com", ("ada@example.com", "bob@example.com"))


async def test_what_is_said_in_vain_is_named(world: World) -> None:
    body = mail(
        headers={"Date": "x", "X-SMTPAPI": '{"to": []}', "X-A": "1", "x-a": "2", 'X,"B"': "1"},
        personalizations=[to("ada@example.com", headers={"Return-Path": "<>"})],
    )
    response = await world.send(body)
    assert response.status_code == 202, response.text
    assert response.headers["x-postray-ignored"] == (
        "personalizations[0].headers.Return-Path,headers.X-A,headers.Date,headers.X-SMTPAPI"
    )
    message = the_one(body)
    assert (message.get_all("X-A"), message["X-SMTPAPI"], message["Return-Path"]) == (["2"], None, None)
    assert message.get_all("Date") == ["Thu, 23 Apr 2026 10:00:00 +0000"]
    assert "x-postray-ignored" not in (await world.send(mail())).headers


async def test_tracking_that_is_off_is_accepted(world: World) -> None:
    settings = {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {},
        "subscription_tracking": {"enable": False, "text": "x"},
        "ganalytics": None,
    }
    response = await world.send(mail(tracking_settings=settings))
    assert (response.status_code, response.headers.get("x-postray-ignored")) == (202, None)


async def test_settings_without_effect_are_named(world: World) -> None:
    body = mail(
        personalizations=[to("a@example.com", dynamic_template_data={"plan": "Pro"})],
        mail_settings={"footer": {"text": "Acme"}, "bypass_list_management": {"enable": True}},
    )
    named = (await world.send(body)).headers["x-postray-ignored"]
    assert named == "personalizations[0].dynamic_template_data,mail_settings.footer"


async def test_at_most_twenty_paths_are_named(world: World) -> None:
    own = [to(f"a{number}@example.com", headers={"Date": "x"}) for number in range(23)]
    named = (await world.send(mail(personalizations=own))).headers["x-postray-ignored"].split(",")
    assert named == [*(f"personalizations[{number}].headers.Date" for number in range(20)), "+3"]


async def test_a_message_id_and_a_sender_are_honoured(world: World) -> None:
    body = mail(headers={"message-id": "<mine@mail.example.com>", "Sender": "Acme <post@mail.example.com>"})
    assert (await world.send(body)).status_code == 202
    message = the_one(body)
    assert message.get_all("Message-ID") == ["<mine@mail.example.com>"]
    assert message.get_all("Sender") == ["Acme <post@mail.example.com>"]
    other = await world.send(mail(headers={"Sender": "post@other.example"}))
    assert (other.status_code, other.json()["detail"]) == (403, "Sender domain not verified: other.example")


async def test_a_byte_order_mark_before_json_is_read(world: World) -> None:
    assert (await world.send(b"\xef\xbb\xbf" + json.dumps(mail()).encode())).status_code == 202
    for body in (b"\xef\xbb\xbf", b"\xef\xbb\xbf" * 2000 + b"{}", b"\xef\xbb\xbf{"):
        assert (await world.send(body)).status_code == 422


@pytest.mark.parametrize(
    ("given", "name", "kind"),
    [
        ({"filename": "a.ics", "type": None}, "a.ics", "text/calendar"),
        ({"filename": "", "disposition": "inline", "content_id": "logo"}, "logo", "application/pdf"),
        ({"filename": None, "disposition": "inline", "content_id": "<logo>"}, "logo", "application/pdf"),
        ({"filename": "../../etc/passwd"}, "passwd", "application/pdf"),
        ({"filename": "C:\\fakepath\\a.ics", "type": None}, "a.ics", "text/calendar"),
        ({"filename": "=?utf-8?b?YQ==?=.txt"}, "=?utf-8?b?YQ==?=.txt", "application/pdf"),
    ],
)
async def test_names_of_files(world: World, given: dict[str, Any], name: str, kind: str) -> None:
    body = mail(attachments=[attachment(**given)])
    assert (await world.send(body)).status_code == 202
    [part] = [part for part in the_one(body).walk() if part.get_content_disposition()]
    assert (part.get_filename(), part.get_content_type()) == (name, kind)
