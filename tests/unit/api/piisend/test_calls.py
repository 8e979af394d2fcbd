"""Emails in lists and alone, cancelled and sent again: what is asked of the journal, and how its answers are shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from analytics.queries import TimelineEvent
from api.http.examples import BATCH_ID, MESSAGE_ID
from api.piisend.attempts import attempts_of
from api.piisend.statuses import EmailStatus, filter_of, status_of
from cluster.ids import new_id
from cluster.journal.journal import Unavailable
from cluster.journal.records import (
    Attachment,
    Cancellation,
    MessagePage,
    MessageRow,
    decode_content,
    decode_personalization,
    encode,
)
from cluster.policy.lifecycle import Status
from cluster.templates.texts import TemplateTexts, TemplateUse
from tests.unit.api.piisend.conftest import PATH, Emails, attachment, email
from tests.unit.api.test_messages import AT, row

NOW = datetime(2026, 4, 23, 12, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def keep(emails: Emails, **changes: Any) -> MessageRow:
    message = row(**changes)
    emails.journal.rows[message.tenant_id, message.id] = message
    return message


# Statuses


def test_the_statuses() -> None:
    shown = {status: status_of(status, None, NOW).value for status in Status}
    assert shown == {
        "queued": "queued",
        "processing": "sent",
        "rendered": "sent",
        "sending": "delivering",
        "sent": "sent",
        "delivered": "delivered",
        "bounced": "bounced",
        "failed": "failed",
        "cancelled": "cancelled",
        "sandbox": "sandbox",
    }


@pytest.mark.parametrize("send_at", [None, NOW - timedelta(days=1), NOW, NOW + timedelta(microseconds=1)])
@pytest.mark.parametrize("status", list(Status))
def test_a_filter_finds_the_messages_that_are_shown_so(status: Status, send_at: datetime | None) -> None:
    shown = status_of(status, send_at, NOW)
    for asked in EmailStatus:
        filter = filter_of("tnt_acme", asked, NOW)
        is_found = (
            status in filter.statuses
            and (filter.sends_after is None or (send_at is not None and send_at > filter.sends_after))
            and (filter.sends_by is None or send_at is None or send_at <= filter.sends_by)
        )
        assert is_found == (asked is shown)


# The list


async def test_the_list(emails: Emails) -> None:
    messages = [
        row(status=Status.QUEUED, send_at=LATER, finished_at=None),
        row(status=Status.DELIVERED),
        row(status=Status.BOUNCED),
    ]
    emails.journal.page = MessagePage(messages=messages, total=3, total_is_exact=True)
    response = await emails.get(limit=3, offset=50)
    assert response.status_code == 200, response.text
    shown = response.json()
    assert (set(shown), shown["total"], shown["limit"], shown["offset"]) == (
        {"data", "total", "limit", "offset"},
        3,
        3,
        50,
    )
    assert [one["status"] for one in shown["data"]] == ["scheduled", "delivered", "bounced"]
    assert [one["sent_at"] for one in shown["data"]] == [None, "2026-04-23T10:00:02Z", None]
    assert shown["data"][0] == {
        "id": messages[0].id,
        "status": "scheduled",
        "from_": "hello@mail.example.com",
        "to": ["ada@example.com"],
        "subject": "Welcome, Ada",
        "template_id": None,
        "created_at": "2026-04-23T10:00:00Z",
        "scheduled_at": "2100-01-01T00:00:00Z",
        "sent_at": None,
        "delivered_at": None,
    }
    ((filter, limit, offset),) = emails.journal.asked
    assert (filter.tenant_id, filter.statuses, limit, offset) == ("tnt_acme", (), 3, 50)


async def test_a_total_that_is_a_bound_says_so(emails: Emails) -> None:
    emails.journal.page = MessagePage(messages=[], total=10_000, total_is_exact=False)
    shown = (await emails.get()).json()
    assert (shown["total"], shown["total_is_exact"], shown["limit"], shown["offset"]) == (10_000, False, 25, 0)


@pytest.mark.parametrize("status", ["sent", "SENT"])
async def test_a_status_may_stand_for_several(emails: Emails, status: str) -> None:
    assert (await emails.get(status=status)).status_code == 200
    ((filter, _, _),) = emails.journal.asked
    assert set(filter.statuses) == {Status.PROCESSING, Status.RENDERED, Status.SENT}


@pytest.mark.parametrize(
    "query", [{"status": "nope"}, {"limit": 0}, {"limit": 101}, {"limit": "x"}, {"offset": -1}, {"page": 1}]
)
async def test_a_query_that_is_refused(emails: Emails, query: dict[str, Any]) -> None:
    response = await emails.get(**query)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == list(query)
    assert not emails.journal.asked


async def test_a_sandbox_key_lists_sandbox_emails(emails: Emails) -> None:
    key = emails.journal.issue_key("emails:read", sandbox=True)
    for status in (None, "sandbox", "delivered"):
        assert (await emails.get(key=key, **({"status": status} if status else {}))).status_code == 200
    assert [filter.statuses for filter, _, _ in emails.journal.asked] == [(Status.SANDBOX,)] * 2


# One email


async def test_one_email(emails: Emails) -> None:
    sent = await emails.post(
        email(
            to=["Ada <ada@example.com>"],
            cc=["bob@example.com"],
            from_="Acme <billing@mail.example.com>",
            reply_to=["a@example.com", "b@example.com"],
            track_opens=True,
            attachments=[attachment(10)],
        )
    )
    finished = emails.request.created_at + timedelta(seconds=2)
    emails.stored(emails.request, Status.DELIVERED, finished_at=finished)
    shown = (await emails.get(f"/{sent.json()['id']}")).json()
    at = (emails.request.created_at.isoformat() + "Z").replace("+00:00Z", "Z")
    assert shown == {
        "id": sent.json()["id"],
        "status": "delivered",
        "from_": "billing@mail.example.com",
        "from_name": "Acme",
        "to": ["ada@example.com"],
        "cc": ["bob@example.com"],
        "bcc": [],
        "reply_to": ["a@example.com", "b@example.com"],
        "subject": "Your receipt",
        "html": "<p>Thanks</p>",
        "text": "Thanks",
        "template_id": None,
        "attachments": [{"filename": "a.pdf", "content_type": "application/pdf", "size": 10}],
        "track_opens": True,
        "track_clicks": False,
        "enable_unsubscribe": False,
        "created_at": at,
        "scheduled_at": None,
        "sent_at": finished.isoformat().replace("+00:00", "Z"),
        "delivered_at": finished.isoformat().replace("+00:00", "Z"),
        "next_attempt_at": None,
        "error": None,
        "resent_from": None,
        "attempts": [],
        "attempts_incomplete": False,
        "content_expired": False,
    }


async def test_a_message_of_the_other_api_is_shown_too(emails: Emails) -> None:
    message = keep(emails)
    shown = (await emails.get(f"/{message.id}")).json()
    assert (shown["html"], shown["text"], shown["bcc"]) == ("<p>Ada</p>", "Dear Ada", ["audit@example.com"])


async def test_an_email_is_shown_while_the_events_are_away(emails: Emails) -> None:
    message = keep(emails)
    emails.world.events = RuntimeError("away")
    shown = (await emails.get(f"/{message.id}")).json()
    assert (shown["status"], shown["attempts"], shown["attempts_incomplete"]) == ("delivered", None, True)


@pytest.mark.parametrize("id", ["msg_x", "x", MESSAGE_ID, BATCH_ID, "%00", "msg_" + "0" * 200])
async def test_what_is_not_there_is_a_404(emails: Emails, id: str) -> None:
    message = keep(emails, tenant_id="tnt_other")
    for one in (id, message.id):
        answers = [
            await emails.get(f"/{one}"),
            await emails.post(b"", f"{PATH}/{one}/cancel"),
            await emails.post(b"", f"{PATH}/{one}/resend"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert {answer.json()["detail"] for answer in answers} == {"The email does not exist"}
    assert not emails.journal.commanded and not emails.journal.requests


async def test_a_sandbox_key_sees_no_live_email(emails: Emails) -> None:
    message = keep(emails)
    key = emails.journal.issue_key("emails:read", "emails:send", sandbox=True)
    assert (await emails.get(f"/{message.id}", key)).status_code == 404
    for command in ("cancel", "resend"):
        assert (await emails.post(b"", f"{PATH}/{message.id}/{command}", key)).status_code == 404


# Attempts


def event(kind: str, to: str = "ada@example.com", at: str = "10:00:02.120", **metadata: Any) -> TimelineEvent:
    said = {"attempt": 1, "mx_host": "mx.example.com", "mx_ip": "192.0.2.1", "duration_ms": 120}
    return TimelineEvent(
        event_type=kind,
        recipient_email=to,
        timestamp=f"2026-04-23T{at}Z",
        smtp_response=metadata.pop("reply", None),
        bounce_reason=metadata.pop("why", None),
        metadata={key: value for key, value in {**said, **metadata}.items() if value is not None},
    )


def test_an_attempt_for_each_transaction() -> None:
    tls: dict[str, Any] = {"tls_version": "TLSv1.3", "tls_cipher": "TLS_AES_256_GCM_SHA384"}
    nothing: dict[str, Any] = {"mx_host": None, "mx_ip": None}
    first, second, third = attempts_of(
        [
            event("processed", attempt=None),
            event("deferred", reason="connect refused", next_attempt_at="2026-04-23T10:01:00.000Z", **nothing),
            event("delivered", at="10:01:00.500", attempt=2, reply="250 ok", source_ip="192.0.2.9", **tls),
            event("blocked", "bob@example.com", at="10:01:00.500", source_ip="192.0.2.9", reply="550 no", why="no"),
            event("open", at="10:02:00.000", attempt=None),
            event("bounce", at="10:03:00.000", reply="550 5.1.1 unknown", why="unknown user"),
        ]
    )
    assert (first.host, first.ip, first.tls, first.reply) == (None, None, None, None)
    assert first.recipients[0].reason == "connect refused"
    assert first.recipients[0].next_attempt_at == "2026-04-23T10:01:00.000Z"
    assert (second.host, second.ip, second.source_ip) == ("mx.example.com", "192.0.2.1", "192.0.2.9")
    assert second.tls is not None and second.tls.version == "TLSv1.3"
    assert second.ended_at == datetime(2026, 4, 23, 10, 1, 0, 500_000, tzinfo=UTC)
    assert (second.duration_ms, second.ended_at - second.started_at) == (120, timedelta(milliseconds=120))
    assert [(one.email, one.attempt, one.result, one.reply) for one in second.recipients] == [
        ("ada@example.com", 2, "delivered", "250 ok"),
        ("bob@example.com", 1, "bounced", "550 no"),
    ]
    assert second.reply == "250 ok"
    assert (third.recipients[0].result, third.recipients[0].reason) == ("bounced", "unknown user")


# Cancel


async def test_a_scheduled_email_is_cancelled(emails: Emails) -> None:
    message = keep(emails, status=Status.QUEUED, send_at=LATER)
    emails.journal.cancellation = Cancellation(cancelled=True, status=Status.CANCELLED)
    response = await emails.post(b"", f"{PATH}/{message.id}/cancel")
    assert (response.status_code, response.json()) == (200, {"id": message.id, "status": "cancelled"})
    assert emails.journal.commanded == [("tnt_acme", message.id)]


@pytest.mark.parametrize("status", list(Status))
async def test_no_other_email_is_cancelled(emails: Emails, status: Status) -> None:
    message = keep(emails, status=status, send_at=AT)
    response = await emails.post(b"", f"{PATH}/{message.id}/cancel")
    assert response.status_code == 409
    shown = status_of(status, AT, datetime.now(UTC))
    assert response.json()["detail"] == f"Only a scheduled email can be cancelled; this one is {shown}"
    assert not emails.journal.commanded


async def test_a_cancel_that_comes_too_late_by_a_moment(emails: Emails) -> None:
    message = keep(emails, status=Status.QUEUED, send_at=LATER)
    emails.journal.cancellation = Cancellation(cancelled=False, status=Status.SENDING)
    response = await emails.post(b"", f"{PATH}/{message.id}/cancel")
    assert response.status_code == 409
    assert response.json()["detail"].endswith("this one is delivering")


# Resend


async def test_an_email_is_sent_again(emails: Emails) -> None:
    first = await emails.post(email(track_opens=True, scheduled_at="2100-01-01T00:00:00Z"))
    before = emails.stored(emails.request, Status.BOUNCED)
    response = await emails.post(b"", f"{PATH}/{before.id}/resend")
    assert response.status_code == 202, response.text
    again = emails.journal.requests[1]
    (message,) = again.messages
    assert response.json() == {
        "id": message.id,
        "status": "queued",
        "scheduled_at": None,
        "resent_from": first.json()["id"],
    }
    assert message.id != before.id
    assert (message.send_at, again.batch_id) == (None, None)
    assert decode_content(again.content) == decode_content(before.content)
    was, own = decode_personalization(before.personalization), decode_personalization(message.personalization)
    assert own == structs.replace(was, resent_from=before.id)
    emails.stored(again)
    assert (await emails.get(f"/{message.id}")).json()["resent_from"] == before.id


async def test_it_is_a_message_of_its_own(emails: Emails) -> None:
    """Of what the first one had, its pool and its group stay, and its Message-ID and its batch go."""
    message = row(batch_id=new_id("bat_"), request_id="req_pool")
    content = structs.replace(
        decode_content(message.content), headers={"Message-Id": "<a@b.example>", "X-A": "1"}, asm={"group_id": 7}
    )
    keep(emails, id=message.id, batch_id=message.batch_id, request_id="req_pool", content=encode(content))
    emails.journal.pools["req_pool"] = "bulk"
    emails.journal.groups.add(("tnt_acme", 7))
    assert (await emails.post(b"", f"{PATH}/{message.id}/resend")).status_code == 202
    again = emails.request
    assert (again.pool, again.group_id, again.batch_id) == ("bulk", 7, None)
    assert again.messages[0].subject == "Welcome, Ada"
    assert decode_content(again.content).headers == {"X-A": "1"}
    assert [recipient.email for recipient in again.messages[0].recipients] == ["ada@example.com", "audit@example.com"]


@pytest.mark.parametrize("gone", ["pool", "group", "attachment", "template"])
async def test_what_is_gone_is_a_409(emails: Emails, gone: str) -> None:
    message = row()
    content = decode_content(message.content)
    if gone == "pool":
        emails.journal.pools["req_1"] = "gone"
    elif gone == "group":
        content = structs.replace(content, asm={"group_id": 7})
    elif gone == "template":
        content = structs.replace(content, template=TemplateUse("v_1", b"1" * 32))
    else:
        content = structs.replace(content, attachments=(Attachment(filename="a", sha256=b"1" * 32, size=1),))
    keep(emails, id=message.id, content=encode(content))
    response = await emails.post(b"", f"{PATH}/{message.id}/resend")
    assert (response.status_code, gone in response.json()["detail"]) == (409, True)
    emails.journal.kept.add(b"1" * 32)
    emails.journal.template_texts["tnt_acme", b"1" * 32] = TemplateTexts()
    again = await emails.post(b"", f"{PATH}/{message.id}/resend")
    assert again.status_code == (202 if gone in ("attachment", "template") else 409)


async def test_an_email_whose_content_has_gone_is_not_sent_again(emails: Emails) -> None:
    message = keep(emails, content_expired=True)
    assert (await emails.get(f"/{message.id}")).json()["content_expired"] is True
    response = await emails.post(b"", f"{PATH}/{message.id}/resend")
    assert (response.status_code, response.json()["detail"]) == (
        409,
        "The content of the message is not kept any more",
    )
    assert not emails.journal.requests


async def test_a_sandbox_email_stays_one(emails: Emails) -> None:
    message = keep(emails, status=Status.SANDBOX)
    emails.journal.verified.clear()
    response = await emails.post(b"", f"{PATH}/{message.id}/resend")
    assert (response.status_code, response.json()["status"]) == (202, "sandbox")
    assert emails.request.messages[0].sandbox


async def test_a_sender_that_is_not_verified_any_more_sends_nothing_again(emails: Emails) -> None:
    message = keep(emails)
    emails.journal.verified.clear()
    response = await emails.post(b"", f"{PATH}/{message.id}/resend")
    assert (response.status_code, response.json()["detail"]) == (403, "Sender domain not verified: mail.example.com")
    assert not emails.journal.requests


async def test_a_resend_is_done_once(emails: Emails) -> None:
    message, other = keep(emails), keep(emails)
    key = {"Idempotency-Key": "again 1"}
    first = await emails.post(b"", f"{PATH}/{message.id}/resend", **key)
    again = await emails.post(b"", f"{PATH}/{message.id}/resend", **key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
    assert (await emails.post(b"", f"{PATH}/{other.id}/resend", **key)).status_code == 409
    assert len(emails.journal.requests) == 1


async def test_a_resend_waits_for_a_full_system_and_for_postgres(emails: Emails) -> None:
    message = keep(emails)
    emails.world.full = "The queue is full"
    assert (await emails.post(b"", f"{PATH}/{message.id}/resend")).status_code == 503
    emails.world.full = None
    emails.journal.failures = [Unavailable("away")]
    assert (await emails.post(b"", f"{PATH}/{message.id}/resend")).status_code == 503
    assert not emails.journal.requests
