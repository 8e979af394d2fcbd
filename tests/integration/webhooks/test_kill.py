"""SIGKILL at any moment loses no event and changes no id."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from cluster.events import encode_batch
from cluster.ids import new_id
from cluster.journal.journal import Journal
from cluster.journal.webhook_replays import ReplayFilter
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks import builders
from tests.integration.webhooks.owing_process import FED, fed_id
from tests.integration.webhooks.world import Hook, an_endpoint, owe, query, served, some_events

ROOT = Path(__file__).parents[3]
KILLS = 6
LONGEST_S = 60.0


@asynccontextmanager
async def a_life(work: str, *arguments: str) -> AsyncIterator[None]:
    """A process that posts, or that owes, killed at the end."""
    command = (sys.executable, "-m", f"tests.integration.webhooks.{work}_process", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == f"{work}\n".encode()
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("is_batch", [False, True], ids=["single", "array"])
async def test_every_event_arrives_with_its_id_however_often_the_process_is_killed(
    journal: Journal, journal_dsn: str, is_batch: bool
) -> None:
    chance = random.Random(16)
    hook, tenant = Hook(), await a_tenant(journal)

    async def unreliable(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(chance.random() * 0.02)
        return web.Response(status=200 if chance.random() < 0.9 else 500)

    hook.answer = unreliable
    owed: set[str] = set()
    async with served(hook):
        endpoint = an_endpoint(tenant, hook.url, is_batch=is_batch)
        await journal.webhooks.add(endpoint, 1)
        for _ in range(KILLS):
            # Many small bundles: each is leased, settled and put back on its own.
            for _ in range(20):
                owed.update(await owe(journal, endpoint, some_events(tenant, 10)))
            seen = len(hook.posts)
            async with a_life("posting", journal_dsn), asyncio.timeout(LONGEST_S):
                while len(hook.posts) < seen + (1 if is_batch else chance.randrange(1, 50)):
                    await asyncio.sleep(0.005)
                # Before the answer, before the outcome is in the journal, or after it.
                await asyncio.sleep(chance.random() * 0.06)
        async with a_life("posting", journal_dsn), asyncio.timeout(LONGEST_S):
            while await query(journal, "SELECT id FROM webhook_bundles"):
                await asyncio.sleep(0.1)
    assert set(hook.event_ids) == owed
    assert len(hook.event_ids) > len(owed), "what was posted and not settled came again"


async def test_every_event_is_owed_once_however_often_the_process_is_killed_as_it_fans_out(
    journal: Journal, journal_dsn: str, tmp_path: Path
) -> None:
    chance = random.Random(16)
    tenant = await a_tenant(journal)
    webhook_ids = [await builders.an_endpoint(journal, tenant) for _ in range(2)]
    ids: list[str] = []
    killed_within = 0

    async def count(webhook_id: str) -> int:
        ((events,),) = await query(
            journal, "SELECT coalesce(sum(count), 0)::int FROM webhook_bundles WHERE webhook_id = %s", webhook_id
        )
        return int(events)

    for _ in range(KILLS):
        before = len(ids)
        for _ in range(60):
            # Rows of 100 KB: a page has a few of them, and all of them take longer than a life.
            events = [one.event for one in some_events(tenant, 300)]
            ids += [event.id for event in events]
            await query(journal, "INSERT INTO event_log (events) VALUES (%s)", encode_batch(events))
        async with a_life("owing", journal_dsn, str(tmp_path)), asyncio.timeout(LONGEST_S):
            while await count(webhook_ids[0]) <= before:
                await asyncio.sleep(0.005)
            # Of a page, and of the pause after it.
            await asyncio.sleep(chance.random() * 0.1)
        killed_within += await count(webhook_ids[0]) < len(ids)
    assert killed_within, "some were killed before they had done all"
    async with a_life("owing", journal_dsn, str(tmp_path)), asyncio.timeout(LONGEST_S):
        while await count(webhook_ids[1]) < len(ids):
            await asyncio.sleep(0.05)
    for webhook_id in webhook_ids:
        owed = await builders.owed(journal_dsn, webhook_id)
        assert [one.event.id for one in owed] == ids
        assert len({one.sequence for one in owed}) == len(ids)


async def test_a_replay_ends_with_each_event_once_however_often_the_process_is_killed(
    journal: Journal, journal_dsn: str, tmp_path: Path
) -> None:
    chance = random.Random(16)
    tenant = await a_tenant(journal)
    webhook_id = await builders.an_endpoint(journal, tenant)
    replay_id = new_id("rpl_")
    filters = ReplayFilter(message_id="msg_1")
    assert await journal.webhook_replays.add(tenant, webhook_id, replay_id, filters, datetime.now(UTC))

    async def found() -> int:
        replay = await journal.webhook_replays.of(tenant, webhook_id, replay_id)
        assert replay is not None
        return -1 if replay.finished_at is not None else replay.events

    for _ in range(KILLS):
        before = await found()
        async with a_life("owing", journal_dsn, str(tmp_path)), asyncio.timeout(LONGEST_S):
            while await found() == before:
                await asyncio.sleep(0.002)
            await asyncio.sleep(chance.random() * 0.02)
    assert await found() > 0, "it was killed in the middle"
    async with a_life("owing", journal_dsn, str(tmp_path)), asyncio.timeout(LONGEST_S):
        while await found() >= 0:
            await asyncio.sleep(0.05)
    owed = await builders.owed(journal_dsn, webhook_id)
    assert [one.event.id for one in owed] == [fed_id(number) for number in range(FED)]
    assert [one.sequence for one in owed] == list(range(FED))
