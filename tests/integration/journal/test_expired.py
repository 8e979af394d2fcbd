"""What still works for messages whose bodies have gone, and what is erased while days are rewritten."""

import asyncio
from typing import Any

import pytest

from cluster.journal import rewriting
from cluster.journal.journal import Journal
from cluster.journal.records import Recipient, decode_personalization
from cluster.journal.rewriting import Rewriting
from cluster.policy.lifecycle import Status
from tests.integration.journal import erasing
from tests.integration.journal.builders import a_tenant
from tests.integration.journal.days import DAY, World, after
from tests.integration.journal.erasing import ADA, BOB
from tests.integration.journal.test_erasure import World as TenantErasing
from tests.integration.journal.test_mail_in import DELAY, failure, mail
from tests.integration.journal.test_partitions import TODAY


@pytest.fixture
async def world(journal: Journal, journal_dsn: str) -> World:
    return World(journal, journal_dsn, await a_tenant(journal))


async def test_late_reports_are_taken(world: World, clearing: Rewriting) -> None:
    delivered, delayed = await world.accept(2)
    await world.end([delivered, delayed])
    await clearing.clear(after(7))
    for id, effect, effects in ((delivered, failure(), "bounced"), (delayed, DELAY, "delayed")):
        found = await world.journal.mail_in.message(1, id)
        assert found is not None and found.dsn is None and not found.is_notice
        told = await world.journal.mail_in.take(mail(id.encode()), found, [effect])
        assert told is not None and told.endswith(effects)
    row = await world.journal.messages.find(world.tenant_id, delivered)
    assert row is not None and (row.status, row.content_expired) == (Status.BOUNCED, True)


async def test_operators_see_what_is_known(world: World, clearing: Rewriting) -> None:
    [id] = await world.accept()
    await world.end([id])
    before = await world.journal.fates.find(id)
    await clearing.clear(after(7))
    fate = await world.journal.fates.find(id)
    assert before is not None and fate is not None
    assert decode_personalization(fate.personalization).to == decode_personalization(before.personalization).to
    assert fate.status is Status.DELIVERED


async def test_erasing_mentions_passes_over_what_has_gone(
    journal: Journal, journal_dsn: str, clearing: Rewriting
) -> None:
    world = World(journal, journal_dsn, "")
    eraser = erasing.World(journal, journal_dsn)
    world.tenant_id = await a_tenant(journal)
    [id] = await world.accept(to_emails=(BOB,), subject=f"From {ADA}")
    await world.end([id])
    await clearing.clear(after(7))
    job = await eraser.ask(world.tenant_id, ADA)
    await eraser.sql("UPDATE erase_jobs SET created_at = created_at + interval '2 days'")  # the message is of tomorrow
    await eraser.to_end(job)
    row = await journal.messages.find(world.tenant_id, id)
    assert row is not None and row.content_expired and ADA not in row.subject


@pytest.mark.parametrize("days", [7, 30])
async def test_a_tenant_is_erased_while_days_are_rewritten(
    journal: Journal, journal_dsn: str, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """The eraser and the clearing run at the same time, in steps: nothing of the tenant comes back."""
    tenants = TenantErasing(journal, journal_dsn)
    tenant_id = await tenants.fill("acme")
    world = World(journal, journal_dsn, tenant_id)
    ids = await world.accept(50)
    await world.end(ids[:25])
    for id in ids[25:]:
        await journal.commands.cancel(tenant_id, id)
    await tenants.delete(tenant_id)
    copy_rows = rewriting._copy

    async def slowly(connection: Any, copy: Any, look: Any) -> None:
        await copy_rows(connection, copy, look)
        await asyncio.sleep(0.05)

    monkeypatch.setattr(rewriting, "_copy", slowly)

    async def erased() -> None:
        await tenants.read_log()
        while not await tenants.eraser.round():
            await tenants.read_log()

    await asyncio.gather(clearing.clear(after(days)), erased())
    assert set((await tenants.left(tenant_id)).values()) == {0}
    assert await world.sql("SELECT count(*) FROM messages") == [(0,)]


async def test_mail_flows_while_days_are_rewritten_again_and_again(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of the days that go are accepted, ended, failed and retried all the time: each has one end, or is
    unfinished and whole."""
    monkeypatch.setattr(rewriting, "CHANGES", 100)
    monkeypatch.setattr(rewriting, "BLOCKS", 2)
    monkeypatch.setattr(rewriting, "PAGE", 20)
    accepted: list[str] = []
    refused = 0
    stop = asyncio.Event()

    async def flow(number: int) -> None:
        nonlocal refused
        day = (TODAY, DAY)[number % 2]
        while not stop.is_set():
            ids = await world.accept(5, day=day, file=bytes([number]) * 32)
            accepted.extend(ids)
            await world.end(ids[:2])
            await world.end(ids[2:3], Status.FAILED)
            result = await world.journal.commands.retry(
                world.tenant_id, ids[2], [Recipient("u@example.com", "example.com")], 60
            )
            refused += result is None or not result.done
            await world.end(ids[3:4], Status.SENT, window_s=10**6)
            await asyncio.sleep(0.05)

    flows = [asyncio.create_task(flow(n)) for n in range(4)]
    rounds = 0
    try:
        for days in (7, 8, 30, 31, 32, 33):
            assert await clearing.clear(after(days)) is not None
            rounds += 1
            await asyncio.sleep(0.2)
    finally:
        stop.set()
        await asyncio.gather(*flows)
    assert rounds == 6 and refused
    unfinished = {id for (id,) in await world.sql("SELECT DISTINCT message_id FROM deliveries")}
    ended = {id for (id,) in await world.sql("SELECT message_id FROM outcomes")}
    kept = {id for (id,) in await world.sql("SELECT id FROM messages")}
    assert not unfinished & ended
    assert unfinished <= kept
    windows = {id for (id,) in await world.sql("SELECT message_id FROM report_windows")}
    for id in unfinished | windows:
        row = await world.journal.messages.find(world.tenant_id, id)
        assert row is not None and not row.content_expired
    orphans = await world.sql(
        "SELECT id FROM messages m WHERE NOT EXISTS (SELECT FROM requests r WHERE r.id = m.request_id)"
    )
    assert orphans == []
    assert {bytes([n]) * 32 for n in range(4)} <= {
        bytes(hash) for (hash,) in await world.sql("SELECT DISTINCT sha256 FROM attachments")
    }
