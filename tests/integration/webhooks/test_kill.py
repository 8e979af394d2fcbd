"""SIGKILL at any moment loses no event and changes no id."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from cluster.journal.journal import Journal
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.world import Hook, an_endpoint, owe, query, served, some_events

ROOT = Path(__file__).parents[3]
KILLS = 6
LONGEST_S = 60.0


@asynccontextmanager
async def a_life(dsn: str) -> AsyncIterator[None]:
    """A process that posts, killed at the end."""
    command = (sys.executable, "-m", "tests.integration.webhooks.posting_process", dsn)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"posting\n"
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
            async with a_life(journal_dsn), asyncio.timeout(LONGEST_S):
                while len(hook.posts) < seen + (1 if is_batch else chance.randrange(1, 50)):
                    await asyncio.sleep(0.005)
                # Before the answer, before the outcome is in the journal, or after it.
                await asyncio.sleep(chance.random() * 0.06)
        async with a_life(journal_dsn), asyncio.timeout(LONGEST_S):
            while await query(journal, "SELECT id FROM webhook_bundles"):
                await asyncio.sleep(0.1)
    assert set(hook.event_ids) == owed
    assert len(hook.event_ids) > len(owed), "what was posted and not settled came again"
