"""POST /api/v1/emails: what is committed, and what is refused with which field."""

import asyncio
import gzip
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from api.piisend.drafting import MOST_ATTACHED_BYTES
from cluster.journal.records import Address, BodyPart, decode_content, decode_personalization
from cluster.tenancy.settings import GoogleAnalytics, SubscriptionTracking, TenantSettings
from tests.unit.api.bodies import TEMPLATE, a_template, mail
from tests.unit.api.piisend.conftest import PATH, Emails, attachment, email, later

KEY = {"Idempotency-Key": "order 7"}


async def test_an_email_is_committed_as_one_message(emails: Emails) -> None:
    response = await emails.post(email(cc=["finance@example.com"], reply_to=["a@example.com", "b@example.com"]))
    assert response.status_code == 202, response.text
    (message,) = emails.request.messages
    assert response.json() == {"id": message.id, "status": "queued", "scheduled_at": None}
    assert "X-RateLimit-Limit" in response.headers
    content, own = decode_content(emails.request.content), decode_personalization(message.personalization)
    assert (content.from_, content.subject) == (Address("billing@mail.example.com"), "Your receipt")
    assert content.parts == (BodyPart("text/plain", "Thanks"), BodyPart("text/html", "<p>Thanks</p>"))
    assert content.reply_to == (Address("a@example.com"), Address("b@example.com"))
    assert (own.to, own.cc, own.bcc) == ((Address("ada@example.com"),), (Address("finance@example.com"),), ())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", Address("ada@example.com")),
        ("Ada Lovelace <ada@example.com>", Address("ada@example.com", "Ada Lovelace")),
        ('"Lovelace, Ada" <ada@example.com>', Address("ada@example.com", "Lovelace, Ada")),
        ("<ada@example.com>", Address("ada@example.com")),
        ("Zoë <zoe@Bücher.example>", Address("zoe@xn--bcher-kva.example", "Zoë")),
    ],
)
async def test_an_address_may_have_a_name(emails: Emails, text: str, address: Address) -> None:
    assert (await emails.post(email(to=[text], from_=None, **{"from": "a@mail.example.com"}))).status_code == 202
    assert decode_personalization(emails.request.messages[0].personalization).to == (address,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ada", "ada@", "Ada <ada>", "<a@example.com>, <b@example.com>", "Ada <a@example.com> x"),
        *("Ada\r\nBcc: eve@example.com <a@example.com>", "a@example.com\r\nBcc: eve@example.com", "a\0@example.com"),
        "<" * 10_000,
    ],
)
async def test_an_address_is_refused_with_its_place(emails: Emails, text: str) -> None:
    fields = await emails.fields(
        email(to=["bob@example.com", text], cc=[text], reply_to=[text], from_=f"{text} <x>" if "@" in text else text)
    )
    assert set(fields) == {"to[1]", "cc[0]", "reply_to[0]", "from_"}


@pytest.mark.parametrize("field", ["subject", "html", "text"])
async def test_no_text_adds_a_field(emails: Emails, field: str) -> None:
    text = "a\r\nBcc: eve@example.com\0"
    assert await emails.fields(email(**{field: text})) == [field]


@pytest.mark.parametrize("field", ["filename", "content_type"])
async def test_no_attachment_adds_a_field(emails: Emails, field: str) -> None:
    text = "a.pdf\r\nBcc: eve@example.com"
    assert await emails.fields(email(attachments=[attachment(), attachment() | {field: text}])) == ["attachments[1]"]


async def test_all_faults_at_once_each_with_the_field_of_this_api(emails: Emails) -> None:
    body = {
        "to": [],
        "cc": ["x"],
        "template_vars": {"a": 1},
        "scheduled_at": "tomorrow",
        "attachments": [attachment(), {"filename": "a"}, attachment(content_b64="!")],
    }
    assert await emails.faults(body) == [
        ("scheduled_at", "A time is ISO-8601, such as 2026-06-01T15:00:00Z, before the year 9999"),
        ("html", "Give html or text, or a template_id"),
        ("subject", "The subject is required"),
        ("template_vars", "template_vars go with a template_id"),
        ("attachments[1]", "An attachment needs content_type, content_b64"),
        ("from_", "A valid from address is required"),
        ("to", "At least one recipient is required"),
        ("cc[0]", "This is not a valid email address"),
        ("attachments[2]", "The content is not base64: only base64 data is allowed"),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"from": "other@mail.example.com"}, "from"),
        ({"to": ["ada@example.com"] * 2}, "to[1]"),
        ({"cc": ["ADA@example.com"]}, "cc[0]"),
        ({"to": [f"a{n}@example.com" for n in range(600)], "cc": [f"b{n}@example.com" for n in range(401)]}, "to"),
        ({"reply_to": [f"a{n}@example.com" for n in range(1001)]}, "reply_to"),
        ({"subject": "x" * 2000}, "subject"),
        ({"template_id": TEMPLATE}, "template_id"),
        ({"attachments": [attachment()] * 6}, "attachments"),
        ({"domain_id": "x"}, "domain_id"),
        ({"domain_id": 4711}, "domain_id"),
        ({"domain_id": -1}, "domain_id"),
        ({"domain_id": 10**30}, "domain_id"),
        ({"scheduled_at": "2020-01-01T00:00:00Z"}, "scheduled_at"),
        ({"scheduled_at": "9999-12-31T23:59:59-12:00"}, "scheduled_at"),
        ({"scheduled_at": "0001-01-01T00:00:00+12:00"}, "scheduled_at"),
        ({"scheduled_at": ""}, "scheduled_at"),
    ],
)
async def test_one_fault(emails: Emails, changes: dict[str, Any], field: str) -> None:
    assert await emails.fields(email(**changes)) == [field]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"to": "ada@example.com"}, "to"),
        ({"to": [{"email": "ada@example.com"}]}, "to[0]"),
        ({"track_opens": "yes"}, "track_opens"),
        ({"template_vars": []}, "template_vars"),
        ({"scheduled_at": 1_900_000_000}, "scheduled_at"),
        ({"attachments": [{"content_b64": 7}]}, "attachments[0].content_b64"),
    ],
)
async def test_a_wrong_type_is_a_422(emails: Emails, changes: dict[str, Any], place: str) -> None:
    response = await emails.post(email(**changes))
    assert response.status_code == 422, response.text
    assert [error["field"] for error in response.json()["errors"]] == [place]
    assert isinstance(response.json()["detail"], list)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"subject": "\\ud800"}', b"\xff"])
async def test_what_is_no_email_is_refused(emails: Emails, body: bytes) -> None:
    assert (await emails.post(body)).status_code in (400, 422)
    assert not emails.journal.requests


async def test_unknown_fields_and_parameters_are_named(emails: Emails) -> None:
    body = email(importance="high", attachments=[attachment(disposition="inline")])
    response = await emails.post(body, f"{PATH}?dry_run=1")
    assert response.status_code == 202
    assert set(response.headers["X-Postray-Ignored"].split(",")) == {
        "dry_run",
        "importance",
        "attachments[0].disposition",
    }


async def test_nobody_is_left_out_without_a_word(emails: Emails) -> None:
    response = await emails.post(email(bcc=["eve@example.com"]))
    assert response.status_code == 400
    assert [fault["field"] for fault in response.json()["errors"]] == ["bcc"]
    assert (await emails.post(email(bcc=[]))).status_code == 202
    assert len(emails.journal.requests) == 1


async def test_what_is_not_asked_for_is_off_whatever_the_tenant_has(emails: Emails) -> None:
    emails.journal.settings["tnt_acme"] = TenantSettings(
        subscription=SubscriptionTracking(enabled=True), google_analytics=GoogleAnalytics(enabled=True)
    )
    assert (await emails.post(email())).status_code == 202
    assert decode_content(emails.request.content).tracking is None


@pytest.mark.parametrize("asked", ["track_opens", "track_clicks", "enable_unsubscribe"])
async def test_each_is_asked_for_by_itself(emails: Emails, asked: str) -> None:
    assert (await emails.post(email(**{asked: True}))).status_code == 202
    tracking = decode_content(emails.request.content).tracking
    assert tracking is not None and tracking.analytics is None
    on = {
        "track_opens": tracking.opens,
        "track_clicks": tracking.clicks,
        "enable_unsubscribe": tracking.has_unsubscribe,
    }
    assert [name for name, is_on in on.items() if is_on] == [asked]


# Templates


async def test_a_template_is_filled_with_its_vars(emails: Emails) -> None:
    emails.journal.active_templates["tnt_acme", TEMPLATE] = a_template()
    body = email(html=None, text=None, subject=None, template_id=TEMPLATE, template_vars={"name": "Ada", "n": 1})
    assert (await emails.post(body)).status_code == 202
    assert emails.request.messages[0].subject == "Hello Ada"
    own = decode_personalization(emails.request.messages[0].personalization)
    assert msgspec.json.decode(own.template_data) == {"name": "Ada", "n": 1}


@pytest.mark.parametrize(
    ("template", "changes", "expected"),
    [
        (None, {}, ("template_id", "The template does not exist")),
        (a_template(use=None), {}, ("template_id", "The template has no active version")),
        (a_template(subject=""), {}, ("subject", "The template has no subject: the subject is required")),
        (
            a_template(generation="legacy", subject="Hi"),
            {"template_vars": {"a": "b"}},
            ("template_vars", "A legacy template takes no template_vars"),
        ),
        (
            a_template(),
            {"html": "<p>x</p>"},
            ("template_id", "Give html and text, or a template_id, not both"),
        ),
        (a_template(), {"template_vars": {"a": "\0"}}, ("template_vars", "Text may not contain NUL")),
    ],
)
async def test_a_template_that_does_not_go(
    emails: Emails, template: Any, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    emails.journal.active_templates["tnt_other", TEMPLATE] = a_template()
    if template is not None:
        emails.journal.active_templates["tnt_acme", TEMPLATE] = template
    body = email(html=None, text=None, subject=None, template_id=TEMPLATE) | changes
    assert await emails.faults(body) == [expected]


# Later


async def test_a_scheduled_email(emails: Emails) -> None:
    response = await emails.post(email(scheduled_at="2100-06-01T17:00:00.2+02:00"))
    assert response.status_code == 202, response.text
    (message,) = emails.request.messages
    assert message.send_at == datetime(2100, 6, 1, 15, 0, 1, tzinfo=UTC)
    assert response.json() == {"id": message.id, "status": "scheduled", "scheduled_at": "2100-06-01T15:00:01Z"}


async def test_a_time_without_a_zone_is_utc_and_one_that_is_near_is_now(emails: Emails) -> None:
    assert (await emails.post(email(scheduled_at="2100-06-01T15:00:00"))).json()["status"] == "scheduled"
    near = (await emails.post(email(scheduled_at=later(seconds=3)))).json()
    assert (near["status"], near["scheduled_at"]) == ("queued", None)
    send_ats = [request.messages[0].send_at for request in emails.journal.requests]
    assert send_ats == [datetime(2100, 6, 1, 15, 0, tzinfo=UTC), None]


# Attachments


async def test_attachments_up_to_their_limit_and_not_beyond(emails: Emails) -> None:
    size = MOST_ATTACHED_BYTES // 5
    assert (await emails.post(email(attachments=[attachment(size)] * 5))).status_code == 202
    content = decode_content(emails.request.content)
    assert [(one.filename, one.type, one.size) for one in content.attachments] == [
        ("a.pdf", "application/pdf", size)
    ] * 5
    body = email(attachments=[*[attachment(size)] * 4, attachment(size + 1)])
    refused = await emails.post(body)
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["field"]) == (400, "attachments")
    assert str(MOST_ATTACHED_BYTES) in error["message"]


async def test_a_body_that_is_too_large_is_not_read(emails: Emails) -> None:
    assert (await emails.post(email(text="x" * 21 * 1024 * 1024))).status_code == 413


async def test_a_large_email_takes_the_same_way_with_its_own_names(emails: Emails) -> None:
    large = email(text="x" * 1_200_000, scheduled_at="2100-06-01T15:00:00Z")
    sent = await emails.post(large)
    assert (sent.status_code, sent.json()["status"]) == (202, "scheduled")
    refused = await emails.post(large | {"to": ["x"], "scheduled_at": "2020-01-01T00:00:00Z"})
    assert [error["field"] for error in refused.json()["errors"]] == ["scheduled_at", "to[0]"]
    squeezed = await emails.post(gzip.compress(msgspec.json.encode(large)), **{"Content-Encoding": "gzip"})
    assert squeezed.status_code == 202
    assert len(emails.world.large.bodies) == 3


# Who may


async def test_other_keys_with_the_scope_may_send_too(emails: Emails) -> None:
    key = emails.journal.issue_key("emails:send")
    assert (await emails.post(email(), key=key)).status_code == 202
    # This scope is all that a time takes.
    assert (await emails.post(email(scheduled_at="2100-01-01T00:00:00Z"), key=key)).status_code == 202


@pytest.mark.parametrize("scope", ["emails:read", "mail.send", "mail.schedule"])
async def test_a_key_without_the_scope_may_not(emails: Emails, scope: str) -> None:
    refused = await emails.post(email(), key=emails.journal.issue_key(scope))
    assert (refused.status_code, refused.json()["detail"]) == (403, "Missing required scope: emails:send")


async def test_a_key_of_this_api_may_not_use_the_other(emails: Emails) -> None:
    every = emails.journal.issue_key("emails:send", "mail.send", "messages.read", kind="piisend")
    refused = await emails.world.send(mail(), every)
    assert (refused.status_code, refused.json()["detail"]) == (403, "This key is for /api/v1 only")
    assert (await emails.world.request("GET", "/v3/messages", every)).status_code == 403


async def test_a_sandbox_key_sends_nothing(emails: Emails) -> None:
    key = emails.journal.issue_key("emails:send", sandbox=True)
    response = await emails.post(email(from_="a@not-verified.example", scheduled_at="2100-01-01T00:00:00Z"), key=key)
    assert (response.status_code, response.json()["status"]) == (202, "sandbox")
    assert emails.request.messages[0].sandbox


async def test_the_sender_must_be_of_a_verified_domain(emails: Emails) -> None:
    refused = await emails.post(email(from_="a@strange.example"))
    assert (refused.status_code, refused.json()["detail"]) == (403, "Sender domain not verified: strange.example")
    assert refused.json()["errors"][0]["field"] == "from_"


async def test_limits_and_a_full_system_hold(emails: Emails) -> None:
    emails.world.full = "The queue is full"
    refused = await emails.post(email())
    assert refused.status_code == 503 and "Retry-After" in refused.headers
    emails.world.full = None
    emails.journal.suspended["tnt_acme"] = ""
    emails.world.directory.changed_here("tnt_acme")
    assert (await emails.post(email())).status_code == 403


# Idempotency


async def test_a_repeat_is_answered_200_with_the_first_answer(emails: Emails) -> None:
    body = email(scheduled_at="2100-01-01T00:00:00Z", nonsense=1)
    first = await emails.post(body, **KEY)
    emails.stored(emails.request)
    again = await emails.post(body, **KEY)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Postray-Ignored"] == first.headers["X-Postray-Ignored"] == "nonsense"
    assert len(emails.journal.requests) == 1


async def test_another_body_is_a_409(emails: Emails) -> None:
    await emails.post(email(), **KEY)
    other = await emails.post(email(subject="Another"), **KEY)
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_a_twin_waits_for_the_first(emails: Emails) -> None:
    emails.journal.gate = asyncio.Event()
    twins = [asyncio.create_task(emails.post(email(), **KEY)) for _ in range(3)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert not any(twin.done() for twin in twins)
    emails.journal.gate.set()
    answers = await asyncio.gather(*twins)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 202]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_large_repeat_too(emails: Emails) -> None:
    body = email(text="x" * 1_200_000)
    assert (await emails.post(body, **KEY)).status_code == 202
    assert emails.world.large.names == ["order 7"]
