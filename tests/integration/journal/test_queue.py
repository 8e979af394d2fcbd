"""Leases, claims, outcomes: the queue against a real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec.structs import replace

from cluster.events import decode_batch
from cluster.journal import membership
from cluster.journal.journal import Journal, Rejected, Unavailable, migrate
from cluster.journal.membership import LiveMembers, NodeLoad
from cluster.journal.scheduling import Lane
from cluster.policy.lifecycle import Status
from cluster.policy.routes.membership import Member
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, each, leased, status, waiting


async def test_a_delivery_goes_from_queued_to_delivered(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    assert await status(journal, tenant, message) is Status.QUEUED

    (held,) = await leased(journal, 7)
    assert held == waiting(tenant, message)[0]
    assert await status(journal, tenant, message) is Status.PROCESSING

    (claimed,) = await journal.queue.claim([held], owner=7, lease_s=60)
    assert (claimed.recipient, claimed.attempts, claimed.sole_recipient) == ("ada@example.com", 1, True)
    assert await status(journal, tenant, message) is Status.SENDING

    await journal.queue.commit([an_outcome(held, Status.DELIVERED)], owner=7)
    row = await journal.messages.find(tenant, message.id)
    assert row is not None
    assert (row.status, row.retry_count, row.error_message) == (Status.DELIVERED, 0, None)
    assert row.finished_at is not None
    assert await journal.scheduling.due_in_s() > 0


async def test_what_is_not_due_is_not_paged_in(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    later = datetime.now(UTC) + timedelta(hours=1)
    await journal.intake.accept([a_request(tenant, a_message(send_at=later))])
    assert await leased(journal, 1) == []
    assert await journal.scheduling.due_in_s() > 0


async def test_only_one_owner_can_claim(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    both = await asyncio.gather(
        *(journal.queue.claim(waiting(tenant, message), owner=owner, lease_s=60) for owner in (1, 2))
    )
    assert sorted(len(claimed) for claimed in both) == [0, 1]


async def test_a_deferral_waits_and_keeps_its_reason(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    (w,) = waiting(tenant, message)
    await journal.queue.claim([w], owner=1, lease_s=60)
    due = datetime.now(UTC) + timedelta(minutes=5)
    await journal.queue.commit([an_outcome(w, Status.QUEUED, due_at=due)], owner=1)
    row = await journal.messages.find(tenant, message.id)
    assert row is not None
    assert (row.status, row.next_retry_at, row.error_message) == (Status.QUEUED, due, "450 later")


async def test_a_stale_owner_cannot_defer_but_its_delivery_counts(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    (w,) = waiting(tenant, message)
    await journal.queue.claim([w], owner=1, lease_s=0)
    await leased(journal, 2)  # the lease is over: another owner has it
    due = datetime.now(UTC) + timedelta(minutes=5)
    await journal.queue.commit([an_outcome(w, Status.QUEUED, due_at=due)], owner=1)
    assert await status(journal, tenant, message) is Status.PROCESSING
    await journal.queue.commit([an_outcome(w, Status.DELIVERED)], owner=1)
    assert await status(journal, tenant, message) is Status.DELIVERED


async def test_a_message_of_several_recipients_is_folded_when_the_last_one_ends(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message("a@one.example", "b@two.example", "c@two.example")
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    a, b, c = waiting(tenant, message)
    assert len(await journal.queue.claim([a, b, c], owner=1, lease_s=60)) == 3
    await journal.queue.commit([an_outcome(a, Status.BOUNCED, sole_recipient=False)], owner=1)
    assert await status(journal, tenant, message) is Status.SENDING
    # The last two end at once, in two processes.
    await asyncio.gather(
        journal.queue.commit([an_outcome(b, Status.DELIVERED, sole_recipient=False)], owner=1),
        journal.queue.commit([an_outcome(c, Status.DELIVERED, sole_recipient=False)], owner=1),
    )
    assert await status(journal, tenant, message) is Status.DELIVERED
    counts = await journal.batches.counts(tenant, batch)
    assert counts is not None
    assert (counts.total, counts.by_status[Status.DELIVERED]) == (1, 1)
    assert counts.completed_at is not None


async def test_a_new_life_takes_back_what_the_last_one_held(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    first, second = a_message(), a_message()
    await journal.intake.accept([a_request(tenant, first, second)])
    epoch, taken_back = await journal.membership.register("delivery-0-0", "node")
    assert taken_back == 0
    await leased(journal, epoch)
    await journal.queue.claim(waiting(tenant, first), owner=epoch, lease_s=600)
    assert await journal.membership.heartbeat("delivery-0-0", epoch, "delivery-0-0", 60) == LiveMembers(
        [Member("delivery-0-0", "delivery-0-0", False)], 0
    )

    reborn, taken_back = await journal.membership.register("delivery-0-0", "node")
    assert (reborn > epoch, taken_back) == (True, 2)
    assert await journal.membership.heartbeat("delivery-0-0", epoch, "", 60) is None
    assert len(await leased(journal, reborn)) == 2
    assert [actor.epoch for actor in await journal.membership.actors(60)] == [reborn]


async def test_a_drained_node_goes_on_to_drain_and_one_that_gets_its_names_does_not(journal: Journal) -> None:
    await journal.membership.register("delivery-0-0", "drained")
    await journal.membership.drain_node("drained")
    await journal.membership.register("delivery-0-0", "drained")
    assert await journal.membership.is_draining("drained")
    await journal.membership.register("delivery-0-0", "new")
    assert not await journal.membership.is_draining("new")
    assert [actor.name for actor in await journal.membership.actors(60)] == ["delivery-0-0"]


async def test_a_drained_node_is_brought_back(journal: Journal) -> None:
    for number in range(2):
        await journal.membership.register(f"delivery-{number}-0", f"node{number}")
        await journal.membership.drain_node(f"node{number}")
    assert await journal.membership.undrain_node("node0")
    assert not await journal.membership.is_draining("node0")
    assert await journal.membership.is_draining("node1")
    assert [actor.name for actor in await journal.membership.actors(60)] == ["delivery-0-0"]
    assert not await journal.membership.undrain_node("node0")


async def test_a_node_without_delivery_actors_drains_and_one_that_is_gone_is_forgotten(journal: Journal) -> None:
    membership = journal.membership
    await membership.register("delivery-0-0", "node0")
    await membership.tell_closed("edge", "api-1-0")  # it does not drain
    await membership.drain_node("edge", ["edge", "node0"])
    assert await membership.is_draining("edge") and not await membership.is_draining("node0")
    for _ in range(2):
        await membership.tell_closed("edge", "api-1-0")
    assert await membership.nodes() == [NodeLoad("edge", True, 0, ["api-1-0"]), NodeLoad("node0", False, 0, [])]
    await membership.register("delivery-1-0", "edge")
    assert [actor.name for actor in await membership.actors(60)] == ["delivery-0-0"]
    await membership.drain_node("other", ["other"])
    assert not await membership.is_draining("edge")


async def test_a_node_that_drained_before_there_was_a_table_of_such_goes_on_to(
    journal: Journal, journal_dsn: str
) -> None:
    for number in range(2):
        await journal.membership.register(f"delivery-{number}-0", f"node{number}")
    await journal.membership.drain_node("node0")
    with psycopg.connect(journal_dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE draining_nodes")
        connection.execute("DELETE FROM migrations WHERE name = '0029_draining_nodes.sql'")
    assert await migrate(journal_dsn) == ["0029_draining_nodes.sql"]
    assert await journal.membership.is_draining("node0")
    assert not await journal.membership.is_draining("node1")


async def test_starts_come_one_after_the_other_and_hold_up_no_migration(journal: Journal, journal_dsn: str) -> None:
    began: list[int] = []

    async def start(number: int) -> None:
        async with journal.membership.starting():
            began.append(number)

    async with journal.membership.starting():
        other = asyncio.create_task(start(2))
        async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
            for _ in range(3):  # each waits for the transactions that there are
                await connection.execute("CREATE INDEX CONCURRENTLY one ON tenants (name)")
                await connection.execute("DROP INDEX CONCURRENTLY one")
        began.append(1)
    await other
    assert began == [1, 2]


async def test_a_start_that_stands_still_is_named_to_those_that_wait_for_it(
    journal: Journal, journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "START_WAIT_S", 0.1)
    waiting = Journal(journal_dsn, application="up")
    await waiting.open()
    async with journal.membership.starting():
        with pytest.raises(Unavailable, match="starting this cluster and does not end: from this"):
            async with waiting.membership.starting():
                raise AssertionError("two at once")
    async with waiting.membership.starting():
        pass
    await waiting.close()


async def test_postgres_is_to_end_the_sessions_of_a_machine_without_power(journal: Journal) -> None:
    """With the locks that they hold. Over a socket file, as here, the settings have no effect."""
    async with journal._database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_settings WHERE name ^@ 'tcp_' AND source = 'session'"
        )
        assert await cursor.fetchone() == (4,)


async def test_a_lifetime_ends_in_every_state(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    queued, parked, held, claimed, tried = (replace(a_message(), expires_at=soon) for _ in range(5))
    await journal.intake.accept([a_request(tenant, queued, parked, held, claimed, tried)])
    await journal.scheduling.park(waiting(tenant, parked), ["lane"])
    for message in (claimed, tried):
        assert len(await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=0)) == 1
    (w,) = waiting(tenant, tried)
    await journal.queue.commit([an_outcome(w, Status.QUEUED, due_at=soon)], owner=1)
    deadline = asyncio.get_running_loop().time() + 5
    ended = 0
    while ended < 5:
        page = await journal.scheduling.page_in(10, 600, each(lambda _: 1))
        ended += page.expired
        assert asyncio.get_running_loop().time() < deadline
    for message in (queued, parked, held):
        assert await status(journal, tenant, message) is Status.FAILED
    for message in (claimed, tried):
        assert await status(journal, tenant, message) is Status.BOUNCED
    assert await journal.queue.claim(waiting(tenant, queued), owner=1, lease_s=60) == []


async def test_what_has_expired_cannot_be_claimed(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = replace(a_message(), expires_at=datetime.now(UTC))
    await journal.intake.accept([a_request(tenant, message)])
    assert await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60) == []


async def test_two_schedulers_never_page_in_the_same_row(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant, *(a_message() for _ in range(200)))])
    pages = await asyncio.gather(*(leased(journal, 1, 60) for _ in range(4)))
    paged = [w.message_id for page in pages for w in page]
    assert len(paged) == len(set(paged))


async def test_a_thousand_cancels_against_claims_never_both_win(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message() for _ in range(300)]
    await journal.intake.accept([a_request(tenant, *messages)])
    claims = [journal.queue.claim(waiting(tenant, m), owner=1, lease_s=60) for m in messages]
    cancels = [journal.commands.cancel(tenant, m.id) for m in messages]
    results = await asyncio.gather(*(task for pair in zip(claims, cancels, strict=True) for task in pair))
    for claimed, cancelled in zip(results[::2], results[1::2], strict=True):
        assert cancelled is not None
        assert not (claimed and cancelled.cancelled)  # type: ignore[union-attr]


async def test_a_nul_character_is_rejected_whole(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    good, bad = a_message(), a_message("nul\0@example.com")
    with pytest.raises(Rejected):
        await journal.intake.accept([a_request(tenant, good), a_request(tenant, bad)])
    assert await journal.messages.find(tenant, good.id) is None


async def test_a_batch_of_outcomes_of_all_kinds_is_committed_as_one(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    delivered, bounced, deferred, foreign, unknown = (a_message() for _ in range(5))
    await journal.intake.accept([a_request(tenant, delivered, bounced, deferred, foreign, batch_id=batch)])
    (d,), (b,), (late,), (f,), (u,) = (waiting(tenant, m) for m in (delivered, bounced, deferred, foreign, unknown))
    await journal.queue.claim([d, b, late], owner=1, lease_s=60)
    await journal.queue.claim([f], owner=2, lease_s=60)
    due = datetime.now(UTC) + timedelta(minutes=5)
    outcomes = [
        an_outcome(d, Status.DELIVERED),
        an_outcome(b, Status.BOUNCED),
        an_outcome(late, Status.QUEUED, due_at=due),
        an_outcome(f, Status.QUEUED, due_at=due),
        an_outcome(u, Status.DELIVERED),  # unknown to the journal: it was finished long ago
    ]
    for _ in range(2):  # as when the answer to the first was lost
        await journal.queue.commit(outcomes, owner=1)
    found = [await journal.messages.find(tenant, m.id) for m in (delivered, bounced, deferred, foreign)]
    assert [row and (row.status, row.error_message) for row in found] == [
        (Status.DELIVERED, None),
        (Status.BOUNCED, "450 later"),
        (Status.QUEUED, "450 later"),
        (Status.SENDING, None),
    ]
    assert found[2] is not None and found[2].next_retry_at == due
    counts = await journal.batches.counts(tenant, batch)
    assert counts is not None
    assert (counts.total, counts.by_status[Status.DELIVERED], counts.by_status[Status.BOUNCED]) == (4, 1, 1)
    logged = await journal.event_log.after("recorder", 10)
    assert [decode_batch(row.events) for row in logged][-2:] == [[event for _, event in outcomes]] * 2


async def test_no_statement_of_the_queue_reads_all_of_it(journal: Journal, journal_dsn: str) -> None:
    """This holds also for statements that were planned while the queue was so small that a scan looked cheapest."""
    tenant = await a_tenant(journal)
    many = 300
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE")  # now it is known to be empty
        for size in [1] * 8 + [many]:  # statements are prepared after a few uses
            await through_all_that_a_batch_can_meet(journal, tenant, size)
        await journal.close()  # only then does a server process report its counts
        scans = reads = -1
        deadline = asyncio.get_running_loop().time() + 5
        while reads < many and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
            cursor = await connection.execute(
                "SELECT max(t.seq_scan), sum(i.idx_tup_read)::int FROM pg_stat_user_tables t "
                "JOIN pg_stat_user_indexes i USING (relid) WHERE t.relname IN ('deliveries', 'messages')"
            )
            ((scans, reads),) = await cursor.fetchall()
    assert scans == 0
    # Three deliveries of each, some ten statements, and what is dead among them: not each of them for each other.
    assert many < reads < many * 150, reads


async def through_all_that_a_batch_can_meet(journal: Journal, tenant: str, size: int) -> None:
    lane = Lane("example.com", tenant)
    ones, others = [a_message() for _ in range(size)], [a_message("a@x.example", "b@x.example") for _ in range(size)]
    await journal.intake.accept([a_request(tenant, *ones, *others)])
    sole_recipient = [w for message in ones for w in waiting(tenant, message)]
    shared = [w for message in others for w in waiting(tenant, message)]
    both = [*sole_recipient, *shared]
    assert len(await leased(journal, 1, len(both))) == len(both)
    await journal.scheduling.park(both, ["example.com"] * len(both))
    assert await journal.scheduling.lanes() == [lane]
    assert len(
        (await journal.scheduling.lease_from_lanes({lane: len(both)}, len(both), owner=1, lease_s=60)).leased
    ) == len(both)
    assert len(await journal.queue.claim(both, owner=1, lease_s=60)) == len(both)
    assert await journal.queue.unclaim([(w.message_id, w.recipient_no) for w in both], owner=1) == len(both)
    assert len(await journal.queue.claim(both, owner=1, lease_s=60)) == len(both)
    later = [an_outcome(w, Status.QUEUED, due_at=datetime.now(UTC)) for w in sole_recipient]
    await journal.queue.commit(later, owner=1)
    assert len(await journal.queue.claim(sole_recipient, owner=1, lease_s=60)) == size
    await journal.queue.commit([an_outcome(w, Status.DELIVERED) for w in sole_recipient], owner=1)
    ended = [an_outcome(w, Status.DELIVERED, sole_recipient=False) for w in shared]
    await journal.queue.commit(ended, owner=1)
    assert await journal.scheduling.due_in_s() > 0
