"""What endpoints are owed is posted, again if need be, and settled in the journal."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from aiohttp import web
from msgspec.structs import replace

from cluster.events import WebhookAttempt, WebhookDisabled, decode_row
from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
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
        assert [(one.webhook_id, one.tenant_id, one.url) for one in told] == [(endpoint.id, tenant, hook.url)]
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
