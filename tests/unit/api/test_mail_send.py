"""POST /v3/mail/send: what is accepted, what is stored of it, and each row of the documented error table."""

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.events import Processed, decode_batch
from cluster.journal.intake import processed
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.records import Address, BodyPart, decode_content, decode_personalization
from tests.unit.api.bodies import attachment, mail, to
from tests.unit.api.conftest import World


async def test_one_personalization_answers_with_its_id(world: World) -> None:
    response = await world.send(mail())
    assert response.status_code == 202
    (request,) = world.journal.requests
    assert response.json() == {"message_id": request.messages[0].id}
    assert response.headers["x-message-id"] == request.messages[0].id


async def test_several_answer_with_their_ids_in_order(world: World) -> None:
    response = await world.send(mail(personalizations=[to("ada@example.com"), to("bert@example.com")]))
    assert response.status_code == 202
    (request,) = world.journal.requests
    assert [message.to_emails for message in request.messages] == [("ada@example.com",), ("bert@example.com",)]
    assert response.json() == {"message_ids": [message.id for message in request.messages]}
    assert response.headers["x-message-id"] == request.messages[0].id


def everything(batch_id: str, send_at: int) -> dict[str, object]:
    return mail(
        personalizations=[
            {
                "to": [{"email": "ada@Example.COM", "name": "Ada"}],
                "cc": [{"email": "boss@bücher.example"}],
                "bcc": [{"email": "audit@example.com"}],
                "from": {"email": "ceo@mail.example.com"},
                "subject": "Hello -name-",
                "headers": {"X-Own": "1"},
                "substitutions": {"-name-": "Ada"},
                "dynamic_template_data": {"plan": "Pro"},
                "custom_args": {"user_id": 7},
                "send_at": send_at,
            }
        ],
        reply_to_list=[{"email": "help@example.com", "name": "Help"}],
        attachments=[attachment(), attachment(disposition="inline", filename=None, content_id="logo", type=None)],
        headers={"X-Shared": "2"},
        categories=["welcome"],
        custom_args={"campaign": {"id": [1, 2]}},
        batch_id=batch_id,
        ip_pool_name="bulk",
        mail_settings={"footer": {"enable": True, "text": "Acme", "html": "<p>Acme</p>"}},
        tracking_settings={"open_tracking": {"enable": False}},
        unknown={"ignored": True},
    )


async def test_everything_a_request_may_say_is_stored(world: World) -> None:
    batch_id = await world.journal.batches.create("tnt_acme")
    later = int(time.time()) + 3600
    response = await world.send(everything(batch_id, later))
    assert response.status_code == 202, response.text
    (request,) = world.journal.requests
    assert (request.tenant_id, request.batch_id, request.categories) == ("tnt_acme", batch_id, ("welcome",))
    pdf = b"%PDF-1.4"
    assert request.attachments == {hashlib.sha256(pdf).digest(): pdf}

    content = decode_content(request.content)
    assert content.from_ == Address("hello@mail.example.com", "Acme")
    assert content.reply_to == (Address("help@example.com", "Help"),)
    assert content.parts == (BodyPart("text/plain", "Welcome, Ada!"), BodyPart("text/html", "<h1>Welcome, Ada!</h1>"))
    assert [(a.filename, a.inline, a.content_id, a.type, a.size) for a in content.attachments] == [
        ("a.pdf", False, None, "application/pdf", 8),
        ("logo", True, "logo", "application/octet-stream", 8),
    ]
    assert content.headers == {"X-Shared": "2"}
    assert content.custom_args == {"campaign": {"id": [1, 2]}}
    assert request.pool == "bulk"
    assert content.footer is not None and content.footer.text == "Acme"
    assert content.tracking_settings == {"open_tracking": {"enable": False}}

    (message,) = request.messages
    assert message.subject == "Hello Ada"
    assert message.from_email == "ceo@mail.example.com"
    assert message.to_emails == ("ada@example.com", "boss@xn--bcher-kva.example", "audit@example.com")
    assert [recipient.domain for recipient in message.recipients] == [
        "example.com",
        "xn--bcher-kva.example",
        "example.com",
    ]
    assert message.send_at == datetime.fromtimestamp(later, UTC)
    assert message.expires_at == message.send_at + timedelta(days=1)
    personalization = decode_personalization(message.personalization)
    assert personalization.cc == (Address("boss@xn--bcher-kva.example"),)
    assert personalization.custom_args == {"user_id": 7}
    assert personalization.substitutions == {"-name-": "Ada"}

    (row,) = processed(request)
    events = decode_batch(row)
    assert [(type(event), event.recipient, event.batch_id) for event in events] == [
        (Processed, email, batch_id) for email in message.to_emails
    ]
    assert world.offered == [request]


@pytest.mark.parametrize("offset", [-1_000_000, 0, 4])
async def test_a_send_time_that_is_past_or_about_to_be_means_now(world: World, offset: int) -> None:
    assert (await world.send(mail(send_at=int(time.time()) + offset))).status_code == 202
    (message,) = world.journal.requests[0].messages
    assert message.send_at is None


async def test_sandbox_mode_is_checked_kept_and_never_offered(world: World) -> None:
    body = mail(mail_settings={"sandbox_mode": {"enable": True}})
    body["from"] = {"email": "anybody@unverified.example"}
    assert (await world.send(body)).status_code == 202
    (request,) = world.journal.requests
    assert request.messages[0].sandbox and request.messages[0].recipients == () and processed(request) == []
    assert request.messages[0].to_emails == ("ada@example.com",)
    assert world.offered == []


async def test_a_test_key_is_always_sandbox(world: World) -> None:
    key = world.journal.issue_key("mail.send", sandbox=True)
    assert key.startswith("sg_test_")
    assert (await world.send(mail(), key)).status_code == 202
    assert world.journal.requests[0].messages[0].sandbox
    assert (await world.send(mail(subject=None), key)).status_code == 400  # validated like any other


# The documented error table, row by row.


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template_id": "welcome", "content": None}, "template_id"),
        ({"template_id": "d-unknown", "content": None}, "template_id"),
        ({"personalizations": None}, "personalizations"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [to("a@example.com")] * 1001}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations[0].to"),
        ({"personalizations": [{"to": []}]}, "personalizations[0].to"),
        ({"personalizations": [to("a@example.com"), {"to": [{"name": "Ada"}]}]}, "personalizations[1].to[0].email"),
        ({"from": None}, "from"),
        ({"from": {"name": "Acme"}}, "from"),
        ({"from": {"email": "not-an-address"}}, "from"),
        ({"template_id": "d-welcome"}, "template_id"),
        ({"content": None}, "content"),
        ({"content": []}, "content"),
        ({"attachments": [attachment(), attachment(content="@@not base64@@")]}, "attachments[1]"),
        ({"attachments": [attachment(type="pdf")]}, "attachments[0]"),
    ],
)
async def test_error_table_400(world: World, changes: dict[str, object], field: str) -> None:
    assert await world.fields(mail(**changes)) == [field]
    assert world.journal.requests == []


async def test_error_table_template_does_not_exist(world: World) -> None:
    ((_, message),) = await world.faults(mail(template_id="d-unknown", content=None, subject=None))
    assert "does not exist" in message


async def test_error_table_403(world: World) -> None:
    response = await world.send(mail(), world.journal.issue_key("mail.cancel"))
    assert (response.status_code, response.json()["detail"]) == (403, "Missing required scope: mail.send")
    body = mail()
    body["from"] = {"email": "ceo@other.example"}
    assert await unverified(world, body) == "from"
    own = {"from": {"email": "x@other.example"}}
    assert await unverified(world, mail(personalizations=[to("a@x.test"), to("b@x.test", **own)])) == (
        "personalizations[1].from"
    )
    assert await unverified(world, mail(headers={"sender": "x@other.example"})) == "headers.sender"
    own = {"headers": {"Sender": "x@other.example"}}
    assert await unverified(world, mail(personalizations=[to("a@x.test", **own)])) == (
        "personalizations[0].headers.Sender"
    )


async def unverified(world: World, body: dict[str, Any]) -> str:
    """The field that a refusal for its sender names; it begins with the words that clients look for."""
    response = await world.send(body)
    said = "Sender domain not verified: other.example"
    assert (response.status_code, response.json()["detail"]) == (403, said)
    ((message, field),) = [(fault["message"], fault["field"]) for fault in response.json()["errors"]]
    assert message == said
    return str(field)


async def test_a_send_time_needs_its_scope(world: World) -> None:
    key = world.journal.issue_key("mail.send")
    for body in (mail(send_at=1), mail(personalizations=[to("a@example.com", send_at=1)])):
        response = await world.send(body, key)
        assert (response.status_code, response.json()["detail"]) == (403, "Missing required scope: mail.schedule")
    assert (await world.send(mail(), key)).status_code == 202


async def test_an_international_sender_domain_is_looked_up_by_its_a_labels(world: World) -> None:
    body = mail()
    body["from"] = {"email": "Hallo@Bücher.example"}
    assert (await world.send(body)).status_code == 202
    own = to("a@example.com") | {"from": {"email": "b@BÜCHER.example"}}
    assert (await world.send(mail(personalizations=[own]))).status_code == 202
    shared, single = world.journal.requests
    assert decode_content(shared.content).from_.email == shared.messages[0].from_email
    assert shared.messages[0].from_email == "Hallo@xn--bcher-kva.example"
    assert single.messages[0].from_email == "b@xn--bcher-kva.example"


async def test_every_address_is_kept_with_its_domain_in_the_one_spelling(world: World) -> None:
    one = to("Ada@BÜCHER.example", cc=[{"email": "é@Bücher.example"}], bcc=[{"email": "b@Example.COM"}])
    body = mail(personalizations=[one], reply_to_list=[{"email": "r@bücher.example"}, {"email": "S@EXAMPLE.com"}])
    assert (await world.send(body)).status_code == 202
    (request,) = world.journal.requests
    (message,) = request.messages
    there = ("Ada@xn--bcher-kva.example", "é@xn--bcher-kva.example", "b@example.com")
    assert message.to_emails == there == tuple(recipient.email for recipient in message.recipients)
    assert {recipient.domain for recipient in message.recipients} == {"xn--bcher-kva.example", "example.com"}
    personalization = decode_personalization(message.personalization)
    assert tuple(address.email for address in (*personalization.to, *personalization.cc, *personalization.bcc)) == there
    replies = [address.email for address in decode_content(request.content).reply_to]
    assert replies == ["r@xn--bcher-kva.example", "S@example.com"]
    assert {event.recipient for event in decode_batch(processed(request)[0])} == set(there)


async def test_an_address_counts_once_however_its_domain_is_spelled(world: World) -> None:
    same = [{"email": "a@xn--bcher-kva.example"}, {"email": "A@BÜCHER.example"}]
    one = to("a@bücher.example", cc=same)
    assert await world.fields(mail(personalizations=[one], reply_to_list=same)) == [
        "personalizations[0].cc[0].email",
        "personalizations[0].cc[1].email",
        "reply_to_list[1].email",
    ]


@pytest.mark.parametrize("domain", ["bü cher.example", "ü" * 60 + ".example", "xn--ü.example", "i❤.example", "‎.de"])
async def test_a_domain_that_cannot_be_encoded_is_a_fault_with_its_field(world: World, domain: str) -> None:
    bad = {"email": f"a@{domain}"}
    one = {"to": [bad], "cc": [{"email": "c@example.com"}, bad], "from": bad}
    assert set(await world.fields(mail(personalizations=[one], reply_to=bad) | {"from": bad})) >= {
        "from",
        "personalizations[0].to[0].email",
        "personalizations[0].cc[1].email",
        "personalizations[0].from",
        "reply_to.email",
    }


async def test_another_tenants_batch_is_a_fault_like_an_unknown_one(world: World) -> None:
    theirs = await world.journal.batches.create("tnt_other")
    for batch_id in (theirs, "bat_nonsense", ""):
        assert await world.fields(mail(batch_id=batch_id)) == ["batch_id"]


async def test_all_faults_are_named_at_once(world: World) -> None:
    body = mail(
        personalizations=[
            to("a@example.com"),
            to("nonsense", cc=[{"email": "b@example.com"}, {"email": "B@example.com"}]),
            to("a@example.com", headers={"To": "x"}, subject="a\nb"),
        ],
        subject=None,
        content=[{"type": "text/html", "value": ""}, {"type": "text/plain", "value": "x"}],
        attachments=[attachment(content="?")],
        categories=["a", "a"],
        headers={"X-A": "a\r\nb"},
        batch_id="bat_nope",
        asm={"group_id": 1},
    )
    body["from"] = {"email": "@"}
    assert set(await world.fields(body)) == {
        "from",
        "personalizations[1].to[0].email",
        "personalizations[1].cc[1].email",
        "personalizations[2].subject",
        "personalizations[2].headers.To",
        "subject",
        "content[0].value",
        "content[1].type",
        "attachments[0]",
        "headers.X-A",
        "categories[1]",
        "asm.group_id",
        "batch_id",
    }


async def test_the_list_of_faults_is_bounded(world: World) -> None:
    body = mail(personalizations=[{"to": [{"email": "x"}] * 500}] * 3)
    response = await world.send(body)
    errors = response.json()["errors"]
    assert len(errors) == 101
    assert errors[-1]["message"] == "There are more faults; the first 100 are listed"


# The journal's own refusals.


async def test_503_asks_to_come_back(world: World) -> None:
    world.journal.failures = [Unavailable("connection refused")]
    response = await world.send(mail())
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "refused" not in response.text  # no internals
    assert (await world.send(mail())).status_code == 202


async def test_data_that_the_journal_rejects_is_a_400(world: World) -> None:
    world.journal.failures = [Rejected("invalid byte sequence")]
    response = await world.send(mail())
    assert (response.status_code, "invalid byte" in response.text) == (400, False)


async def test_a_defect_is_a_500_that_tells_nothing(world: World) -> None:
    world.journal.failures = [RuntimeError("secret detail")]
    response = await world.send(mail())
    assert response.status_code == 500
    assert response.json() == {
        "errors": [{"message": "Internal error", "field": None, "help": None}],
        "detail": "Internal error",
    }


async def test_an_offer_that_fails_does_not_fail_the_request(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("dispatch is gone")

    world.intake._small._offers = fail
    assert (await world.send(mail())).status_code == 202
    assert "offer failed" in caplog.text
