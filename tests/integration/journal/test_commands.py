"""Retry, fail, and cancelling a batch, against a real Postgres and against what else happens at the same moment."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from psycopg import AsyncConnection

from cluster.journal import batches
from cluster.journal.ending import CANCELLED, Ended
from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueFilter, QueueMark
from cluster.journal.records import Claimed, CommandResult, DueDelivery, NewMessage, Recipient
from cluster.journal.scheduling import PagedIn
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import (
    a_message,
    a_request,
    a_tenant,
    an_outcome,
    dropped,
    each,
    leased,
    status,
    waiting,
)

LIFETIME_S = 3600.0
REQUEUED = CommandResult(done=True, status=Status.QUEUED)


async def claim(journal: Journal, *deliveries: DueDelivery, lease_s: float = 600) -> list[Claimed]:
    return await journal.queue.claim(deliveries, owner=1, lease_s=lease_s)


async def end(journal: Journal, w: DueDelivery, status: Status, *, sole_recipient: bool = True) -> None:
    await journal.queue.commit([an_outcome(w, status, sole_recipient=sole_recipient)], owner=1)


async def retry(journal: Journal, tenant: str, message: NewMessage) -> CommandResult | None:
    return await journal.commands.retry(tenant, message.id, message.recipients, LIFETIME_S)


async def fail(journal: Journal, tenant: str, message: NewMessage) -> CommandResult | None:
    return await journal.commands.fail(tenant, message.id, "stuck")


async def counts(journal: Journal, tenant: str, batch: str) -> dict[str, int]:
    found = await journal.batches.counts(tenant, batch)
    assert found is not None
    assert sum(found.by_status.values()) == found.total
    return {status.value: count for status, count in found.by_status.items() if count}


@pytest.mark.parametrize("ended", [Status.BOUNCED, Status.FAILED])
async def test_a_finished_message_is_delivered_anew(journal: Journal, ended: Status) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    (w,) = waiting(tenant, message)
    await claim(journal, w)
    await end(journal, w, ended)
    before = await journal.batches.counts(tenant, batch)
    assert before is not None and before.completed_at is not None
    assert await retry(journal, tenant, message) == REQUEUED
    after = await journal.batches.counts(tenant, batch)
    assert after is not None and after.completed_at is None
    assert await counts(journal, tenant, batch) == {"queued": 1}
    row = await journal.messages.find(tenant, message.id)
    assert row is not None
    assert (row.status, row.retry_count, row.error_message, row.finished_at) == (Status.QUEUED, 0, None, None)
    assert await leased(journal, 1) == [w]
    (claimed,) = await claim(journal, w)
    assert (claimed.recipient, claimed.attempts, claimed.sole_recipient) == ("ada@example.com", 1, True)
    assert timedelta(seconds=LIFETIME_S - 60) < claimed.expires_at - datetime.now(UTC) <= timedelta(seconds=LIFETIME_S)
    await end(journal, w, Status.DELIVERED)
    assert await counts(journal, tenant, batch) == {"delivered": 1}


async def test_a_stuck_message_is_queued_at_once(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    (w,) = await leased(journal, 1)
    assert await leased(journal, 2) == []
    assert await retry(journal, tenant, message) == REQUEUED
    assert await leased(journal, 2) == [w]


async def test_nothing_is_retried_while_it_may_be_on_the_wire(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message("a@one.example", "b@two.example")
    await journal.intake.accept([a_request(tenant, message)])
    one, two = await leased(journal, 1)
    await claim(journal, two)
    refused = CommandResult(done=False, status=Status.PROCESSING, under_way=True)
    assert await retry(journal, tenant, message) == refused
    await journal.queue.unclaim([(message.id, 1)], owner=1)
    await claim(journal, one, two, lease_s=0)
    assert await status(journal, tenant, message) is Status.SENDING
    assert await retry(journal, tenant, message) == REQUEUED  # the leases are over
    await end(
        journal, one, Status.DELIVERED, sole_recipient=False
    )  # yet the outcome that its owner learned still counts
    assert await leased(journal, 2) == [two]


@pytest.mark.parametrize("ended", [Status.DELIVERED, Status.SENT, Status.CANCELLED, Status.SANDBOX, Status.QUEUED])
async def test_what_is_well_is_not_retried(journal: Journal, ended: Status) -> None:
    tenant = await a_tenant(journal)
    message = a_message(sandbox=ended is Status.SANDBOX)
    await journal.intake.accept([a_request(tenant, message)])
    if ended is Status.CANCELLED:
        await journal.commands.cancel(tenant, message.id)
    elif ended in (Status.DELIVERED, Status.SENT):
        await claim(journal, *waiting(tenant, message))
        await end(journal, waiting(tenant, message)[0], ended)
    assert await retry(journal, tenant, message) == CommandResult(done=False, status=ended)
    assert await status(journal, tenant, message) is ended
    other = await a_tenant(journal, "other")
    assert await retry(journal, other, message) is None
    assert await fail(journal, other, message) is None


async def test_a_retry_against_the_end_loses_and_doubles_nothing(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    messages = [a_message(*("a@one.example", "b@two.example")[: 1 + n % 2]) for n in range(150)]
    await journal.intake.accept([a_request(tenant, *messages, batch_id=batch)])
    deliveries = [w for m in messages for w in waiting(tenant, m)]
    await claim(journal, *deliveries, lease_s=0)
    work = []
    for message in messages:
        own = waiting(tenant, message)
        work += [
            retry(journal, tenant, message),
            *(end(journal, w, Status.BOUNCED, sole_recipient=len(own) == 1) for w in own),
        ]
        work += [retry(journal, tenant, message)]
    at_once = asyncio.Semaphore(50)  # more would exceed the timeout for a connection

    async def in_turn(step: Awaitable[object]) -> None:
        async with at_once:
            await step

    await asyncio.gather(*map(in_turn, work))
    # Whatever came first: each message is finished, or waits with all of its deliveries to be made.
    left = {(w.message_id, w.recipient_no) for w in await leased(journal, 2, limit=1000)}
    for message in messages:
        row = await journal.messages.find(tenant, message.id)
        assert row is not None
        waits = [n for id, n in left if id == message.id]
        assert waits if row.status is Status.PROCESSING else (row.status is Status.BOUNCED and not waits)
    by_status = await counts(journal, tenant, batch)
    assert by_status.get("processing", 0) == len({id for id, _ in left})


@pytest.mark.parametrize("stage", ["queued", "processing", "sending"])
async def test_an_unfinished_message_can_be_failed_in_every_state(journal: Journal, stage: str) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    (w,) = waiting(tenant, message)
    if stage != "queued":
        await leased(journal, 1)
    if stage == "sending":
        await claim(journal, w)
    assert await fail(journal, tenant, message) == CommandResult(done=True, status=Status.FAILED)
    assert await dropped(journal, "stuck") == [Ended(tenant, message.id, "ada@example.com", batch, ("greetings",))]
    row = await journal.messages.find(tenant, message.id)
    assert row is not None and (row.status, row.error_message) == (Status.FAILED, "stuck")
    assert await fail(journal, tenant, message) == CommandResult(done=False, status=Status.FAILED)
    await end(journal, w, Status.DELIVERED)  # what was on the wire finds no row
    assert await counts(journal, tenant, batch) == {"failed": 1}
    again = await retry(journal, tenant, message)
    assert again == (
        CommandResult(done=False, status=Status.FAILED, under_way=True) if stage == "sending" else REQUEUED
    )


async def test_who_has_the_message_does_not_get_it_again(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message("has@one.example", "bounced@two.example", "waits@three.example")
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    has, bounced, waits = waiting(tenant, message)
    await claim(journal, has, bounced)
    await end(journal, has, Status.SENT, sole_recipient=False)
    await end(journal, bounced, Status.BOUNCED, sole_recipient=False)
    await fail(journal, tenant, message)
    assert [delivery.recipient for delivery in await dropped(journal, "stuck")] == ["waits@three.example"]
    assert await retry(journal, tenant, message) == REQUEUED
    assert sorted(w.recipient_no for w in await leased(journal, 1)) == [1, 2]
    assert len(await claim(journal, has, bounced, waits)) == 2
    for w in (bounced, waits):
        await end(journal, w, Status.BOUNCED, sole_recipient=False)
    # One of them has it: the message went out, and there is nothing more to retry.
    assert await counts(journal, tenant, batch) == {"sent": 1}
    assert await retry(journal, tenant, message) == CommandResult(done=False, status=Status.SENT)


async def test_a_batch_is_cancelled_but_for_what_was_claimed(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PAGE", 7)
    tenant = await a_tenant(journal)
    batch, other = await journal.batches.create(tenant), await journal.batches.create(tenant)
    messages = [a_message() for _ in range(30)]
    half_claimed = a_message("a@one.example", "b@two.example")
    later = a_message("c@one.example", "d@two.example", send_at=datetime.now(UTC) + timedelta(days=1))
    await journal.intake.accept([a_request(tenant, *messages, half_claimed, later, batch_id=batch)])
    await journal.intake.accept([a_request(tenant, a_message(), batch_id=other)])
    await leased(journal, 1, limit=20)
    await claim(journal, *waiting(tenant, messages[0]), *waiting(tenant, messages[15]))
    await claim(journal, waiting(tenant, half_claimed)[1])
    await end(journal, waiting(tenant, messages[0])[0], Status.DELIVERED)
    assert await journal.batches.cancel(tenant, batch) == 29
    ended = await dropped(journal, CANCELLED)
    assert len({(e.message_id, e.recipient) for e in ended}) == len(ended) == 30
    assert await counts(journal, tenant, batch) == {"cancelled": 29, "delivered": 1, "sending": 2}
    assert sum((await counts(journal, tenant, other)).values()) == 1
    assert await claim(journal, *(w for m in messages[1:15] for w in waiting(tenant, m))) == []
    assert await journal.batches.cancel(tenant, batch) == 0
    assert await journal.batches.cancel(await a_tenant(journal, "other"), batch) is None


async def test_cancelling_a_batch_against_claims_never_both(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PAGE", 100)
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    messages = [a_message(*("a@one.example", "b@two.example")[: 1 + n % 2]) for n in range(2000)]
    await journal.intake.accept([a_request(tenant, *messages, batch_id=batch)])
    deliveries = [w for m in messages for w in waiting(tenant, m)]
    claims = [journal.queue.claim(deliveries[n : n + 20], owner=1, lease_s=600) for n in range(0, len(deliveries), 80)]
    cancelled, page, *claimed = await asyncio.gather(
        journal.batches.cancel(tenant, batch),
        journal.scheduling.page_in(500, 600, each(lambda _: 1)),
        *claims,
    )
    sent = {c.message_id for answer in claimed if isinstance(answer, list) for c in answer}
    stopped = {delivery.message_id for delivery in await dropped(journal, CANCELLED)}
    assert isinstance(page, PagedIn) and page.expired == 0
    assert cancelled == len(stopped)
    assert not sent & stopped
    # And nothing was left that could have been cancelled.
    assert sent | stopped == {message.id for message in messages}


async def test_a_cancelled_message_is_gone_from_every_hand(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = msgspec.structs.replace(a_message(), recipients=(Recipient("a@b.example", "b.example"),))
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    (w,) = await leased(journal, 1)
    assert await journal.batches.cancel(tenant, batch) == 1
    assert await claim(journal, w) == []
    assert await status(journal, tenant, message) is Status.CANCELLED
    assert await retry(journal, tenant, message) == CommandResult(done=False, status=Status.CANCELLED)


# A retry undoes no other command


async def after_an_hour(dsn: str, at: datetime) -> bool:
    """Whether the only delivery in the queue is due at ``at``, and its lifetime starts then."""
    async with await AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT coalesce(paused_due_at, due_at), expires_at FROM deliveries")
        ((due_at, expires_at),) = await cursor.fetchall()
    return bool(due_at == at and expires_at == at + timedelta(seconds=LIFETIME_S))


@pytest.mark.parametrize("paused", [False, True])
async def test_a_retry_keeps_a_send_time_that_is_still_to_come(
    journal: Journal, journal_dsn: str, paused: bool
) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    send_at = datetime.now(UTC) + timedelta(hours=1)
    message = a_message(send_at=send_at)
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    assert await fail(journal, tenant, message) == CommandResult(done=True, status=Status.FAILED)
    if paused:
        await journal.scheduled_sends.schedule(tenant, batch, "pause")
    assert await retry(journal, tenant, message) == REQUEUED
    assert await leased(journal, 1) == []
    assert await after_an_hour(journal_dsn, send_at)
    if paused:
        await journal.scheduled_sends.reschedule(tenant, batch, "resume")
        assert await leased(journal, 1) == []
        assert await after_an_hour(journal_dsn, send_at)


async def test_a_stuck_message_keeps_its_send_time_too(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    send_at = datetime.now(UTC) + timedelta(hours=1)
    message = a_message(send_at=send_at)
    await journal.intake.accept([a_request(tenant, message)])
    await claim(journal, *waiting(tenant, message), lease_s=0)
    assert await retry(journal, tenant, message) == REQUEUED
    assert await after_an_hour(journal_dsn, send_at)


@pytest.mark.parametrize("ended", [Status.BOUNCED, Status.FAILED])
@pytest.mark.parametrize("by", ["call", "schedule"])
async def test_nothing_of_a_cancelled_batch_is_retried(journal: Journal, ended: Status, by: str) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message, stuck, fine, later = (a_message() for _ in range(4))
    await journal.intake.accept([a_request(tenant, message, stuck, fine, batch_id=batch)])
    (w,), (held,), (well,) = waiting(tenant, message), waiting(tenant, stuck), waiting(tenant, fine)
    await claim(journal, w, well)
    await end(journal, w, ended)
    await end(journal, well, Status.DELIVERED)
    await claim(journal, held, lease_s=0)
    if by == "call":
        assert await journal.batches.cancel(tenant, batch) == 0
    else:
        await journal.scheduled_sends.schedule(tenant, batch, "cancel")
    assert await retry(journal, tenant, message) == CommandResult(done=False, status=ended, batch_cancelled=True)
    assert await retry(journal, tenant, stuck) == CommandResult(done=False, status=Status.SENDING, batch_cancelled=True)
    assert await retry(journal, tenant, fine) == CommandResult(done=False, status=Status.DELIVERED)
    assert await counts(journal, tenant, batch) == {ended.value: 1, "delivered": 1, "sending": 1}
    if by == "schedule":
        assert await journal.scheduled_sends.reschedule(tenant, batch, "resume")  # the cancellation is forgotten
        assert await retry(journal, tenant, message) == REQUEUED
        return
    # That one call was about what was in the batch then; what is accepted later is no part of it.
    await journal.intake.accept([a_request(tenant, later, batch_id=batch)])
    (w,) = waiting(tenant, later)
    await claim(journal, w)
    await end(journal, w, ended)
    assert await retry(journal, tenant, later) == REQUEUED


async def test_a_retry_against_the_cancellation_of_its_batch_leaves_nothing_to_send(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    for number in range(30):
        batch = await journal.batches.create(tenant)
        message = a_message()
        await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
        await fail(journal, tenant, message)
        cancelling = (
            journal.batches.cancel(tenant, batch)
            if number % 2
            else journal.scheduled_sends.schedule(tenant, batch, "cancel")
        )
        await asyncio.gather(retry(journal, tenant, message), cancelling)
        assert await status(journal, tenant, message) in (Status.FAILED, Status.CANCELLED)
    assert await leased(journal, 1) == []


async def test_what_an_operator_ended_is_retried_but_not_in_a_cancelled_batch(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message, other = a_message(), a_message()
    await journal.intake.accept([a_request(tenant, message, batch_id=batch), a_request(tenant, other)])
    part = await journal.queue_control.part(QueueFilter(tenant_id=tenant), QueueMark(), 100)
    assert await journal.queue_control.give_up(part.queued, "bounced by the operator") == 2
    await journal.scheduled_sends.schedule(tenant, batch, "cancel")
    assert await retry(journal, tenant, other) == REQUEUED
    assert await retry(journal, tenant, message) == CommandResult(
        done=False, status=Status.FAILED, batch_cancelled=True
    )
