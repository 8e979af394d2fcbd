"""Replays of events."""

import pytest

from actors.webhooks.replaying import Replaying
from analytics.feed import FedEvent, FeedFilter, FeedPage
from cluster.events import Event
from cluster.ids import new_id
from cluster.journal.journal import Journal
from cluster.journal.webhook_replays import MOST_PENDING, ReplayFilter
from cluster.webhooks.known import KnownEndpoints
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.builders import an_endpoint, owed, sql
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


async def replaying(journal: Journal, feed: PagedFeed) -> Replaying:
    known = KnownEndpoints(journal)
    await known.refresh()
    return Replaying(journal, known, feed.call)


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
    await sql(journal_dsn, "DELETE FROM webhook_bundles")
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
