"""Endpoints that misbehave hold up no other, and take no memory."""

import asyncio
import time

import psutil
import pytest
from aiohttp import web

from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
from cluster.webhooks.endpoints import Endpoint
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.world import (
    Hook,
    PostingWorld,
    an_endpoint,
    answering,
    owe,
    posting,
    query,
    served,
    some_events,
)

ENDPOINTS = 200
ROUNDS = 12
ROUND_S = 0.5
EVENTS = 2
LATEST_S = 1.0
MOST_GROWTH = 32 * 1024**2


async def hanging(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def a_byte_a_second(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(3600):
        await response.write(b"x")
        await asyncio.sleep(1)
    return response


async def rounds(
    world: PostingWorld, hooks: list[Hook], endpoints: list[Endpoint], tenant: str, count: int
) -> list[float]:
    """Owe each endpoint events again and again; returns the seconds from each to its endpoint, except for the first
    four endpoints."""
    late: list[float] = []
    for number in range(count):
        told = []
        for endpoint in endpoints:
            await world.tell(endpoint, some_events(tenant, EVENTS))
            told.append(time.monotonic())
        for hook, at in zip(hooks[4:], told[4:], strict=True):
            async with asyncio.timeout(10):
                while len(hook.posts) < (number + 1) * EVENTS:
                    await asyncio.sleep(0.01)
            late += [came - at for came in hook.at[-EVENTS:]]
        await asyncio.sleep(max(0.0, ROUND_S - (time.monotonic() - told[-1])))
    return late


async def test_of_200_endpoints_four_misbehave_and_the_others_do_not_notice(journal: Journal) -> None:
    hooks = [Hook() for _ in range(ENDPOINTS)]
    async with served(*hooks), posting(journal, WebhookSettings(timeout_s=3.0, retry_schedule_s=(1.0,))) as world:
        hooks[0].answer, hooks[1].answer = hanging, a_byte_a_second
        hooks[2].answer, hooks[3].answer = answering(500), answering(302, Location=hooks[3].url)
        tenant = await a_tenant(journal)
        endpoints = [an_endpoint(tenant, hook.url) for hook in hooks]
        for endpoint in endpoints:
            await journal.webhooks.add(endpoint, ENDPOINTS)
        await world.known.refresh()
        # What the misbehaving ones already have waiting is much more than they may hold in memory.
        for endpoint in endpoints[:4]:
            await world.tell(endpoint, some_events(tenant, 20_000))
        process = psutil.Process()
        before = process.memory_info().rss
        late = await rounds(world, hooks, endpoints, tenant, ROUNDS)
        growth = process.memory_info().rss - before
        standings = await journal.webhooks.standings([endpoint.id for endpoint in endpoints])
    assert len(late) == (ENDPOINTS - 4) * EVENTS * ROUNDS
    assert max(late) < LATEST_S
    assert growth < MOST_GROWTH
    shown = [standings[endpoint.id] for endpoint in endpoints]
    assert "no answer within 3 s" in shown[0].last_error
    assert shown[1].last_status == 200 and shown[1].posted > 0, "an answer is a success when its head came"
    assert (shown[2].last_error, shown[3].last_status) == ("answered 500", 302)
    assert all(one.waiting >= 20_000 for one in (shown[0], shown[2], shown[3]))
    assert len(hooks[2].posts) < 100, "one that fails is probed, not flooded"
    assert all(one.posted == ROUNDS * EVENTS and one.failures == 0 for one in shown[4:])


async def test_what_endpoints_lease_together_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many become due at the same time: beyond the bound each has one bundle."""
    most, count = 400_000, 20
    monkeypatch.setattr("actors.webhooks.posting.MOST_LEASED_BYTES", most)
    hooks = [Hook() for _ in range(count)]
    async with served(*hooks):
        tenant = await a_tenant(journal)
        endpoints = [an_endpoint(tenant, hook.url, is_batch=True) for hook in hooks]
        for hook, endpoint in zip(hooks, endpoints, strict=True):
            hook.answer = hanging
            await journal.webhooks.add(endpoint, count)
            for _ in range(10):
                await owe(journal, endpoint, some_events(tenant, 50))
        async with posting(journal, WebhookSettings(timeout_s=3.0)) as world:
            async with asyncio.timeout(10):
                while not all(hook.posts for hook in hooks):
                    await asyncio.sleep(0.01)
            ((size,),) = await query(journal, "SELECT max(octet_length(events)) FROM webhook_bundles")
            held = sum([line.held_bytes for line in world.posting._lines.values()])
    assert size > 10_000
    assert held < most + count * size
