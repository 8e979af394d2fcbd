"""What is left of a batch and how old the queue is, against a real Postgres."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cluster.journal import batches
from cluster.journal.batches import BatchLeft
from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueMark
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, each, leased


def shown(left: BatchLeft) -> Counter[tuple[str, str, str | None]]:
    return Counter({(group.domain, group.waits_for, group.lane): group.count for group in left.groups if group.count})


async def a_batch(journal: Journal, tenant: str, *emails: str, send_at: datetime | None = None) -> str:
    batch_id = await journal.batches.create(tenant)
    messages = [a_message(email, send_at=send_at) for email in emails]
    await journal.intake.accept([a_request(tenant, *messages, batch_id=batch_id)])
    return batch_id


@pytest.mark.parametrize("looked_at", [100, 1])
async def test_what_is_left_by_where_it_goes_and_what_it_waits_for(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    """Counted one by one, and by a sample that is the whole queue."""
    monkeypatch.setattr(batches, "LOOKED_AT", looked_at)
    tenant = await a_tenant(journal)
    batch_id = await a_batch(journal, tenant, "a@one.example", "b@one.example", "c@two.example")
    other = await a_batch(journal, tenant, "d@one.example")
    at = datetime.now(UTC) + timedelta(hours=3)
    later = await a_batch(journal, tenant, "e@one.example", send_at=at)

    left = await journal.batches.left(tenant, batch_id, 3)
    assert shown(left) == {("one.example", "turn", None): 2, ("two.example", "turn", None): 1}
    assert left.seen is None
    assert {len(group.message_ids) for group in left.groups} == {1, 2}
    (scheduled,) = (await journal.batches.left(tenant, later, 3)).groups
    assert (scheduled.waits_for, scheduled.count) == ("scheduled", 1)
    assert abs((scheduled.last_due_at - at).total_seconds()) < 1

    await journal.scheduling.page_in(10, 600, each(lambda waiting: "two.example" if "two" in waiting.domain else 1))
    assert shown(await journal.batches.left(tenant, batch_id, 3)) == {
        ("one.example", "turn", None): 2,
        ("two.example", "turn", "two.example"): 1,
    }
    await journal.scheduled_sends.schedule(tenant, other, "pause")
    assert shown(await journal.batches.left(tenant, other, 3)) == {("one.example", "paused", None): 1}
    assert shown(await journal.batches.left(tenant, "bat_unknown", 3)) == {}


async def test_a_part_of_a_long_queue_is_scaled_up(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LOOKED_AT", 1)
    monkeypatch.setattr(batches, "SAMPLED", 500)
    tenant = await a_tenant(journal)
    batch_id = await a_batch(journal, tenant, *(f"u{number}@one.example" for number in range(4000)))
    await a_batch(journal, tenant, *(f"v{number}@two.example" for number in range(1000)))
    await journal.queue.count_backlog()
    found: list[int] = []
    for _ in range(20):
        left = await journal.batches.left(tenant, batch_id, 4000)
        assert left.seen is not None
        found.append(sum(group.count for group in left.groups))
        assert {group.domain for group in left.groups} <= {"one.example"}
    assert 2000 < sum(found) / len(found) < 6000


async def ages(
    journal: Journal, bounds: Sequence[datetime], tenant_id: str | None = None, size: int = 100
) -> dict[tuple[str, int], tuple[int, int]]:
    found: Counter[tuple[str, int]] = Counter()
    tried: Counter[tuple[str, int]] = Counter()
    mark: QueueMark | None = QueueMark()
    while mark is not None:
        part = await journal.queue_control.ages_of_part(bounds, tenant_id, mark, size)
        for one in part.found:
            found[one.domain, one.age] += one.count
            tried[one.domain, one.age] += one.tried
        mark = part.next
    return {key: (count, tried[key]) for key, count in found.items()}


async def test_how_old_what_waits_is(journal: Journal) -> None:
    assert (await journal.queue.ages()).oldest_at is None
    before = datetime.now(UTC) - timedelta(minutes=1)
    tenant, other = await a_tenant(journal), await a_tenant(journal, "other")
    await a_batch(journal, tenant, "a@one.example", "b@one.example", "c@two.example")
    await a_batch(journal, other, "d@one.example")
    after = datetime.now(UTC) + timedelta(minutes=1)
    newest = {("one.example", 1): (3, 0), ("two.example", 1): (1, 0)}
    assert await ages(journal, [before, after]) == newest
    assert await ages(journal, [before, after], size=1) == newest
    assert await ages(journal, [after]) == {("one.example", 0): (3, 0), ("two.example", 0): (1, 0)}
    assert await ages(journal, [before], tenant) == {("one.example", 1): (2, 0), ("two.example", 1): (1, 0)}
    stands = await journal.queue.ages()
    assert stands.oldest_at is not None and before < stands.oldest_at < after
    assert stands.overdue_s >= 0.0


async def test_what_was_put_off(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch_id = await a_batch(journal, tenant, "a@one.example")
    due = datetime.now(UTC) + timedelta(minutes=5)
    (waiting,) = await leased(journal, 1)
    await journal.queue.claim([waiting], owner=1, lease_s=60)
    await journal.queue.commit([an_outcome(waiting, Status.QUEUED, due_at=due)], owner=1)
    (group,) = (await journal.batches.left(tenant, batch_id, 1)).groups
    assert (group.waits_for, group.last_due_at) == ("deferred", due)
    assert list((await ages(journal, [])).values()) == [(1, 1)]
