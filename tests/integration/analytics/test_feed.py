"""The feed: a tenant's events in the order of the log, page by page, as they were logged."""

import time

import pytest
from msgspec import structs

from analytics.attempts import ATTEMPTS, attempt_columns
from analytics.client import ClickHouse
from analytics.erasing import erase_tenant
from analytics.feed import START, FeedFilter, FeedPage, feed
from analytics.rows import Position, columns
from cluster.events import Event, WebhookAttempt
from tests.unit.analytics.samples import delivered, every_kind, processed

OURS = FeedFilter(tenant_id="tnt_1")


def inserted(clickhouse: ClickHouse, events: list[Event], positions: list[Position]) -> None:
    clickhouse.insert(columns(events, positions))


def all_pages(clickhouse: ClickHouse, wanted: FeedFilter = OURS, limit: int = 2) -> list[str]:
    ids: list[str] = []
    page = FeedPage([], START, is_full=True)
    while page.is_full:
        page = feed(clickhouse, wanted, page.position, limit)
        ids += [one.event.id for one in page.events]
    return ids


def test_events_come_back_as_they_were_logged(clickhouse: ClickHouse) -> None:
    events = every_kind()
    inserted(clickhouse, events, [(7, 100 + number) for number in range(len(events))])
    page = feed(clickhouse, OURS, START)
    rounded = [structs.replace(event, at=round(event.at, 3)) for event in events]
    assert [structs.replace(one.event, at=round(one.event.at, 3)) for one in page.events] == rounded
    assert [one.sequence for one in page.events] == [100 + number for number in range(len(events))]
    assert not page.is_full
    assert feed(clickhouse, OURS, page.position) == FeedPage([], page.position, is_full=False)


def test_pages_follow_the_log_not_the_time_and_each_event_is_in_one(clickhouse: ClickHouse) -> None:
    events = [delivered(number) for number in (5, 3, 9, 1)]
    inserted(clickhouse, list(events[2:]), [(20, 4), (20, 5)])
    inserted(clickhouse, list(events[:2]), [(9, 700), (10, 2)])
    inserted(clickhouse, list(events[:2]), [(9, 700), (10, 2)])  # a replay of the log
    assert all_pages(clickhouse) == [event.id for event in events]
    position = feed(clickhouse, OURS, START).position
    inserted(clickhouse, [processed(30)], [(21, 1)])
    assert [one.event.id for one in feed(clickhouse, OURS, position).events] == [processed(30).id]


def test_filters_and_other_tenants(clickhouse: ClickHouse) -> None:
    inserted(
        clickhouse,
        [processed(1), delivered(2), delivered(3, message_id="msg_2"), delivered(4, tenant_id="tnt_2")],
        [(5, number) for number in range(4)],
    )
    wanted = {
        "events": structs.replace(OURS, events=("processed", "open")),
        "message": structs.replace(OURS, message_id="msg_2"),
        "time": structs.replace(OURS, first_ms=round(processed(2).at * 1000), last_ms=round(processed(2).at * 1000)),
        "tenant": FeedFilter(tenant_id="tnt_2"),
    }
    found = {name: [id[-1] for id in all_pages(clickhouse, one)] for name, one in wanted.items()}
    assert found == {"events": ["1"], "message": ["3"], "time": ["2"], "tenant": ["4"]}


def test_events_of_before_there_were_positions_are_not_in_it(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([delivered(2), processed(1)]))
    # As an installation finds it that comes from the version before.
    clickhouse.rows("DROP VIEW feed_of_events")
    clickhouse.rows("DROP TABLE feed")
    clickhouse.rows("DROP VIEW events_once")
    clickhouse.rows("ALTER TABLE events DROP COLUMN log_tx, DROP COLUMN sequence")
    clickhouse.rows("TRUNCATE TABLE migrations")
    clickhouse.migrate()
    inserted(clickhouse, [processed(0)], [(3, 1)])
    assert [id[-1] for id in all_pages(clickhouse)] == ["0"]
    assert clickhouse.rows("SELECT count() FROM events") == [(3,)]


def test_a_page_ends_where_the_log_is_stored_as_a_whole(clickhouse: ClickHouse) -> None:
    inserted(clickhouse, [processed(1), delivered(2), delivered(3)], [(5, 100), (5, 200), (6, 1)])
    page = feed(clickhouse, OURS, START, upto=(5, 150))
    assert [one.event.id[-1] for one in page.events] == ["1"]
    assert [one.event.id[-1] for one in feed(clickhouse, OURS, page.position, upto=(6, 1)).events] == ["2", "3"]


def test_a_filter_that_fits_nothing_moves_on(clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.feed.SCANNED", 3)
    inserted(clickhouse, [processed(number) for number in range(7)], [(5, number) for number in range(7)])
    inserted(clickhouse, [delivered(8)], [(6, 1)])
    wanted = structs.replace(OURS, events=("delivered",))
    page = feed(clickhouse, wanted, START)
    assert (page.events, page.is_full) == ([], True)
    assert page.position.startswith("5-2-")
    assert [id[-1] for id in all_pages(clickhouse, wanted)] == ["8"]


@pytest.mark.parametrize("position", ["1", "1-2", "x-1-e", "1--e", "-1-2-e", f"{1 << 64}-1-e", "1-1-" + "e" * 300])
def test_what_is_no_position(clickhouse: ClickHouse, position: str) -> None:
    with pytest.raises(ValueError, match=r"position|unpack"):
        feed(clickhouse, OURS, position)


def test_a_page_reads_little_of_a_large_table(clickhouse: ClickHouse) -> None:
    clickhouse.rows(
        "INSERT INTO feed SELECT 'tnt_1', number, number, toString(number), 'm', now64(3), 'open' FROM numbers(300000)"
    )
    (_, *plan) = clickhouse.rows(
        "EXPLAIN indexes = 1 SELECT log_tx, sequence FROM feed WHERE tenant_id = 'tnt_1' AND log_tx >= 290000 "
        "AND (log_tx, sequence, event_id) > (290000, 1, '') ORDER BY log_tx, sequence, event_id LIMIT 10"
    )
    read = [line for (line,) in plan if "Granules" in line]
    assert int(read[-1].split()[1].partition("/")[0]) <= 3


def test_attempts_are_stored_and_erased_with_their_tenant(clickhouse: ClickHouse) -> None:
    at = float(round(time.time()))
    attempt = WebhookAttempt(
        id="att_1",
        at=at,
        tenant_id="tnt_1",
        webhook_id="wh_1",
        url="https://hooks.example.com/",
        attempt=1,
        event_ids=("evt_1", "evt_2"),
        request_headers="A: b",
        request_body="[]",
        request_bytes=2,
        status=204,
    )
    clickhouse.insert(attempt_columns([attempt]), ATTEMPTS)
    inserted(clickhouse, [processed(1)], [(3, 1)])
    assert clickhouse.rows("SELECT webhook_id, event_ids, status, at FROM webhook_attempts") == [
        ("wh_1", ["evt_1", "evt_2"], 204, round(at * 1000))
    ]
    while not erase_tenant(clickhouse, "tnt_1"):
        pass
    for table in ("events", "feed", "webhook_attempts"):
        assert clickhouse.rows(f"SELECT count() FROM {table}") == [(0,)]


def test_the_columns_of_attempts_are_those_of_the_table(clickhouse: ClickHouse) -> None:
    described = clickhouse.rows(
        "SELECT name, type FROM system.columns WHERE database = 'postray' AND table = 'webhook_attempts'"
    )
    assert dict(described) == ATTEMPTS.columns
    assert len(WebhookAttempt.__struct_fields__) == len(ATTEMPTS.columns)
