"""Pausing, cancelling and resuming a batch: what waits, what is in an actor's hands, and what is accepted later."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest

from cluster.journal import batches, scheduled_sends
from cluster.journal.day_tables import span
from cluster.journal.ending import CANCELLED
from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery, NewMessage, ScheduledSend
from cluster.journal.scheduled_sends import ScheduledSends
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
from tests.integration.journal.test_commands import claim, counts, end, retry


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batches, scheduled_sends):
        monkeypatch.setattr(module, "PAGE", 7)


class Batch:
    """A batch with some messages accepted into it."""

    def __init__(self, journal: Journal, tenant: str, id: str) -> None:
        self.journal, self.tenant, self.id = journal, tenant, id

    async def accept(self, *messages: NewMessage) -> list[DueDelivery]:
        await self.journal.intake.accept([a_request(self.tenant, *messages, batch_id=self.id)])
        return [w for message in messages for w in waiting(self.tenant, message)]

    async def pause(self) -> bool:
        return await self.journal.scheduled_sends.schedule(self.tenant, self.id, "pause")

    async def resume(self) -> bool:
        return await self.journal.scheduled_sends.reschedule(self.tenant, self.id, "resume")

    async def counts(self) -> dict[str, int]:
        return await counts(self.journal, self.tenant, self.id)


@pytest.fixture
async def batch(journal: Journal) -> Batch:
    tenant = await a_tenant(journal)
    return Batch(journal, tenant, await journal.batches.create(tenant))


async def test_a_pause_holds_what_is_not_claimed_and_a_resume_lets_it_go(journal: Journal, batch: Batch) -> None:
    later = a_message(send_at=datetime.now(UTC) + timedelta(days=1))
    deliveries = await batch.accept(*(a_message() for _ in range(30)), later)
    (unbatched,) = waiting(batch.tenant, free := a_message())
    await journal.intake.accept([a_request(batch.tenant, free)])
    held = await leased(journal, 1, limit=10)
    await claim(journal, held[0])
    assert await batch.pause()
    assert await leased(journal, 2, limit=100) == [unbatched]
    assert await claim(journal, *deliveries) == []
    assert len(await claim(journal, unbatched)) == 1
    assert await batch.counts() == {"queued": 30, "sending": 1}
    new = await batch.accept(*(a_message() for _ in range(10)))  # accepted into the pause
    assert await leased(journal, 2, limit=100) == []
    assert await claim(journal, *new) == []
    assert await journal.scheduled_sends.entries(batch.tenant) == [ScheduledSend(batch.id, "pause")]
    resumed_at = datetime.now(UTC)
    assert await batch.resume()
    assert await journal.scheduled_sends.entries(batch.tenant) == []
    released = await leased(journal, 2, limit=100)
    # All but the one that was claimed already and the one whose time has not come.
    assert {w.message_id for w in released} == {w.message_id for w in (*deliveries[:-1], *new)} - {held[0].message_id}
    claimed = await claim(journal, *released)
    assert len(claimed) == 39
    assert all(resumed_at <= one.dated_at < datetime.now(UTC) for one in claimed)
    row = await journal.messages.find(batch.tenant, later.id)
    assert row is not None and row.status is Status.QUEUED


async def test_what_is_resumed_soon_after_its_acceptance_is_due_at_once(journal_dsn: str) -> None:
    journal = Journal(journal_dsn, application="api", offer_grace_s=3600)
    await journal.open()
    try:
        tenant = await a_tenant(journal)
        batch = Batch(journal, tenant, await journal.batches.create(tenant))
        later = a_message(send_at=datetime.now(UTC) + timedelta(minutes=5))
        deliveries = await batch.accept(*(a_message() for _ in range(10)), later)
        assert await batch.pause()
        deliveries += await batch.accept(a_message())  # accepted into the pause
        assert await batch.resume()
        due = await leased(journal, 1, limit=100)
        assert {w.message_id for w in due} == {w.message_id for w in deliveries} - {later.id}
    finally:
        await journal.close()


async def test_what_is_deferred_in_a_pause_waits_for_the_resume(journal: Journal, batch: Batch) -> None:
    (w,) = await batch.accept(a_message())
    (first,) = await claim(journal, w)
    assert first.dated_at == first.created_at
    await batch.pause()
    now = datetime.now(UTC)
    await journal.queue.commit([an_outcome(w, Status.QUEUED, due_at=now)], owner=1)
    assert await claim(journal, w) == []
    await batch.resume()
    (again,) = await claim(journal, w)
    assert again.dated_at == first.dated_at  # the same message, however often it is tried


async def test_scheduled_mail_is_dated_when_its_time_comes(journal: Journal, batch: Batch) -> None:
    send_at = datetime.now(UTC) + timedelta(milliseconds=200)
    (w,) = await batch.accept(a_message(send_at=send_at))
    await batch.pause()
    await batch.resume()
    (claimed,) = await claim(journal, w)
    assert claimed.created_at < claimed.dated_at == claimed.send_at == send_at


async def test_a_lifetime_ends_also_in_a_pause(journal: Journal, batch: Batch) -> None:
    await batch.pause()
    message = msgspec.structs.replace(a_message(), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await batch.accept(message)
    page = await journal.scheduling.page_in(10, 60, each(lambda _: 1))
    assert (page.expired, page.leased) == (1, [])
    assert await status(journal, batch.tenant, message) is Status.FAILED


async def test_a_retry_in_a_pause_waits_with_the_batch(journal: Journal, batch: Batch) -> None:
    message, stuck = a_message(), a_message()
    w, held = await batch.accept(message, stuck)
    await claim(journal, w)
    await end(journal, w, Status.BOUNCED)
    await claim(journal, held, lease_s=0)
    await batch.pause()
    for one in (message, stuck):
        change = await retry(journal, batch.tenant, one)
        assert change is not None and change.done
    assert await leased(journal, 1) == []
    await batch.resume()
    assert len(await leased(journal, 1)) == 2


async def test_a_cancellation_also_holds_for_what_is_accepted_later(journal: Journal, batch: Batch) -> None:
    deliveries = await batch.accept(*(a_message() for _ in range(20)))
    await claim(journal, deliveries[0])
    assert await journal.scheduled_sends.schedule(batch.tenant, batch.id, "cancel")
    assert len(await dropped(journal, CANCELLED)) == 19
    assert await batch.counts() == {"cancelled": 19, "sending": 1}
    later = a_message("a@one.example", "b@two.example")
    await batch.accept(later, a_message(sandbox=True))
    ended = await dropped(journal, CANCELLED)
    assert [e.recipient for e in ended[19:]] == ["a@one.example", "b@two.example"]
    assert ended[-1].categories == ("greetings",)
    assert await status(journal, batch.tenant, later) is Status.CANCELLED
    assert await batch.counts() == {"cancelled": 20, "sandbox": 1, "sending": 1}
    # What was on the wire goes on: also when it is deferred, since it was not cancelled.
    now = datetime.now(UTC)
    await journal.queue.commit([an_outcome(deliveries[0], Status.QUEUED, due_at=now)], owner=1)
    assert len(await claim(journal, deliveries[0])) == 1
    assert await batch.resume()  # forgets it
    (w,) = await batch.accept(a_message())
    assert len(await claim(journal, w)) == 1


async def test_one_entry_a_batch_and_its_changes(journal: Journal, batch: Batch) -> None:
    await batch.accept(a_message())
    assert not await batch.resume()
    assert await batch.pause()
    assert await batch.pause()  # a repeat does no harm: an answer may be lost
    assert not await journal.scheduled_sends.schedule(batch.tenant, batch.id, "cancel")
    assert not await journal.scheduled_sends.reschedule(await a_tenant(journal, "other"), batch.id, "cancel")
    assert await journal.scheduled_sends.reschedule(batch.tenant, batch.id, "cancel")
    assert await batch.counts() == {"cancelled": 1}
    assert await journal.scheduled_sends.entries(batch.tenant, batch.id) == [ScheduledSend(batch.id, "cancel")]
    assert await journal.scheduled_sends.entries(await a_tenant(journal, "third"), batch.id) == []


async def test_what_a_dead_process_began_is_ended_by_another(
    journal: Journal, journal_dsn: str, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    deliveries = await batch.accept(*(a_message() for _ in range(20)))
    await batch.pause()
    for command in ("resume", "cancel"):
        with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
            patch.setattr(ScheduledSends, "settle", die)
            if command == "resume":
                await batch.resume()
            else:
                await journal.scheduled_sends.schedule(batch.tenant, batch.id, "cancel")
        assert await journal.scheduled_sends.unsettled(3600) == []
        assert await journal.scheduled_sends.unsettled(-1) == [(batch.tenant, batch.id)]
        # Two at once, as it may happen.
        await asyncio.gather(*(journal.scheduled_sends.settle(batch.tenant, batch.id) for _ in range(2)))
        assert await journal.scheduled_sends.unsettled(-1) == []
        if command == "resume":
            assert len(await claim(journal, *deliveries[:5])) == 5
    assert await batch.counts() == {"sending": 5, "cancelled": 15}


async def test_pauses_against_claims_and_accepts(journal: Journal, batch: Batch) -> None:
    """Once a pause is answered nothing is claimed, whatever began before it; the resume leaves nothing behind."""
    deliveries = await batch.accept(*(a_message() for _ in range(300)))
    claimed: set[str] = set()
    paused = asyncio.Event()

    async def claim_on() -> None:
        while not paused.is_set():
            for n in range(0, len(deliveries), 20):
                claimed.update(c.message_id for c in await claim(journal, *deliveries[n : n + 1]))

    async def accept_on() -> None:
        for _ in range(10):
            deliveries.extend(await batch.accept(a_message()))

    claims = [asyncio.create_task(claim_on()) for _ in range(2)]
    await asyncio.gather(accept_on(), batch.pause())
    before = set(claimed)
    assert await claim(journal, *deliveries) == []
    paused.set()
    await asyncio.gather(*claims)
    assert claimed == before
    assert await leased(journal, 1, limit=1000) == []
    await asyncio.gather(accept_on(), batch.resume())
    left = await leased(journal, 1, limit=1000)
    assert {w.message_id for w in left} | claimed == {w.message_id for w in deliveries}


async def test_the_claim_of_unbatched_mail_looks_at_no_pause(journal: Journal, journal_dsn: str) -> None:
    """The fence costs an index probe for batched rows and nothing for others."""
    from cluster.journal.statements import QUERIES

    tenant = await a_tenant(journal)
    messages = [a_message() for _ in range(50)]
    await journal.intake.accept([a_request(tenant, *messages)])
    parameters = {
        "message_ids": [m.id for m in messages],
        "recipient_nos": [0] * 50,
        "pools": [""] * 50,
        "routes": [""] * 50,
        "owner": 1,
        "lease_s": 1,
        **span(m.id for m in messages),
    }
    async with await psycopg.AsyncConnection.connect(journal_dsn) as connection:
        query = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + QUERIES["claim"]
        cursor = await connection.execute(query.encode(), parameters)
        plan = [line for (line,) in await cursor.fetchall()]
        probes = [line for line in plan if "scheduled_sends" in line]
        assert probes and all("never executed" in line for line in probes), "\n".join(plan)
