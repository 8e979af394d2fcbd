"""What endpoints are owed is posted, again if need be, and settled in the journal."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from actors.webhooks.halving import MOST_PARTS
from cluster.events import WebhookAttempt, WebhookDisabled, decode_row
from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
from cluster.webhooks.bundles import decode_event, joined, split_bundle
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.world import Hook, an_endpoint, answering, logged, posting, query, served, some_events


async def slowly_taken(_: web.Request) -> web.Response:
    await asyncio.sleep(0.02)
    return web.Response()


QUICK = WebhookSettings(retry_schedule_s=(0.2,))


async def test_events_are_posted_one_by_one_and_each_attempt_is_logged(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hook.answer = slowly_taken
    async with served(hook), posting(journal) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        ids = await world.tell(endpoint, some_events(tenant, 50))
        await world.until_nothing_waits(endpoint)
        standing = await world.standing(endpoint)
    assert sorted(hook.event_ids) == sorted(ids)
    assert len(hook.posts) == 50
    assert 1 < hook.most_running <= 32
    assert (standing.posted, standing.last_status, standing.failures) == (50, 200, 0)
    assert standing.rate > 0
    attempts = await logged(journal)
    assert sorted(one.event_ids[0] for one in attempts if isinstance(one, WebhookAttempt)) == sorted(ids)
    one = attempts[0]
    assert isinstance(one, WebhookAttempt)
    assert (one.attempt, one.status, one.tenant_id, one.webhook_id, one.url) == (1, 200, tenant, endpoint.id, hook.url)


async def test_a_batching_endpoint_gets_arrays_of_what_came_within_half_a_second(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), posting(journal) as world:
        endpoint = an_endpoint(tenant, hook.url, is_batch=True)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        began = time.monotonic()
        ids = []
        for _ in range(4):
            ids += await world.tell(endpoint, some_events(tenant, 5))
            await asyncio.sleep(0.05)
        await world.until_nothing_waits(endpoint)
        assert [[event["event_id"] for event in post] for post in hook.posts] == [ids]
        assert 0.4 < hook.at[0] - began < 1.5
        # A thousand need not wait for more.
        more = await world.tell(endpoint, some_events(tenant, 2500))
        await world.until_nothing_waits(endpoint)
    assert sorted(hook.event_ids) == sorted(ids + more)
    assert max(map(len, hook.posts)) <= 1000


async def test_what_failed_is_posted_again_with_the_same_ids(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    refused: set[str] = set()

    async def once_refused(request: web.Request) -> web.Response:
        id = hook.posts[-1]["event_id"]
        if id in refused:
            return web.Response()
        refused.add(id)
        return web.Response(status=500, text="no")

    hook.answer = once_refused
    async with served(hook), posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        ids = await world.tell(endpoint, some_events(tenant, 3))
        await world.until_nothing_waits(endpoint)
    assert sorted(hook.event_ids) == sorted(ids * 2)
    attempts = [one for one in await logged(journal) if isinstance(one, WebhookAttempt)]
    for id in ids:
        assert [(one.attempt, one.status) for one in attempts if one.event_ids == (id,)] == [(1, 500), (2, 200)]
    assert next(one for one in attempts if one.status == 500).answer_body == "no"


async def test_a_failing_endpoint_gets_one_post_at_a_time_and_all_at_once_when_it_works(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hook.answer = slowly_taken
    async with served(hook), posting(journal, WebhookSettings(retry_schedule_s=(0.6, 0.6, 30.0))) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 100))
        await world.until_nothing_waits(endpoint)
        assert hook.most_running > 5
        hook.posts.clear()
        hook.at.clear()
        hook.answer = answering(503)
        ids = await world.tell(endpoint, some_events(tenant, 100))
        standing = await world.until(lambda standing: standing.failures >= 4, endpoint)
        assert standing.waiting == 100
        assert standing.last_error == "answered 503"
        # Those that ran together at first count as one; then each is alone.
        alone = hook.at[-2:]
        assert alone[1] - alone[0] >= 0.5
        assert len(hook.posts) <= 32 + 4
        hook.answer = answering(200)
        began = time.monotonic()
        await world.until_nothing_waits(endpoint)
        assert time.monotonic() - began < 10, "nothing waits for its own time when the endpoint works again"
    assert set(hook.event_ids) == set(ids)


async def test_ten_failures_over_an_hour_disable_an_endpoint_until_it_is_revived(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hook.answer = answering(500)
    async with served(hook), posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, hook.url, is_batch=True)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        ids = await world.tell(endpoint, some_events(tenant, 20))
        await world.until(lambda standing: standing.failures >= 11, endpoint)
        assert (await world.standing(endpoint)).disabled_at is None, "an outage of a moment disables nothing"
        hour_ago = datetime.now(UTC) - timedelta(minutes=61)
        await query(journal, "UPDATE webhook_states SET failed_since = %s", hour_ago)
        standing = await world.until(lambda standing: standing.disabled_at is not None, endpoint)
        assert "posts in a row failed" in standing.disabled_reason
        told = [one for one in await logged(journal) if isinstance(one, WebhookDisabled)]
        assert [(one.webhook_id, one.tenant_id, one.url) for one in told] == [
            (endpoint.id, tenant, hook.url.rpartition("/")[0])
        ], "others see no path, which may be a secret"
        hook.answer = answering(200)
        seen = len(hook.posts)
        await world.tell(endpoint, some_events(tenant, 5))
        await asyncio.sleep(1.5)
        assert len(hook.posts) == seen, "nothing is posted to a disabled endpoint"
        await journal.webhooks.revive(endpoint.id)
        await world.until_nothing_waits(endpoint)
    assert set(ids) < set(hook.event_ids)


async def test_410_disables_at_once(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hook.answer = answering(410)
    async with served(hook), posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 20))
        standing = await world.until(lambda standing: standing.disabled_at is not None, endpoint)
        assert standing.disabled_reason == "answered 410 Gone"
        await asyncio.sleep(0.5)
        assert len(hook.posts) == 1
        assert (await world.standing(endpoint)).waiting == 20


async def test_retry_after_is_honoured(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hook.answer = answering(429, Retry_After="2")
    async with served(hook), posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 10))
        await world.until(lambda standing: standing.failures == 1, endpoint)
        hook.answer = answering(200)
        await world.until_nothing_waits(endpoint)
        assert hook.at[1] - hook.at[0] >= 1.9


async def test_what_is_paused_waits(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await journal.webhooks.change(tenant, endpoint.id, lambda one: replace(one, is_paused=True))
        await world.known.refresh()
        ids = await world.tell(endpoint, some_events(tenant, 10))
        await asyncio.sleep(1.2)
        assert hook.posts == []
        await journal.webhooks.change(tenant, endpoint.id, lambda one: replace(one, is_paused=False))
        await world.until_nothing_waits(endpoint)
    assert sorted(hook.event_ids) == sorted(ids)


async def test_the_next_life_posts_what_the_last_one_held(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hanging = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await hanging.wait()
        return web.Response()

    hook.answer = hang
    async with served(hook):
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        async with posting(journal) as world:
            ids = await world.tell(endpoint, some_events(tenant, 10))
            await world.until(lambda _: bool(hook.posts), endpoint)
        hook.answer = answering(200)
        async with posting(journal) as world:
            await world.until_nothing_waits(endpoint)
        hanging.set()
    assert set(hook.event_ids) == set(ids)


async def test_an_endpoint_that_is_removed_while_it_is_posted_to_is_forgotten(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hanging = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await hanging.wait()
        return web.Response(status=500)

    hook.answer = hang
    async with served(hook), posting(journal) as world:
        endpoint = an_endpoint(tenant, hook.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 10))
        await world.until(lambda _: bool(hook.posts), endpoint)
        await journal.webhooks.remove(tenant, endpoint.id)
        hanging.set()
        async with asyncio.timeout(5):
            while not await logged(journal):
                await asyncio.sleep(0.02)
        assert world.posting.problem() is None


async def test_rows_of_the_log_are_bounded(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), posting(journal) as world:
        endpoint = an_endpoint(tenant, hook.url, is_batch=True)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        ids = await world.tell(endpoint, some_events(tenant, 20_000))
        await world.until_nothing_waits(endpoint)
    rows = await query(journal, "SELECT events FROM event_log ORDER BY tx, id")
    told = [[one.event_ids for one in decode_row(data) if isinstance(one, WebhookAttempt)] for (data,) in rows]
    assert max(sum(map(len, row)) for row in told) < 6000
    assert sorted(id for row in told for some in row for id in some) == sorted(ids)


@pytest.mark.parametrize("status", [410, 500])
async def test_what_an_old_url_answers_tells_nothing_of_the_new_one(journal: Journal, status: int) -> None:
    old, new, tenant = Hook(), Hook(), await a_tenant(journal)
    hanging = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await hanging.wait()
        return web.Response(status=status)

    old.answer = hang
    async with served(old, new), posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, old.url)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        ids = await world.tell(endpoint, some_events(tenant, 1))
        await world.until(lambda _: bool(old.posts), endpoint)
        moved = replace(endpoint, url=new.url, updated_at=endpoint.updated_at + timedelta(seconds=1))
        await journal.webhooks.change(tenant, endpoint.id, lambda _: moved)
        await journal.webhooks.revive(endpoint.id)
        hanging.set()
        await world.until_nothing_waits(endpoint)
        standing = await world.standing(endpoint)
        assert (standing.failures, standing.disabled_at, standing.last_status) == (0, None, 200)
    assert new.event_ids == ids
    assert [one.status for one in await logged(journal) if isinstance(one, WebhookAttempt)] == [status, 200]
    assert not any(isinstance(one, WebhookDisabled) for one in await logged(journal))


async def test_an_event_that_an_endpoint_refuses_does_not_keep_back_others(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    events = some_events(tenant, 700)
    poison = {events[123].event.id, events[600].event.id}

    async def picky(_: web.Request) -> web.Response:
        return web.Response(status=422 if poison & {event["event_id"] for event in hook.posts[-1]} else 200)

    hook.answer = picky
    async with served(hook), posting(journal, WebhookSettings(retry_schedule_s=(30.0,))) as world:
        endpoint = an_endpoint(tenant, hook.url, is_batch=True)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, events)
        standing = await world.until(lambda standing: standing.waiting == 2, endpoint)
        assert standing.failures == 0, "the endpoint takes what it can"
        assert standing.posted == 698
        assert len(hook.posts) <= MOST_PARTS + 1
        waiting = await query(journal, "SELECT events, attempts FROM webhook_bundles ORDER BY id")
        left = {decode_event(one).event.id for data, _ in waiting for one in split_bundle(bytes(data))}
        assert left == poison and {attempts for _, attempts in waiting} == {1}
    told = [one for one in await logged(journal) if isinstance(one, WebhookAttempt)]
    assert len(told) == len(hook.posts), "each post is shown to its owner"


async def test_an_endpoint_that_refuses_everything_gets_a_few_posts_only(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    hook.answer = answering(400)
    async with served(hook), posting(journal, WebhookSettings(retry_schedule_s=(30.0,))) as world:
        endpoint = an_endpoint(tenant, hook.url, is_batch=True)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 900))
        standing = await world.until(lambda standing: standing.failures > 0, endpoint)
        assert (standing.failures, standing.waiting) == (1, 900)
        assert len(hook.posts) <= 14


async def test_an_event_without_a_body_does_not_keep_back_others(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    events = some_events(tenant, 20)
    async with served(hook), posting(journal, WebhookSettings(retry_schedule_s=(30.0,))) as world:
        endpoint = an_endpoint(tenant, hook.url, is_batch=True)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        stored = [
            msgspec.Raw(b"\x80") if number == 7 else msgspec.Raw(msgspec.msgpack.encode(event))
            for number, event in enumerate(events)
        ]
        await query(
            journal,
            "INSERT INTO webhook_bundles (webhook_id, events, count) VALUES (%s, %s, 20)",
            endpoint.id,
            joined(stored),
        )
        standing = await world.until(lambda standing: standing.waiting == 1, endpoint)
        assert standing.failures == 0, "it is no fault of the endpoint"
    assert sorted(hook.event_ids) == sorted(one.event.id for one in events if one is not events[7])


async def test_whatever_bytes_an_answer_has_it_is_settled(journal: Journal) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX\0\xff: \0\r\n\r\n")
        await writer.drain()
        writer.close()

    tenant = await a_tenant(journal)
    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    async with server, posting(journal, QUICK) as world:
        endpoint = an_endpoint(tenant, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret")
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 1))
        standing = await world.until(lambda standing: standing.failures > 0, endpoint)
    assert "not HTTP" in standing.last_error
    assert "secret" not in standing.last_error
