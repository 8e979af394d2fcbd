"""What ends is counted once into the rates of its tenant; one over a limit is told of, and suspended where set."""

import asyncio

import pytest

from cluster.events import Delivered
from cluster.journal.journal import Journal
from cluster.journal.tenant_rates import OverRate
from cluster.policy.lifecycle import Status
from cluster.tenancy.rates import Rate, RateLimits
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, sent, waiting
from tests.integration.journal.stored import sql

LIMITS = RateLimits(bounces=0.1, complaints=0.003)
WHY = "11 % of the last 100 recipients bounced hard, more than the 10 % that is allowed"


async def count(journal: Journal, *, pause: bool = False) -> list[OverRate]:
    return await journal.tenant_rates.count(LIMITS, pause=pause)


async def told(journal: Journal) -> list[tuple[str, str, str]]:
    """The actions on tenants, the oldest first."""
    found = await journal.site_actions.latest(None, 100)
    return [(one.action, one.detail, one.made_by) for one in reversed(found) if one.tenant_id]


async def test_a_limit_that_is_passed_is_told_once(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    await sent(journal, tenant_id, 89, 10)
    assert await count(journal) == [], "99 are too few"
    await sent(journal, tenant_id, 0, 1)
    (found,) = await count(journal)
    assert (found.tenant_id, [str(one) for one in found.passed], found.is_paused) == (tenant_id, [WHY], False)
    await sent(journal, tenant_id, 0, 1)
    assert await count(journal) == []
    assert await told(journal) == [("bounce rate", WHY, "automation")]
    record = await journal.tenants.record(tenant_id)
    assert record is not None and record.suspended_at is None
    assert record.bounce_rate is not None and round(record.bounce_rate, 3) == round(12 / 101, 3)
    assert record.complaint_rate is None


@pytest.mark.parametrize("rounds", [(1000,), (600, 600)])
async def test_a_full_window_is_counted_beside_one_with_room(journal: Journal, rounds: tuple[int, ...]) -> None:
    full, other = await a_tenant(journal), await a_tenant(journal, "other")
    for ended in rounds:
        await sent(journal, full, ended, 0)
        await sent(journal, other, 99, 1)
        assert await count(journal) == []
    records = [await journal.tenants.record(id) for id in (full, other)]
    assert [one and one.bounce_rate for one in records] == [0.0, 0.01]


async def test_a_tenant_is_suspended_with_the_reason_and_resumed_with_a_new_count(journal: Journal) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    queued = a_message()
    await journal.intake.accept([a_request(tenant_id, queued)])
    await sent(journal, other, 100, 0)
    await sent(journal, tenant_id, 89, 11)
    (found,) = await count(journal, pause=True)
    assert found.is_paused and [one.rate for one in found.passed] == [Rate.BOUNCES]
    record, tenant = await journal.tenants.record(tenant_id), await journal.tenants.find(tenant_id)
    assert record is not None and record.suspended_at is not None and record.suspended_for == WHY
    assert tenant is not None and tenant.is_suspended and tenant.suspended_for == WHY
    (active,) = await journal.suspensions.active()
    assert (active.tenant_id, active.made_by, active.reason) == (
        tenant_id,
        "automation",
        f"the tenant is suspended: {WHY}",
    )
    assert await told(journal) == [("bounce rate", WHY, "automation"), ("suspended", WHY, "automation")]
    # What was being sent ends meanwhile: nothing more is told.
    await sent(journal, tenant_id, 0, 5)
    assert await count(journal, pause=True) == []
    await sent(journal, tenant_id, 0, 5)

    resumed = await journal.tenants.resume(tenant_id)
    assert resumed is not None and (resumed.suspended_at, resumed.suspended_for) == (None, "")
    assert resumed.bounce_rate is None
    assert await count(journal, pause=True) == []
    await sent(journal, tenant_id, 100, 0)
    assert await count(journal, pause=True) == []
    found_again = await journal.tenants.record(tenant_id)
    assert found_again is not None and found_again.suspended_at is None and found_again.bounce_rate == 0.0
    # It is told, and suspended, again when it bounces again.
    await sent(journal, tenant_id, 0, 20)
    (again,) = await count(journal, pause=True)
    assert again.is_paused and len(again.passed) == 1
    untouched = await journal.tenants.record(other)
    assert untouched is not None and untouched.suspended_at is None and untouched.bounce_rate == 0.0


async def test_a_tenants_own_answer_comes_before_the_settings(journal: Journal) -> None:
    spared, strict = await a_tenant(journal, "spared"), await a_tenant(journal, "strict")
    record = await journal.tenants.set_pausing(spared, False)
    assert record is not None and record.pause_over_rates is False
    await sent(journal, spared, 0, 100)
    assert [one.is_paused for one in await count(journal, pause=True)] == [False]
    await sent(journal, strict, 0, 100)
    assert [one.is_paused for one in await count(journal)] == [False]
    # Set while it is over its limit: with the next recipient.
    await journal.tenants.set_pausing(strict, True)
    await sent(journal, strict, 0, 1)
    (found,) = await count(journal)
    assert (found.tenant_id, found.passed, found.is_paused) == (strict, [], True)
    assert [action for action, *_ in await told(journal)] == ["bounce rate", "bounce rate", "suspended"]
    assert await journal.tenants.set_pausing("tnt_none", True) is None


async def test_an_operators_suspension_stays_the_operators(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    await journal.tenants.suspend(tenant_id)
    await sent(journal, tenant_id, 0, 100)
    (found,) = await count(journal, pause=True)
    assert found.passed and not found.is_paused
    record = await journal.tenants.record(tenant_id)
    assert record is not None and record.suspended_for == ""


async def test_each_recipient_of_a_message_counts(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    message = a_message("a@example.com", "b@example.com", "c@example.com")
    await journal.intake.accept([a_request(tenant_id, message)])
    due = waiting(tenant_id, message)
    await journal.queue.claim(due, owner=1, lease_s=60)
    statuses = (Status.DELIVERED, Status.BOUNCED, Status.FAILED)
    ends = [an_outcome(one, status, sole_recipient=False) for one, status in zip(due, statuses, strict=True)]
    await journal.queue.commit(ends, owner=1)
    found = await sql(journal_dsn, "SELECT ended, hard, delivered FROM tenant_ends")
    assert found == [(2, 1, 1)], "what was not tried does not count"


async def test_every_end_counts_once_however_many_count(journal: Journal, journal_dsn: str) -> None:
    tenants = [await a_tenant(journal, name) for name in "abc"]
    other = Journal(journal_dsn, application="another process", connections=4)
    await other.open()
    try:

        async def sending(journal: Journal) -> None:
            for _ in range(5):
                for tenant_id in tenants:
                    await sent(journal, tenant_id, 3, 1)

        async def counting() -> None:
            for _ in range(20):
                await count(other)

        await asyncio.gather(sending(journal), sending(other), counting(), counting())
        await count(journal)
    finally:
        await other.close()
    found = await sql(journal_dsn, "SELECT ended, hard, delivered FROM tenant_rates")
    assert found == [(40, 10, 30)] * 3
    assert await sql(journal_dsn, "SELECT * FROM tenant_ends") == []


@pytest.mark.parametrize("recipients", [1, 2])
@pytest.mark.parametrize("window_s", [0.0, 60.0])
async def test_a_commit_that_is_repeated_counts_once(
    journal: Journal, journal_dsn: str, recipients: int, window_s: float
) -> None:
    """Its answer was lost, or the ledger tells of it again."""
    tenant_id = await a_tenant(journal)
    messages = [a_message(*[f"{n}@example.com" for n in range(recipients)]) for _ in range(2)]
    await journal.intake.accept([a_request(tenant_id, *messages)])
    due = [one for message in messages for one in waiting(tenant_id, message)]
    claimed = await journal.queue.claim(due, owner=1, lease_s=60)
    # Both recipients of a message bounce, or neither does.
    bounced = {messages[0].id}
    ends = [
        an_outcome(
            one,
            Status.BOUNCED if one.message_id in bounced else Status.DELIVERED,
            sole_recipient=recipients == 1,
        )
        for one in due
    ]
    for _ in range(3):
        await journal.queue.commit(ends, owner=1, window_s=window_s)
    accepted = [(outcome, event) for outcome, event in ends if isinstance(event, Delivered)]
    await journal.queue.settle(accepted)
    assert len(claimed) == 2 * recipients
    counted = await sql(journal_dsn, "SELECT ended, hard, delivered FROM tenant_ends")
    assert counted == [(2 * recipients, recipients, recipients)]


async def test_a_deleted_tenant_has_no_rates(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    await sent(journal, tenant_id, 0, 100)
    await journal.tenants.suspend(tenant_id)
    await journal.tenants.delete(tenant_id)
    assert await count(journal) == []
    assert await sql(journal_dsn, "SELECT * FROM tenant_rates") == []
