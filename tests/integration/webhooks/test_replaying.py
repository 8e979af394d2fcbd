"""Replays of events."""

import logging

import pytest

from actors.webhooks.replaying import Replaying
from analytics.client import ClickHouseRejected, ClickHouseUnavailable
from analytics.feed import FedEvent, FeedFilter, FeedPage
from cluster.events import Event, encode_batch
from cluster.ids import new_id
from cluster.journal.journal import Journal
from cluster.journal.webhook_replays import MOST_PENDING, Replay, ReplayFilter
from cluster.webhooks.known import KnownEndpoints
from tests.integration.journal.builders import a_tenant
from tests.integration.journal.stored import sql
from tests.integration.webhooks.builders import an_endpoint, owed
from tests.unit.analytics.samples import bounced, delivered, processed
from tests.webhooks import NOW

EVENTS: list[Event] = [processed(1), delivered(2), bounced(3), delivered(4), delivered(5)]


class PagedFeed:
    """Answers for the recorder: the events that it has in pages of two. ``failures``: what it raises, by the message
    that is asked for."""

    def __init__(self) -> None:
        self.asked: list[FeedFilter] = []
        self.recorded = len(EVENTS)
        self.failures: dict[str | None, Exception] = {}

    async def call(self, actor: str, method: str, wanted: FeedFilter, after: str, limit: int) -> FeedPage:
        assert (actor, method) == ("recorder", "feed")
        self.asked.append(wanted)
        if wanted.message_id in self.failures:
            raise self.failures[wanted.message_id]
        start = int(after or 0)
        recorded = [FedEvent(str(number), number, event) for number, event in enumerate(EVENTS[: self.recorded])]
        some = recorded[start : start + 2]
        return FeedPage(some, str(start + len(some)), is_full=len(some) == 2)


@pytest.fixture
async def feed() -> PagedFeed:
    return PagedFeed()


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def replaying(journal: Journal, feed: PagedFeed, clock: Clock | None = None) -> Replaying:
    known = KnownEndpoints(journal)
    await known.refresh()
    return Replaying(journal, known, feed.call, clock=clock or Clock())


async def a_replay(journal: Journal, tenant_id: str, webhook_id: str, message_id: str | None = None) -> str:
    id = new_id("rpl_")
    assert await journal.webhook_replays.add(tenant_id, webhook_id, id, ReplayFilter(message_id=message_id), NOW)
    return id


async def found(journal: Journal, tenant_id: str, webhook_id: str, id: str) -> Replay:
    replay = await journal.webhook_replays.of(tenant_id, webhook_id, id)
    assert replay is not None
    return replay


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
    (pending,) = await journal.webhook_replays.pending("", 10)
    while await part.round():
        pass
    await journal.webhook_replays.advance(pending, [], "2", is_done=False)
    some = await owed(journal_dsn, webhook_id)
    assert [one.event.id for one in some] == [event.id for event in EVENTS if event is not EVENTS[2]]
    assert [one.sequence for one in some] == [0, 1, 3, 4]
    assert feed.asked[0] == FeedFilter(
        tenant_id=tenant_id, first_ms=1, last_ms=9, events=("delivered", "bounce"), message_id="msg_1"
    )
    replay = await journal.webhook_replays.of(tenant_id, webhook_id, replay_id)
    assert replay is not None and replay.events == 4
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


async def test_a_replay_ends_when_all_that_was_logged_before_it_is_recorded(
    journal: Journal, journal_dsn: str, feed: PagedFeed
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    for event in EVENTS:
        await sql(journal_dsn, f"INSERT INTO event_log (events) VALUES ('\\x{encode_batch([event]).hex()}')")
    replay_id = await a_replay(journal, tenant_id, webhook_id)
    rows = await journal.event_log.after("recorder", 10)
    feed.recorded = 3
    await journal.event_log.move_cursor("recorder", rows[2].tx, rows[2].id)
    part = await replaying(journal, feed)
    while await part.round():
        pass
    assert (await found(journal, tenant_id, webhook_id, replay_id)).finished_at is None
    assert len(await owed(journal_dsn, webhook_id)) == 3
    # What is logged after the replay began does not keep it.
    await sql(journal_dsn, "INSERT INTO event_log (events) VALUES ('')")
    feed.recorded = 5
    await journal.event_log.move_cursor("recorder", rows[4].tx, rows[4].id)
    while await part.round():
        pass
    assert (await found(journal, tenant_id, webhook_id, replay_id)).finished_at is not None
    assert [one.event.id for one in await owed(journal_dsn, webhook_id)] == [event.id for event in EVENTS]


@pytest.mark.parametrize("failure", [ClickHouseUnavailable("too slow"), RuntimeError("a defect")])
async def test_a_replay_that_fails_does_not_stop_others_and_is_tried_again(
    journal: Journal, feed: PagedFeed, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    failing = await a_replay(journal, tenant_id, webhook_id, "msg_1")
    other = await a_replay(journal, tenant_id, webhook_id, "msg_2")
    feed.failures["msg_1"] = failure
    clock = Clock()
    part = await replaying(journal, feed, clock)
    with caplog.at_level(logging.WARNING):
        while await part.round():
            pass
    assert (await found(journal, tenant_id, webhook_id, other)).finished_at is not None
    assert (await found(journal, tenant_id, webhook_id, failing)).finished_at is None
    assert failing in caplog.text
    assert [wanted.message_id for wanted in feed.asked].count("msg_1") == 1, "it rests"
    feed.failures.clear()
    clock.now += 60
    while await part.round():
        pass
    assert (await found(journal, tenant_id, webhook_id, failing)).finished_at is not None


async def test_a_replay_that_never_can_go_on_ends_with_its_error(
    journal: Journal, journal_dsn: str, feed: PagedFeed
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    malformed, no_position, rejected, good = [
        await a_replay(journal, tenant_id, webhook_id, message_id) for message_id in ("a", "b", "c", "d")
    ]
    await sql(
        journal_dsn, f"""UPDATE webhook_replays SET filters = '{{"first_ms": "soon"}}' WHERE id = '{malformed}'"""
    )
    feed.failures = {"b": ValueError("'x' is no position"), "c": ClickHouseRejected("it does not fit\0")}
    part = await replaying(journal, feed)
    while await part.round():
        pass
    found = await sql(journal_dsn, "SELECT id, error, finished_at IS NOT NULL FROM webhook_replays ORDER BY id")
    errors = {id: error for id, error, is_finished in found if is_finished}
    assert errors.keys() == {malformed, no_position, rejected, good}
    assert errors[no_position] == "'x' is no position"
    assert errors[good] == ""
    assert errors[malformed] and errors[rejected] == "it does not fit?"
    for replay in await journal.webhook_replays.latest(tenant_id, webhook_id):
        assert replay.error == errors[replay.id]


async def test_all_pending_replays_get_their_turn(
    journal: Journal, feed: PagedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.webhooks.replaying.MOST_TOGETHER", 2)
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    feed.failures = dict.fromkeys(("0", "1", "2"), ClickHouseUnavailable("away"))
    ids = [await a_replay(journal, tenant_id, webhook_id, str(number)) for number in range(5)]
    part = await replaying(journal, feed)
    while await part.round():
        pass
    ended = [(await found(journal, tenant_id, webhook_id, id)).finished_at is not None for id in ids]
    assert ended == [False, False, False, True, True]


async def test_a_replay_rests_while_many_bundles_wait_and_no_more_of_them_are_counted(
    journal: Journal, journal_dsn: str, feed: PagedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.journal.webhook_replays.MOST_COUNTED", 3)
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    await a_replay(journal, tenant_id, webhook_id)
    await sql(
        journal_dsn,
        "INSERT INTO webhook_bundles (webhook_id, events, count) "
        f"SELECT '{webhook_id}', '', 1 FROM generate_series(1, 3)",
    )
    part = await replaying(journal, feed)
    assert not await part.round()
    assert feed.asked == []
    await sql(journal_dsn, "DELETE FROM webhook_bundles WHERE id = (SELECT min(id) FROM webhook_bundles)")
    assert await part.round()
