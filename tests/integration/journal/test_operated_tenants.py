"""What operators do with tenants in the journal: names, suspension and what waits during it, deletion."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cluster.journal.journal import Journal
from cluster.journal.tenants import Deletion, NameTaken
from cluster.tenancy.tenant import AFTER_SUSPENSION
from tests.integration.journal.builders import a_message, a_request, a_tenant, each
from tests.integration.journal.stored import sql


async def test_one_of_many_gets_a_name(journal: Journal) -> None:
    made = await asyncio.gather(*[a_tenant(journal) for _ in range(4)], return_exceptions=True)
    assert sorted(isinstance(one, NameTaken) for one in made) == [False, True, True, True]
    other = await a_tenant(journal, "other")
    with pytest.raises(NameTaken):
        await journal.tenants.rename(other, "acme")
    renamed = await journal.tenants.rename(other, "other")
    assert renamed is not None and renamed.name == "other"
    assert await journal.tenants.rename("tnt_none", "x") is None


async def test_a_name_that_two_tenants_have_from_before_is_given_to_no_third(
    journal: Journal, journal_dsn: str
) -> None:
    first, third = await a_tenant(journal), await a_tenant(journal, "third")
    await sql(journal_dsn, "INSERT INTO tenants (id, name, is_name_shared) VALUES ('tnt_second', 'acme', true)")
    assert await journal.tenants.named("acme") == first
    assert [one.id for one in await journal.tenants.page("", 10, "acme")] == [first, "tnt_second"]
    # Also when the first one no longer has it.
    await journal.tenants.rename(first, "first")
    with pytest.raises(NameTaken):
        await a_tenant(journal)
    with pytest.raises(NameTaken):
        await journal.tenants.rename(third, "acme")
    await journal.tenants.rename("tnt_second", "second")
    await a_tenant(journal)
    with pytest.raises(NameTaken):
        await journal.tenants.rename("tnt_second", "acme")


async def test_pages_have_every_living_tenant_once(journal: Journal) -> None:
    ids = [await a_tenant(journal, name) for name in "abcde"]
    await journal.tenants.suspend(ids[1])
    assert await journal.tenants.delete(ids[1]) is Deletion.DELETED
    first = await journal.tenants.page("", 3)
    rest = await journal.tenants.page(first[-1].id, 3)
    assert [one.id for one in (*first, *rest)] == [ids[0], *ids[2:]]


async def test_a_suspension_is_one_at_every_site_until_it_is_resumed(journal: Journal) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    await journal.suspensions.suspend("", tenant_id, datetime.now(UTC) + timedelta(hours=1), "", "operator")
    suspended = await asyncio.gather(*[journal.tenants.suspend(tenant_id) for _ in range(3)])
    assert len({one.suspended_at for one in suspended if one}) == 1
    actions = [one.action for one in await journal.site_actions.latest(None, 10)]
    assert actions.count("suspended") == 2  # that of an hour, and one of three
    # Commands for sites do not end it, and it comes after the one that ends before it.
    await journal.suspensions.resume(None, None, "operator")
    await journal.suspensions.suspend("", tenant_id, datetime.now(UTC) + timedelta(hours=1), "", "operator")
    active = await journal.suspensions.active()
    assert [(one.site, one.tenant_id) for one in active] == [("", tenant_id)] * 2
    assert active[-1].until.year == 9999
    found = await journal.tenants.find(tenant_id)
    assert found is not None and found.is_suspended
    await journal.tenants.resume(tenant_id)
    assert [one.until.year for one in await journal.suspensions.active()] != [9999]
    found, untouched = await journal.tenants.find(tenant_id), await journal.tenants.find(other)
    assert found is not None and not found.is_suspended and found.tries_until is not None
    assert untouched is not None and untouched.tries_until is None
    assert await journal.tenants.suspend("tnt_none") is None


async def test_nothing_expires_during_a_suspension_and_a_day_after_it(journal: Journal, journal_dsn: str) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    batch_id = await journal.batches.create(tenant_id)
    late, others = a_message(), a_message()
    paused = a_message()
    await journal.intake.accept(
        [
            a_request(tenant_id, late),
            a_request(tenant_id, paused, batch_id=batch_id),
            a_request(other, others),
        ]
    )
    await journal.scheduled_sends.schedule(tenant_id, batch_id, "pause")
    await journal.tenants.suspend(tenant_id)

    async def expire() -> tuple[set[str], int]:
        """Let every lifetime end; returns what is parked after that, and how many ended."""
        await sql(
            journal_dsn,
            "UPDATE deliveries SET expires_at = now() - interval '1 s', due_at = now() - interval '1 s', lane = NULL",
        )
        seen: set[str] = set()

        def park(one: object) -> str:
            seen.add(getattr(one, "message_id", ""))
            return "example.com"

        page = await journal.scheduling.page_in(100, 60, each(park))
        return seen, page.expired

    assert await expire() == ({late.id}, 1)  # the other tenant's ended; what is paused stays where it is
    assert await expire() == ({late.id}, 0)
    await journal.tenants.resume(tenant_id)
    assert await expire() == ({late.id}, 0)
    found = await sql(
        journal_dsn,
        "SELECT expires_at - resumed_at, due_at = expires_at FROM deliveries JOIN tenants ON id = tenant_id",
    )
    assert found == [(AFTER_SUSPENSION, True)] * 2
    await sql(journal_dsn, "UPDATE tenants SET resumed_at = now() - interval '25 h' WHERE resumed_at IS NOT NULL")
    assert await expire() == (set(), 2)


async def test_only_a_suspended_tenant_with_nothing_unfinished_is_deleted(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant_id, message)])
    assert await journal.tenants.delete(tenant_id) is Deletion.NOT_SUSPENDED
    await journal.tenants.suspend(tenant_id)
    assert await journal.tenants.delete(tenant_id) is Deletion.UNFINISHED
    await journal.commands.cancel(tenant_id, message.id)
    results = await asyncio.gather(*[journal.tenants.delete(tenant_id) for _ in range(3)])
    assert sorted(map(str, results)) == ["None", "None", "deleted"]
    assert await journal.tenants.find(tenant_id) is None
    assert await journal.tenants.record(tenant_id) is None
    assert await journal.tenants.resume(tenant_id) is None
    assert await a_tenant(journal) != tenant_id  # the name is free
