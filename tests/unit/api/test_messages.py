"""/v3/messages, batches and health: what is asked of the journal, and how its answers are shown."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from analytics.queries import TimelineEvent
from cluster.ids import new_id
from cluster.journal.expired import stand_in
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.records import (
    Address,
    BatchCounts,
    BodyPart,
    Cancellation,
    Content,
    MessagePage,
    MessageRow,
    PreparedPersonalization,
    encode,
)
from cluster.policy.lifecycle import Status
from cluster.tracking.choices import Tracking
from tests.unit.api.conftest import World

AT = datetime(2026, 4, 23, 10, 0, tzinfo=UTC)


def row(**changes: Any) -> MessageRow:
    content = Content(
        from_=Address("hello@mail.example.com", "Acme"),
        reply_to=(Address("support@example.com"),),
        subject="Welcome, -name-",
        parts=(BodyPart("text/plain", "Dear -name-"), BodyPart("text/html", "<p>-name-</p>")),
        headers={"X-A": "shared", "X-B": "shared"},
        categories=("onboarding",),
        custom_args={"campaign": "april", "user_id": 0},
        tracking=Tracking(base_url="https://links.example.com", tenant_number=1, opens=True),
    )
    personalization = PreparedPersonalization(
        to=(Address("ada@example.com", "Ada"),),
        bcc=(Address("audit@example.com"),),
        headers={"x-b": "own", "Date": "never"},
        substitutions={"-name-": "Ada"},
        custom_args={"user_id": 7},
    )
    fields: dict[str, Any] = {
        "id": new_id("msg_"),
        "tenant_id": "tnt_acme",
        "request_id": "req_1",
        "batch_id": None,
        "created_at": AT,
        "send_at": None,
        "subject": "Welcome, Ada",
        "content": encode(content),
        "personalization": encode(personalization),
        "status": Status.DELIVERED,
        "retry_count": 1,
        "next_retry_at": None,
        "finished_at": AT + timedelta(seconds=2),
        "error_message": None,
    }
    return MessageRow(**fields | changes)


def keep(world: World, message: MessageRow) -> MessageRow:
    world.journal.rows[message.tenant_id, message.id] = message
    return message


async def test_one_message(world: World) -> None:
    message = keep(world, row())
    world.events = [
        TimelineEvent(event_type="processed", recipient_email="ada@example.com", timestamp="2026-04-23T10:00:00.000Z"),
    ]
    response = await world.request("GET", f"/v3/messages/{message.id}")
    assert response.status_code == 200
    assert response.json() == {
        "id": message.id,
        "status": "delivered",
        "from_email": "hello@mail.example.com",
        "from_name": "Acme",
        "subject": "Welcome, Ada",
        "to_emails": ["ada@example.com"],
        "cc_emails": [],
        "bcc_emails": ["audit@example.com"],
        "reply_to": "support@example.com",
        "categories": ["onboarding"],
        "template_id": None,
        "batch_id": None,
        "custom_args": {"campaign": "april", "user_id": 7},
        "custom_headers": {"X-A": "shared", "x-b": "own"},
        "tracking_settings": {"open_tracking": True, "click_tracking": False, "subscription_tracking": False},
        "retry_count": 1,
        "next_retry_at": None,
        "html_content": "<p>Ada</p>",
        "plain_content": "Dear Ada",
        "content_expired": False,
        "content_withheld": False,
        "created_at": "2026-04-23T10:00:00Z",
        "queued_at": "2026-04-23T10:00:00Z",
        "send_at": None,
        "sent_at": "2026-04-23T10:00:02Z",
        "delivered_at": "2026-04-23T10:00:02Z",
        "error_message": None,
        "events_incomplete": False,
        "events": [
            {"event_type": "processed", "recipient_email": "ada@example.com", "timestamp": "2026-04-23T10:00:00.000Z"}
        ],
    }


@pytest.mark.parametrize("template_id", [None, "d-1"])
async def test_a_message_whose_bodies_have_gone(world: World, template_id: str | None) -> None:
    content, personalization = stand_in(
        from_email="hello@mail.example.com",
        to_emails=["ada@example.com", "audit@example.com"],
        subject="Welcome, Ada",
        categories=["onboarding"],
        template_id=template_id,
    )
    message = keep(world, row(content=content, personalization=personalization, content_expired=True))
    answer = (await world.request("GET", f"/v3/messages/{message.id}")).json()
    assert answer["content_expired"] is True
    known = ("from_email", "subject", "to_emails", "categories", "template_id", "status")
    assert [answer[name] for name in known] == [
        *("hello@mail.example.com", "Welcome, Ada", ["ada@example.com", "audit@example.com"], ["onboarding"]),
        *(template_id, "delivered"),
    ]
    assert (answer["html_content"], answer["plain_content"], answer["custom_args"]) == (None, None, {})
    assert "not_filled_in" not in answer


async def test_times_are_utc_whatever_zone_the_database_speaks(world: World) -> None:
    zone = timezone(timedelta(hours=2))
    message = keep(world, row(created_at=AT.astimezone(zone), next_retry_at=AT.astimezone(zone), status=Status.QUEUED))
    answer = (await world.request("GET", f"/v3/messages/{message.id}")).json()
    assert (answer["created_at"], answer["next_retry_at"]) == ("2026-04-23T10:00:00Z", "2026-04-23T10:00:00Z")
    assert (answer["sent_at"], answer["delivered_at"]) == (None, None)


async def test_the_state_is_readable_while_the_timeline_is_not(world: World) -> None:
    message = keep(world, row())
    world.events = ConnectionError("recorder gone")
    response = await world.request("GET", f"/v3/messages/{message.id}")
    assert (response.status_code, response.json()["status"], response.json()["events"]) == (200, "delivered", None)
    assert response.json()["events_incomplete"] is True


async def test_a_timeline_says_that_events_may_be_lost(world: World) -> None:
    message = keep(world, row())
    for incomplete in (False, True):
        world.events_incomplete = incomplete
        response = await world.request("GET", f"/v3/messages/{message.id}")
        assert (response.json()["events"], response.json()["events_incomplete"]) == ([], incomplete)


async def test_state_and_timeline_are_asked_for_at_the_same_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    message, both = keep(world, row()), asyncio.Barrier(2)
    answers: Callable[[str, str], Awaitable[MessageRow | None]] = world.journal.messages.find

    async def when_both_are_asked(tenant_id: str, message_id: str) -> MessageRow | None:
        await both.wait()
        return await answers(tenant_id, message_id)

    monkeypatch.setattr(world.journal.messages, "find", when_both_are_asked)
    world.before_timeline = both.wait
    async with asyncio.timeout(30):
        assert (await world.request("GET", f"/v3/messages/{message.id}")).status_code == 200


async def test_another_tenants_message_is_not_there(world: World) -> None:
    message = keep(world, row(tenant_id="tnt_other"))
    for path in (f"/v3/messages/{message.id}", "/v3/messages/nonsense"):
        response = await world.request("GET", path)
        assert (response.status_code, response.json()["detail"]) == (404, "The message does not exist")
    response = await world.request("POST", f"/v3/messages/{message.id}/cancel")
    assert response.status_code == 404
    assert world.journal.commanded == []


async def test_the_list(world: World) -> None:
    world.journal.page = MessagePage(messages=[row(), row()], total=51, total_is_exact=True)
    answer = (await world.request("GET", "/v3/messages")).json()
    assert {key: answer[key] for key in answer if key != "messages"} == {
        "total": 51,
        "total_is_exact": True,
        "page": 1,
        "page_size": 25,
        "total_pages": 3,
    }
    assert list(answer["messages"][0]) == [
        "id",
        "status",
        "from_email",
        "from_name",
        "subject",
        "to_emails",
        "template_id",
        "batch_id",
        "categories",
        "created_at",
        "delivered_at",
    ]
    ((filter, limit, offset),) = world.journal.asked
    assert (filter.tenant_id, filter.statuses, limit, offset) == ("tnt_acme", (), 25, 0)


async def test_filters(world: World) -> None:
    after = new_id("msg_")
    texts = {
        "to_email": "ada@example.com",
        "from_email": "x@y.zz",
        "subject": "Wel",
        "batch_id": "bat_x",
        "template_id": "d-x",
        "category": "a",
    }
    response = await world.request(
        "GET",
        "/v3/messages",
        status="BOUNCED",
        start_date="2026-04-01",
        end_date="2026-04-30",
        page_size=7,
        page=3,
        **texts,
    )
    assert response.status_code == 200
    filter, limit, offset = world.journal.asked[-1]
    assert {name: getattr(filter, name) for name in texts} == texts
    assert filter.statuses == (Status.BOUNCED,)
    assert (filter.start, filter.end) == (datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    assert (limit, offset) == (7, 14)
    await world.request("GET", "/v3/messages", after=after, page=3, end_date="2026-04-30T12:00:00+02:00")
    filter, limit, offset = world.journal.asked[-1]
    assert (filter.after, limit, offset) == (after, 25, 0)
    assert filter.end == datetime(2026, 4, 30, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ({"page": "0", "page_size": "101"}, ["page", "page_size"]),
        ({"page": "x"}, ["page"]),
        ({"page": "100001"}, ["page"]),
        ({"subject": "a\0b", "to_email": "\0", "category": "c"}, ["subject", "to_email"]),
        ({"status": "nope", "start_date": "x", "end_date": "2026-13-01", "after": "x"}, None),
        ({"start_date": "2026-1-1"}, None),
        ({"end_date": "2026-W14-3"}, None),
    ],
)
async def test_faults_of_a_query(world: World, params: dict[str, str], fields: list[str] | None) -> None:
    response = await world.request("GET", "/v3/messages", **params)
    assert response.status_code == 400
    assert sorted(error["field"] for error in response.json()["errors"]) == sorted(fields or params)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"page": "x"}, "Must be an integer, not a string"),
        ({"page": "0"}, "Must be an integer, at least 1"),
        ({"page_size": "101"}, "Must be an integer, at most 100"),
    ],
)
async def test_a_query_of_the_wrong_form_is_told_in_words(world: World, params: dict[str, str], said: str) -> None:
    (error,) = (await world.request("GET", "/v3/messages", **params)).json()["errors"]
    assert error["message"] == said


@pytest.mark.parametrize(("error", "status"), [(Unavailable("gone"), 503), (Rejected("NUL"), 400)])
async def test_a_journal_that_cannot_answer(world: World, error: Exception, status: int) -> None:
    world.journal.broken = error
    for path in ("/v3/messages", f"/v3/messages/{new_id('msg_')}", "/v3/whitelabel/domains"):
        response = await world.request("GET", path)
        assert response.status_code == status
        assert "stored" not in response.text or "looks for" in response.text


async def test_cancel(world: World) -> None:
    message = keep(world, row(status=Status.QUEUED, batch_id="bat_1"))
    world.journal.cancellation = Cancellation(cancelled=True, status=Status.CANCELLED)
    response = await world.request("POST", f"/v3/messages/{message.id}/cancel")
    assert response.status_code == 200
    assert response.json() == {
        "message_id": message.id,
        "status": "cancelled",
        "message": "Cancelled before delivery",
    }
    assert world.journal.commanded == [("tnt_acme", message.id)]


async def test_a_cancel_that_comes_too_late(world: World) -> None:
    message = keep(world, row())
    world.journal.cancellation = Cancellation(cancelled=False, status=Status.SENDING)
    response = await world.request("POST", f"/v3/messages/{message.id}/cancel")
    assert response.status_code == 409
    assert response.json() == {
        "message_id": message.id,
        "status": "sending",
        "message": "Already in flight; cancellation ignored",
    }
    world.journal.cancellation = None
    assert (await world.request("POST", f"/v3/messages/{message.id}/cancel")).status_code == 404


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.CANCELLED, "Already cancelled"),
        (Status.SANDBOX, "Accepted by a sandbox, never to be sent; cancellation ignored"),
        (Status.SENT, "Already in flight; cancellation ignored"),
        (Status.DELIVERED, "Already in flight; cancellation ignored"),
        (Status.BOUNCED, "Already in flight; cancellation ignored"),
        (Status.FAILED, "Already in flight; cancellation ignored"),
        (Status.SENDING, "Already in flight; cancellation ignored"),
        (Status.QUEUED, "Already in flight; cancellation ignored"),  # another of its recipients is
    ],
)
async def test_why_a_cancel_changes_nothing(world: World, status: Status, said: str) -> None:
    message = keep(world, row(status=status))
    world.journal.cancellation = Cancellation(cancelled=False, status=status)
    response = await world.request("POST", f"/v3/messages/{message.id}/cancel")
    assert (response.status_code, response.json()["message"]) == (409, said)


async def test_batches(world: World) -> None:
    response = await world.request("POST", "/v3/mail/batch")
    assert response.status_code == 201
    assert list(response.json()) == ["batch_id"]
    batch_id = new_id("bat_")
    by_status = {status: number for number, status in enumerate(Status, start=1)}
    counts = BatchCounts(id=batch_id, created_at=AT, total=55, by_status=by_status, completed_at=None)
    world.journal.counts["tnt_acme", batch_id] = counts
    answer = (await world.request("GET", f"/v3/mail/batch/{batch_id}")).json()
    assert answer == {
        "batch_id": batch_id,
        "total_messages": 55,
        "status_counts": {
            "queued": 1,
            "processing": 2 + 3 + 4,
            "sent": 5,
            "delivered": 6,
            "bounced": 7,
            "failed": 8,
            "cancelled": 9,
            "sandbox": 10,
        },
        "created_at": "2026-04-23T10:00:00Z",
        "completed_at": None,
        "is_complete": False,
        "estimate": None,
        "no_estimate": "nothing is known of deliveries here",
    }
    assert sum(answer["status_counts"].values()) == answer["total_messages"]
    other = world.journal.issue_key("mail.schedule", tenant_id="tnt_other")
    assert (await world.request("GET", f"/v3/mail/batch/{batch_id}", other)).status_code == 404


async def test_a_complete_batch(world: World) -> None:
    batch_id = new_id("bat_")
    world.journal.counts["tnt_acme", batch_id] = BatchCounts(
        id=batch_id, created_at=AT, total=1, by_status={Status.DELIVERED: 1}, completed_at=AT
    )
    answer = (await world.request("GET", f"/v3/mail/batch/{batch_id}")).json()
    assert (answer["is_complete"], answer["completed_at"]) == (True, "2026-04-23T10:00:00Z")


async def test_health_needs_no_key_and_names_the_part_that_is_wrong(world: World) -> None:
    response = await world.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    response = await world.client.get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ready", "parts": {"journal": "ok", "cluster": "ok"}},
    )
    world.parts["journal"] = "connection refused"
    response = await world.client.get("/readyz")
    assert (response.status_code, response.json()["parts"]["journal"]) == (503, "connection refused")


async def test_a_part_that_works_all_the_same_keeps_nobody_away(world: World) -> None:
    world.parts = {"journal": None, "recorder": "degraded: damaged parts"}
    response = await world.client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert response.json()["parts"] == {"journal": "ok", "recorder": "degraded: damaged parts"}
