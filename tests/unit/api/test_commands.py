"""Retry, fail, cancelling and scheduling batches, lifetimes: what is asked of the journal, and how it is answered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from api.messages.commands import LONGEST_REASON
from cluster.ids import new_id
from cluster.journal.journal import Unavailable
from cluster.journal.records import (
    Address,
    BatchCounts,
    CommandResult,
    Content,
    PreparedPersonalization,
    Recipient,
    encode,
)
from cluster.policy.lifecycle import Status
from tests.unit.api.bodies import mail, to
from tests.unit.api.conftest import World
from tests.unit.api.test_messages import keep, row

SCHEDULED = "/v3/user/scheduled_sends"


async def post(world: World, path: str, body: Any = None, method: str = "POST", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    return await world.client.request(
        method, path, content=content, headers={"Authorization": f"Bearer {world.key}", **headers}
    )


# One message


async def test_retry_names_the_recipients_as_they_were_numbered(world: World) -> None:
    personalization = PreparedPersonalization(
        to=(Address("ada@example.com"), Address("bob@bücher.example")),
        cc=(Address("c@example.com"),),
        bcc=(Address("d@example.com"),),
    )
    message = keep(world, row(status=Status.BOUNCED, personalization=encode(personalization)))
    world.journal.change = CommandResult(done=True, status=Status.QUEUED)
    response = await post(world, f"/v3/messages/{message.id}/retry")
    assert response.status_code == 200
    assert response.json() == {"message_id": message.id, "status": "queued", "message": "Re-queued for delivery"}
    ((tenant_id, id, recipients, lifetime_s),) = world.journal.commanded
    assert (tenant_id, id, lifetime_s) == ("tnt_acme", message.id, 86_400)
    assert recipients == (
        Recipient("ada@example.com", "example.com"),
        Recipient("bob@bücher.example", "xn--bcher-kva.example"),
        Recipient("c@example.com", "example.com"),
        Recipient("d@example.com", "example.com"),
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (CommandResult(done=False, status=Status.SENDING, under_way=True), "An SMTP transaction may be under way"),
        (CommandResult(done=False, status=Status.FAILED, batch_cancelled=True), "The message's batch was cancelled"),
        (
            CommandResult(done=False, status=Status.BOUNCED, content_expired=True),
            "The message's content is not kept any more (retention.bodies_days)",
        ),
        (
            CommandResult(done=False, status=Status.DELIVERED),
            "Only messages that are stuck, failed or bounced are retried",
        ),
    ],
)
async def test_a_retry_that_cannot_be(world: World, change: CommandResult, said: str) -> None:
    message = keep(world, row())
    world.journal.change = change
    response = await post(world, f"/v3/messages/{message.id}/retry")
    assert response.status_code == 409
    assert response.json() == {
        "message_id": message.id,
        "status": change.status.value,
        "message": f"{said}; retry ignored",
    }


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"headers": {"X-A": "x" * 998}}, "header X-A has a word that does not fit on a line of 998 characters"),
        ({"headers": {"Resent-Bcc": "x"}}, "header Resent-Bcc cannot be set"),
        ({"from_": Address("none")}, "'none' is not an e-mail address"),
        ({"to": (Address("a b@example.com"),)}, "'a b@example.com' is not an e-mail address"),
        ({"subject": "x" * 999}, "the subject has 999 bytes, more than 998"),
    ],
)
async def test_what_cannot_be_composed_is_not_retried(world: World, own: dict[str, Any], reason: str) -> None:
    personalization = PreparedPersonalization(**{"to": (Address("ada@example.com"),), **own})
    error = f"cannot be composed: {reason}"
    message = keep(world, row(status=Status.FAILED, personalization=encode(personalization), error_message=error))
    response = await post(world, f"/v3/messages/{message.id}/retry")
    assert (response.status_code, response.json()["message"]) == (409, f"The message {error}; retry ignored")
    assert world.journal.commanded == []


async def test_a_retry_that_is_suppressed_says_by_what(world: World) -> None:
    content = Content(from_=Address("hello@mail.example.com"), asm={"group_id": 12}, bypass=4)
    message = keep(world, row(content=encode(content)))
    world.journal.change = CommandResult(done=True, status=Status.BOUNCED, suppressed_by=("unsubscribes", "group 12"))
    response = await post(world, f"/v3/messages/{message.id}/retry")
    assert (response.status_code, response.json()) == (
        200,
        {
            "message_id": message.id,
            "status": "bounced",
            "message": "Not sent again: suppressed by unsubscribes, group 12",
        },
    )
    assert world.journal.commanded[-1][-2:] == (12, 4)


async def test_what_this_version_can_compose_is_retried(world: World) -> None:
    """An older one refused line ends that substitutions brought."""
    personalization = PreparedPersonalization(
        to=(Address("ada@example.com"),), subject="-s-", substitutions={"-s-": "a\nb"}
    )
    error = "cannot be composed: the subject contains a line break or a NUL"
    message = keep(world, row(status=Status.FAILED, personalization=encode(personalization), error_message=error))
    world.journal.change = CommandResult(done=True, status=Status.QUEUED)
    assert (await post(world, f"/v3/messages/{message.id}/retry")).status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "Failed by request"),
        (b"", "Failed by request"),
        ({}, "Failed by request"),
        ({"reason": None}, "Failed by request"),
        ({"reason": "Stuck for 2 hours"}, "Stuck for 2 hours"),
    ],
)
async def test_fail_with_and_without_a_reason(world: World, body: Any, reason: str) -> None:
    id = new_id("msg_")
    world.journal.change = CommandResult(done=True, status=Status.FAILED)
    # As curl sends it with -X POST and an empty -d: there is a content type, but no body.
    headers = {} if body is not None and body != b"" else {"Content-Type": "application/x-www-form-urlencoded"}
    response = await post(world, f"/v3/messages/{id}/fail", body, **headers)
    assert response.status_code == 200, response.text
    assert response.json() == {"message_id": id, "status": "failed", "message": "Marked as failed"}
    assert world.journal.commanded == [("tnt_acme", id, reason)]


async def test_a_fail_that_cannot_be(world: World) -> None:
    id = new_id("msg_")
    world.journal.change = CommandResult(done=False, status=Status.DELIVERED)
    response = await post(world, f"/v3/messages/{id}/fail")
    assert response.status_code == 409
    assert response.json() == {"message_id": id, "status": "delivered", "message": "Already finished; fail ignored"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reason": "x" * (LONGEST_REASON + 1)}, 400),
        ({"reason": "a\0b"}, 400),
        ({"reason": 5}, 422),
        (b"{", 422),
    ],
)
async def test_bodies_of_fail(world: World, body: Any, status: int) -> None:
    response = await post(world, f"/v3/messages/{new_id('msg_')}/fail", body)
    assert response.status_code == status
    assert world.journal.commanded == []


@pytest.mark.parametrize("action", ["retry", "fail"])
async def test_actions_on_what_is_not_there(world: World, action: str) -> None:
    for id in (new_id("msg_"), "nonsense"):
        assert (await post(world, f"/v3/messages/{id}/{action}")).status_code == 404
    scope, other = ("mail.send", "mail.cancel") if action == "retry" else ("mail.cancel", "mail.send")
    response = await world.request("POST", f"/v3/messages/{new_id('msg_')}/{action}", world.journal.issue_key(other))
    assert (response.status_code, response.json()["detail"]) == (403, f"Missing required scope: {scope}")


# Batches


async def test_cancelling_a_batch(world: World) -> None:
    batch_id = (await post(world, "/v3/mail/batch")).json()["batch_id"]
    at = datetime.now(UTC)
    world.journal.counts["tnt_acme", batch_id] = BatchCounts(
        id=batch_id, created_at=at, total=7, by_status={Status.CANCELLED: 5, Status.SENDING: 2}, completed_at=None
    )
    world.journal.cancelled_of_batch = 5
    response = await post(world, f"/v3/mail/batch/{batch_id}/cancel")
    assert response.status_code == 200
    answer = response.json()
    assert (answer["batch_id"], answer["cancelled"]) == (batch_id, 5)
    assert (answer["status_counts"]["cancelled"], answer["status_counts"]["processing"]) == (5, 2)
    assert world.journal.cancelled_batches == [("tnt_acme", batch_id)]
    world.journal.cancelled_of_batch = None
    assert (await post(world, f"/v3/mail/batch/{batch_id}/cancel")).status_code == 404
    assert (await post(world, "/v3/mail/batch/nonsense/cancel")).status_code == 404
    key = world.journal.issue_key("mail.send", "mail.schedule")
    assert (await world.request("POST", f"/v3/mail/batch/{batch_id}/cancel", key)).status_code == 403


async def test_a_pause_from_its_making_to_its_end(world: World) -> None:
    batch_id = (await post(world, "/v3/mail/batch")).json()["batch_id"]
    entry = {"batch_id": batch_id, "status": "pause"}
    created = await post(world, SCHEDULED, entry)
    assert (created.status_code, created.json()) == (201, entry)
    assert (await world.request("GET", SCHEDULED)).json() == [entry]
    assert (await world.request("GET", f"{SCHEDULED}/{batch_id}")).json() == [entry]
    changed = await post(world, f"{SCHEDULED}/{batch_id}", {"status": "cancel"}, "PATCH")
    assert (changed.status_code, changed.content) == (204, b"")
    forgotten = await world.request("DELETE", f"{SCHEDULED}/{batch_id}")
    assert (forgotten.status_code, forgotten.content) == (204, b"")
    assert [command[2] for command in world.journal.commanded] == ["cancel", "resume"]
    again = await post(world, SCHEDULED, {"batch_id": batch_id, "status": "cancel"})
    assert (again.status_code, again.json()["errors"][0]["field"]) == (400, "batch_id")


async def test_a_batch_that_is_not_scheduled_and_one_that_is_not_there(world: World) -> None:
    batch_id = (await post(world, "/v3/mail/batch")).json()["batch_id"]
    assert (await world.request("GET", f"{SCHEDULED}/{batch_id}")).json() == []
    assert (await world.request("DELETE", f"{SCHEDULED}/{batch_id}")).status_code == 404
    for id in (batch_id, new_id("bat_"), "nonsense"):
        assert (await post(world, f"{SCHEDULED}/{id}", {"status": "pause"}, "PATCH")).status_code == 404
    for id in (new_id("bat_"), "nonsense"):
        assert (await post(world, SCHEDULED, {"batch_id": id, "status": "pause"})).status_code == 404
        assert (await world.request("GET", f"{SCHEDULED}/{id}")).status_code == 404
        assert (await world.request("DELETE", f"{SCHEDULED}/{id}")).status_code == 404
    assert world.journal.scheduled == {}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["status", "batch_id"]),
        ({"batch_id": "bat_x", "status": "resume"}, ["status"]),
        ({"batch_id": "bat_x", "status": "PAUSE"}, ["status"]),
    ],
)
async def test_faults_of_scheduling(world: World, body: Any, fields: list[str]) -> None:
    response = await post(world, SCHEDULED, body)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == fields
    changed = await post(world, f"{SCHEDULED}/{new_id('bat_')}", body, "PATCH")
    assert changed.json()["errors"][0]["field"] == "status"
    assert (await post(world, SCHEDULED, b"")).status_code == 422


async def test_scheduling_needs_its_scope_and_a_journal(world: World) -> None:
    key = world.journal.issue_key("mail.send", "mail.cancel")
    for method, path in (("GET", SCHEDULED), ("DELETE", f"{SCHEDULED}/{new_id('bat_')}")):
        response = await world.request(method, path, key)
        assert response.json()["detail"] == "Missing required scope: mail.schedule"
    batch_id = (await post(world, "/v3/mail/batch")).json()["batch_id"]
    world.journal.broken = Unavailable("gone")
    response = await post(world, SCHEDULED, {"batch_id": batch_id, "status": "pause"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


# Lifetimes


async def test_a_lifetime_counts_from_the_send_time(world: World) -> None:
    send_at = int(datetime.now(UTC).timestamp()) + 3600
    body = mail(personalizations=[to("a@example.com"), to("b@example.com", send_at=send_at)], lifetime=600)
    assert (await world.send(body)).status_code == 202
    (request,) = world.journal.requests
    now, later = request.messages
    assert now.expires_at - request.created_at == timedelta(minutes=10)
    assert later.expires_at == datetime.fromtimestamp(send_at + 600, UTC)
    assert (await world.send(mail())).status_code == 202
    (message,) = world.journal.requests[1].messages
    assert message.expires_at - world.journal.requests[1].created_at == timedelta(days=1)


@pytest.mark.parametrize("lifetime", [0, -1, 604_801, 10**18])
async def test_lifetimes_that_cannot_be(world: World, lifetime: int) -> None:
    assert await world.fields(mail(lifetime=lifetime)) == ["lifetime"]


async def test_the_longest_lifetime_and_a_wrong_type(world: World) -> None:
    assert (await world.send(mail(lifetime=604_800))).status_code == 202
    for wrong in ("600", 1.5):
        assert (await world.send(mail(lifetime=wrong))).status_code == 422
