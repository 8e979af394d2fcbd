"""Migrations of ClickHouse: they run once, and from the state before."""

import time

import pytest

from analytics.client import ClickHouse, ClickHouseUnavailable, migrations
from analytics.queries import timeline
from analytics.rows import columns
from tests.unit.analytics.samples import blocked, bounced, every_kind, processed


def test_migrations_run_once(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([processed()]))
    assert clickhouse.migrate() == []
    assert clickhouse.rows("SELECT name FROM migrations ORDER BY name") == [(name,) for name, _ in migrations()]
    assert clickhouse.rows("SELECT count() FROM events") == [(1,)]


def test_a_migration_that_stopped_before_it_was_noted_runs_again(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([processed()]))
    clickhouse.rows("TRUNCATE TABLE migrations")
    assert clickhouse.migrate() == [name for name, _ in migrations()]
    assert clickhouse.rows("SELECT count() FROM events") == [(1,)]


def test_a_table_of_before_there_were_classes_gets_the_column(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([bounced()]))
    clickhouse.rows("ALTER TABLE events DROP COLUMN details")
    clickhouse.rows("ALTER TABLE events DROP COLUMN bounce_class")
    clickhouse.rows("CREATE OR REPLACE VIEW events_once AS SELECT * FROM events FINAL")
    clickhouse.rows("TRUNCATE TABLE migrations")
    clickhouse.migrate()
    clickhouse.insert(columns([blocked()]))
    assert clickhouse.rows("SELECT event, bounce_class FROM events_once ORDER BY event") == [
        ("blocked", "blocklisted"),
        ("bounce", ""),
    ]


@pytest.mark.parametrize(("table", "at_once"), [("events", 30), ("feed", 10)])
def test_many_parts_are_merged_at_once(clickhouse: ClickHouse, table: str, at_once: int) -> None:
    """From the state before, where it was a few at a time."""
    clickhouse.command(f"ALTER TABLE {table} RESET SETTING min_parts_to_merge_at_once")
    clickhouse.command("ALTER TABLE migrations DELETE WHERE name >= '0015' SETTINGS mutations_sync = 2")
    assert clickhouse.migrate() == ["0015_fewer_merges.sql", "0016_thirty_parts.sql"]
    parts = "SELECT count() FROM system.parts WHERE table = {table:String} AND active"
    last = at_once - 1
    for number in range(last):
        clickhouse.insert(columns([processed(number)], [(7, number)]))
    assert clickhouse.rows(parts, table=table) == [(last,)]
    clickhouse.insert(columns([processed(last)], [(7, last)]))
    deadline = time.monotonic() + 60
    while clickhouse.rows(parts, table=table) != [(1,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert clickhouse.rows(f"SELECT count() FROM {table}") == [(at_once,)]


def test_a_dropped_database_is_made_again(clickhouse: ClickHouse) -> None:
    clickhouse.rows("DROP DATABASE postray SYNC")
    with pytest.raises(ClickHouseUnavailable):
        clickhouse.insert(columns([processed()]))
    assert clickhouse.migrate() == [name for name, _ in migrations()]
    clickhouse.insert(columns([processed()]))
    assert clickhouse.rows("SELECT count() FROM events_once") == [(1,)]


def test_a_timeline_of_rows_from_before_their_details_were_stored_is_the_same(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns(every_kind()))
    expected = timeline(clickhouse, "tnt_1", "msg_1")
    clickhouse.rows("TRUNCATE TABLE events")
    clickhouse.rows("ALTER TABLE events DROP COLUMN details")
    clickhouse.insert(columns(every_kind()[:5]))
    clickhouse.rows("TRUNCATE TABLE migrations")
    clickhouse.migrate()
    stored = "SELECT sum(rows) FROM system.parts_columns WHERE table = 'events' AND column = 'details' AND active"
    clickhouse.insert(columns(every_kind()[5:]))
    assert clickhouse.rows(stored) == [(len(every_kind()) - 5,)]
    assert timeline(clickhouse, "tnt_1", "msg_1") == expected
    clickhouse.rows("OPTIMIZE TABLE events FINAL")
    assert clickhouse.rows(stored) == [(len(every_kind()),)]
    assert timeline(clickhouse, "tnt_1", "msg_1") == expected
