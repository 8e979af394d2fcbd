"""Replays of events, and what waits too long for an endpoint."""

from typing import Any

import psycopg
import pytest

from actors.webhooks.replaying import Replaying
from analytics.feed import FedEvent, FeedFilter, FeedPage
from cluster.events import Event
from cluster.ids import new_id
from cluster.journal.journal import Journal
from cluster.journal.webhook_replays import MOST_PENDING, ReplayFilter
from cluster.settings import WebhookSettings
from cluster.webhooks.known import KnownEndpoints
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.builders import an_endpoint, owed
from tests.unit.analytics.samples import bounced, delivered, processed
from tests.webhooks import NOW

EVENTS: list[Event] = [processed(1), delivered(2), bounced(3), delivered(4), delivered(5)]


class PagedFeed:
    """Answers for the recorder: the events in pages of two."""

    def __init__(self) -> None:
        self.asked: list[FeedFilter] = []

    async def call(self, actor: str, method: str, wanted: FeedFilter, after: str, limit: int) -> FeedPage:
        assert (actor, method) == ("recorder", "feed")
        self.asked.append(wanted)
        start = int(after or 0)
        some = [FedEvent(str(number), number, event) for number, event in enumerate(EVENTS)][start : start + 2]
        return FeedPage(some, str(start + len(some)), is_full=len(some) == 2)


@pytest.fixture
async def feed() -> PagedFeed:
    return PagedFeed()


async def replaying(journal: Journal, feed: PagedFeed, **settings: Any) -> Replaying:
    known = KnownEndpoints(journal)
    await known.refresh()
    return Replaying(journal, known, feed.call, WebhookSettings(**settings))


async def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def test_the_wanted_events_become_owed_once_with_their_ids(
    journal: Journal, journal_dsn: str, feed: PagedFeed
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id, events=frozenset(("delivered", "processed")))
    filters = ReplayFilter(first_ms=1, last_ms=9, events=("delivered", "bounce"), message_id="msg_1")
    replay_id = new_id("rpl_")
    assert await journal.webhook_replays.add(tenant_id, webhook_id, replay_id, filters, NOW)
    part = await replaying(journal, feed)
    # As if the process had ended after it read a page, and before it stored it.
    (pending,) = await journal.webhook_replays.pending()
    while await part.round():
        pass
    await journal.webhook_replays.advance(pending, [], "2", is_done=False)
    found = await owed(journal_dsn, webhook_id)
    assert [one.event.id for one in found] == [event.id for event in EVENTS if event is not EVENTS[2]]
    assert [one.sequence for one in found] == [0, 1, 3, 4]
    assert feed.asked[0] == FeedFilter(
        tenant_id=tenant_id, first_ms=1, last_ms=9, events=("delivered", "bounce"), message_id="msg_1"
    )
    replay = await journal.webhook_replays.of(tenant_id, webhook_id, replay_id)
    assert replay is not None and (replay.events, replay.filters) == (4, filters)
    assert replay.finished_at is not None


async def test_a_replay_rests_while_much_waits(
    journal: Journal, journal_dsn: str, feed: PagedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.journal.webhook_replays.MOST_WAITING", 2)
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    assert await journal.webhook_replays.add(tenant_id, webhook_id, new_id("rpl_"), ReplayFilter(), NOW)
    part = await replaying(journal, feed)
    assert await part.round()
    assert not await part.round()
    await rows(journal_dsn, "DELETE FROM webhook_bundles")
    assert await part.round()


async def test_an_endpoint_has_so_many_replays_and_no_more(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    added = [
        await journal.webhook_replays.add(tenant_id, webhook_id, new_id("rpl_"), ReplayFilter(), NOW)
        for _ in range(MOST_PENDING + 1)
    ]
    assert added == [True] * MOST_PENDING + [False]
    assert not await journal.webhook_replays.add("tnt_other", webhook_id, new_id("rpl_"), ReplayFilter(), NOW)


async def bundles(dsn: str, webhook_id: str, *ages_h: float, size: int = 1) -> None:
    for age_h in ages_h:
        await rows(
            dsn,
            f"INSERT INTO webhook_bundles (webhook_id, events, count, since) VALUES "
            f"('{webhook_id}', convert_to(repeat('x', {size}), 'UTF8'), 10, now() - interval '{age_h} hours')",
        )


async def test_what_waits_too_long_is_dropped_and_counted(journal: Journal, journal_dsn: str, feed: PagedFeed) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id, other = await an_endpoint(journal, tenant_id), await an_endpoint(journal, tenant_id)
    await bundles(journal_dsn, webhook_id, 80, 73, 71, 0)
    await bundles(journal_dsn, other, 1)
    await rows(journal_dsn, "UPDATE webhook_bundles SET lease = 1 WHERE since < now() - interval '79 hours'")
    await (await replaying(journal, feed)).sweep()
    standings = await journal.webhooks.standings([webhook_id, other])
    assert (standings[webhook_id].dropped, standings[webhook_id].waiting) == (10, 30)
    assert (standings[other].dropped, standings[other].waiting) == (0, 10)


async def test_of_too_much_the_oldest_is_dropped_and_of_one_tenant_only(
    journal: Journal, journal_dsn: str, feed: PagedFeed
) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    full, small = await an_endpoint(journal, tenant_id), await an_endpoint(journal, other)
    await bundles(journal_dsn, full, 3, 2, 1, size=400 * 1024)
    await bundles(journal_dsn, small, 50, size=400 * 1024)
    await (await replaying(journal, feed, keep_mb=1)).sweep()
    counts = dict(await rows(journal_dsn, "SELECT webhook_id, count(*) FROM webhook_bundles GROUP BY 1"))
    assert counts == {full: 2, small: 1}
    ((oldest,),) = await rows(
        journal_dsn, f"SELECT max(extract(epoch FROM now() - since)) FROM webhook_bundles WHERE webhook_id = '{full}'"
    )
    assert oldest < 2.5 * 3600
    standings = await journal.webhooks.standings([full, small])
    assert (standings[full].dropped, standings[small].dropped) == (10, 0)
