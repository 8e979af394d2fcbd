"""Moving what waits, by real statements: which deliveries are made due, and which are left as they were commanded."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueFilter, QueueMark, UnfinishedDelivery, Wait
from cluster.journal.records import DueDelivery, NewMessage, Outcome
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import a_message, a_request, a_tenant, with_event


async def queued(journal: Journal) -> Sequence[UnfinishedDelivery]:
    return (await journal.queue_control.part(QueueFilter(), QueueMark(), 100)).queued


async def waits(journal: Journal, *messages: NewMessage) -> list[Wait]:
    found = {one.message_id: wait for one, wait in await journal.queue_control.waits(await queued(journal))}
    return [found[message.id] for message in messages]


async def claimed(journal: Journal, tenant: str, message: NewMessage) -> DueDelivery:
    waiting = DueDelivery(message.id, 0, tenant, "example.com")
    await journal.queue.claim([waiting], owner=1, lease_s=60)
    return waiting


async def deferred(journal: Journal, tenant: str, message: NewMessage) -> None:
    await claimed(journal, tenant, message)
    later = datetime.now(UTC) + timedelta(hours=1)
    outcome = Outcome(tenant_id=tenant, message_id=message.id, recipient_no=0, status=Status.QUEUED, due_at=later)
    await journal.queue.commit([with_event(outcome)], owner=1)


async def test_only_what_is_deferred_is_made_due(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    later, sent, parked = (a_message() for _ in range(3))
    scheduled = a_message(send_at=datetime.now(UTC) + timedelta(hours=1))
    await journal.intake.accept([a_request(tenant, later, scheduled, sent, parked)])
    await deferred(journal, tenant, later)
    await deferred(journal, tenant, parked)
    await journal.scheduling.park([DueDelivery(parked.id, 0, tenant, "example.com")], ["mx.example.com"])
    await claimed(journal, tenant, sent)
    messages = (later, sent, parked, scheduled)
    assert await waits(journal, *messages) == [Wait.DEFERRED, Wait.SENDING, Wait.TURN, Wait.SCHEDULED]
    assert await journal.queue_control.make_due(await queued(journal)) == 1
    assert await waits(journal, *messages) == [Wait.TURN, Wait.SENDING, Wait.TURN, Wait.SCHEDULED]
    assert await journal.queue_control.make_due(await queued(journal)) == 0, "again is no other"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_is_paused_stays_so(journal: Journal, when: str) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    await deferred(journal, tenant, message)
    if when == "after":
        assert await journal.queue_control.make_due(await queued(journal)) == 1
    await journal.scheduled_sends.schedule(tenant, batch, "pause")
    assert await waits(journal, message) == [Wait.PAUSED]
    assert await journal.queue_control.make_due(await queued(journal)) == 0
    assert await journal.scheduling.due_in_s() > 0


async def test_what_is_in_other_hands_is_passed_over(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message(), a_message()]
    await journal.intake.accept([a_request(tenant, *messages)])
    for message in messages:
        await deferred(journal, tenant, message)
    with psycopg.connect(journal_dsn) as other:
        other.execute("SELECT FROM deliveries WHERE message_id = %s FOR UPDATE", [messages[0].id])
        assert await journal.queue_control.make_due(await queued(journal)) == 1
    assert await journal.queue_control.make_due(await queued(journal)) == 1


async def test_one_message_is_found_by_its_id(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message() for _ in range(3)]
    await journal.intake.accept([a_request(tenant, *messages)])
    for message in messages:
        part = await journal.queue_control.part(QueueFilter(message_id=message.id), QueueMark(), 2)
        assert ([one.message_id for one in part.queued], part.next) == ([message.id], None)


async def test_what_is_rerouted_is_claimed_by_its_new_pool_and_route_alone(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message, sent = a_message(), a_message()
    await journal.intake.accept([a_request(tenant, message, sent)])
    await claimed(journal, tenant, sent)
    old = DueDelivery(message.id, 0, tenant, "example.com")
    new = DueDelivery(message.id, 0, tenant, "example.com", "bulk", "relay.example:25")
    assert await journal.queue_control.reroute(await queued(journal), "bulk", "relay.example:25") == [new]
    assert await journal.queue_control.reroute(await queued(journal), "bulk", "relay.example:25") == [], (
        "again is no other"
    )
    assert await journal.queue.claim([old], owner=1, lease_s=60) == []
    (standing,) = await journal.fates.recipients(message.id)
    assert (standing.pool, standing.accepted_pool, standing.route) == ("bulk", "", "relay.example:25")
    assert await journal.queue_control.reroute(await queued(journal), None, "") == [
        DueDelivery(message.id, 0, tenant, "example.com", "bulk")
    ]
    (got,) = await journal.queue.claim([DueDelivery(message.id, 0, tenant, "example.com", "bulk")], owner=1, lease_s=60)
    assert got.message_id == message.id


async def test_rerouting_makes_nothing_earlier_than_it_was_commanded(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    retried, paused = a_message(), a_message()
    scheduled = a_message(send_at=datetime.now(UTC) + timedelta(hours=1))
    await journal.intake.accept([a_request(tenant, retried, scheduled), a_request(tenant, paused, batch_id=batch)])
    await deferred(journal, tenant, retried)
    await journal.scheduled_sends.schedule(tenant, batch, "pause")
    assert len(await journal.queue_control.reroute(await queued(journal), "bulk", None)) == 3
    expected = [Wait.DEFERRED, Wait.SCHEDULED, Wait.PAUSED]
    assert await waits(journal, retried, scheduled, paused) == expected
    assert await journal.scheduling.due_in_s() > 0


async def test_what_is_parked_leaves_its_lane(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    await journal.scheduling.park([DueDelivery(message.id, 0, tenant, "example.com")], ["mx.example.com"])
    assert len(await journal.queue_control.reroute(await queued(journal), "bulk", None)) == 1
    assert await journal.scheduling.lanes() == []
