"""Lanes: what waits in them, what is taken from them, and what leaves them, against a real Postgres."""

from datetime import UTC, datetime

import psycopg
import pytest

from cluster.journal.journal import Journal, migrate
from cluster.journal.scheduling import LANE_START, Lane, LanePosition
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, each, leased, status, waiting


async def test_what_finds_no_room_waits_in_its_lane_until_its_owner_takes_it(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message(f"u{i}@{'full' if i % 2 else 'free'}.example") for i in range(10)]
    await journal.intake.accept([a_request(tenant, *messages)])
    assert await journal.scheduling.due_in_s() <= 0
    page = await journal.scheduling.page_in(100, 600, each(lambda w: w.domain if w.domain == "full.example" else 1))
    assert (len(page.leased), page.parked) == (5, 5)
    assert await journal.scheduling.lanes() == [Lane("full.example", tenant)]
    assert await journal.scheduling.due_in_s() > 0
    # Refused by its owner after all.
    await journal.scheduling.park(page.leased[:1], ["free.example"])
    assert await journal.scheduling.lanes() == [Lane("free.example", tenant), Lane("full.example", tenant)]
    full = Lane("full.example", tenant)
    taken = await journal.scheduling.lease_from_lanes({full: 3}, 10, owner=1, lease_s=60)
    assert taken.emptied == []
    assert [w.message_id for w in taken.leased] == [m.id for m in messages[1:6:2]]
    assert await status(journal, tenant, messages[1]) is Status.PROCESSING
    # A lane without an owner.
    assert await journal.scheduling.empty_lane("full.example", 100) == 2
    assert len(await leased(journal, 2)) == 2
    # What is parked can be cancelled, and claimed by the actor that holds it.
    w = page.leased[0]
    assert len(await journal.queue.claim([w], owner=1, lease_s=60)) == 1
    assert await journal.scheduling.lanes() == []


async def test_many_lanes_are_taken_from_at_once(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message(f"u{i}@d{i % 3}.example") for i in range(9)]
    await journal.intake.accept([a_request(tenant, *messages)])
    await journal.scheduling.page_in(100, 600, each(lambda w: w.domain))
    d0, d1, d2 = (Lane(f"d{i}.example", tenant) for i in range(3))
    nothing = Lane("nothing.example", tenant)

    first = await journal.scheduling.lease_from_lanes({d1: 2, nothing: 5, d0: 5, d2: 5}, 4, owner=1, lease_s=60)
    # In the order of the lanes, and of each lane the oldest; behind the limit nothing is known.
    assert sorted(w.message_id for w in first.leased) == sorted(messages[i].id for i in (1, 4, 0, 3))
    assert first.emptied == [nothing]
    second = await journal.scheduling.lease_from_lanes({d1: 2, d0: 5, d2: 3}, 100, owner=1, lease_s=60)
    assert sorted(w.message_id for w in second.leased) == sorted(messages[i].id for i in (7, 6, 2, 5, 8))
    assert second.emptied == [d1, d0], "of the third lane there might be more"
    third = await journal.scheduling.lease_from_lanes({d2: 3}, 100, owner=1, lease_s=60)
    assert (third.leased, third.emptied) == ([], [d2])


async def test_what_has_another_place_leaves_its_lane_and_the_rest_stays(journal: Journal) -> None:
    tenant, other = await a_tenant(journal), await a_tenant(journal, "other")
    message = a_message(*(f"u{i}@example.com" for i in range(5)))
    later, others = a_message(), a_message()
    await journal.intake.accept([a_request(tenant, message, later)])
    await journal.intake.accept([a_request(other, others)])
    await journal.scheduling.page_in(100, 600, each(lambda _: "x>example.com"))
    lane, foreign = Lane("x>example.com", tenant), Lane("x>example.com", other)
    all_here = [*waiting(tenant, message), *waiting(tenant, later)]
    assert await journal.scheduling.parked_in({foreign: LANE_START, lane: LANE_START}, 10) == {
        foreign: waiting(other, others),
        lane: all_here,
    }
    # In the midst of a message, too.
    found = await journal.scheduling.parked_in({lane: LanePosition(message.id, 1)}, 3)
    assert found[lane] == all_here[2:5]
    assert (await journal.scheduling.parked_in({lane: LanePosition(message.id, 4)}, 3))[lane] == all_here[5:]
    assert await journal.scheduling.due_in_s() > 0
    # What has left that lane meanwhile stays unchanged.
    assert await journal.scheduling.leave_lanes(all_here[1:3], [lane, Lane("y>example.com", tenant)]) == 1
    assert await leased(journal, 2) == all_here[1:2]
    assert (await journal.scheduling.parked_in({lane: LANE_START}, 10))[lane] == [all_here[0], *all_here[2:]]


@pytest.mark.parametrize("by", ["an owner", "the scheduler"])
async def test_a_recipient_that_ends_in_a_lane_has_left_it(journal: Journal, by: str) -> None:
    tenant = await a_tenant(journal)
    message = a_message("ada@example.com", "bob@example.org")
    await journal.intake.accept([a_request(tenant, message)])
    await journal.scheduling.page_in(10, 600, each(lambda w: w.domain))
    ada, bob = waiting(tenant, message)
    await journal.queue.commit([an_outcome(bob, Status.FAILED, sole_recipient=False)], owner=1)

    if by == "an owner":
        lane = Lane("example.org", tenant)
        assert (await journal.scheduling.lease_from_lanes({lane: 5}, 5, owner=1, lease_s=60)).leased == []
    else:
        await journal.scheduling.empty_lane("example.org", 5)
        assert await leased(journal, 1) == []
    assert await journal.queue.claim([bob], owner=1, lease_s=60) == []
    # All have ended, and none of them twice.
    await journal.queue.commit([an_outcome(ada, Status.FAILED, sole_recipient=False)], owner=1)
    assert await status(journal, tenant, message) is Status.FAILED


async def test_what_has_ended_in_a_lane_before_the_upgrade_leaves_it(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    message = a_message("ada@example.com", "bob@example.org")
    await journal.intake.accept([a_request(tenant, message)])
    _, bob = waiting(tenant, message)
    await journal.queue.commit([an_outcome(bob, Status.FAILED, sole_recipient=False)], owner=1)
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("UPDATE deliveries SET lane = domain, due_at = now() WHERE status = 'failed'")
        await connection.execute("UPDATE deliveries SET lane = domain WHERE status = 'queued'")
        await connection.execute("DELETE FROM migrations WHERE name = '0010_ended_in_lanes.sql'")
    assert await migrate(journal_dsn) == ["0010_ended_in_lanes.sql"]
    assert await journal.scheduling.lanes() == [Lane("example.com", tenant)]
    assert [w.domain for w in await leased(journal, 1)] == ["example.com"]


async def test_a_message_is_read_whose_one_recipient_has_it_and_whose_other_waits_in_a_lane(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message("ada@example.com", "bob@example.org")
    await journal.intake.accept([a_request(tenant, message)])
    ada, bob = waiting(tenant, message)
    await journal.queue.claim([ada, bob], owner=1, lease_s=60)
    now = datetime.now(UTC)
    ends = [
        an_outcome(ada, Status.DELIVERED, sole_recipient=False),
        an_outcome(bob, Status.QUEUED, sole_recipient=False, due_at=now),
    ]
    await journal.queue.commit(ends, owner=1)
    await journal.scheduling.page_in(10, 600, each(lambda w: w.domain))
    row = await journal.messages.find(tenant, message.id)
    assert row is not None
    assert (row.status, row.next_retry_at) == (Status.QUEUED, None)
