"""What is older than the settings say goes from ClickHouse, and does not come back."""

import time
from collections.abc import Callable
from pathlib import Path

from analytics.client import ClickHouse
from analytics.metrics import QUARTER_S
from analytics.retention import BOUNDED_BY, DAY_S, keep_for
from analytics.rows import COLUMNS
from analytics.tallies import SETTLED_S, Tallies
from cluster.settings import RetentionSettings
from tests.integration.analytics.recording import ListLog, batch, recording
from tests.unit.analytics.samples import processed

KEPT = RetentionSettings(events_days=400)
NOW = int(time.time())
ROW = (
    "INSERT INTO events (event_id, at, tenant_id, message_id, event, recipient, log_tx) "
    "VALUES ({id:String}, fromUnixTimestamp64Milli({at:Int64}), 't', {id:String}, 'open', 'a@example.com', 1)"
)
MESSAGES = "SELECT DISTINCT message_id FROM {} ORDER BY 1"


def add(client: ClickHouse, *days: int) -> None:
    """An open so many days ago, in a part of its own."""
    for ago in days:
        client.command(ROW, id=f"{ago:05d}", at=(NOW - ago * DAY_S) * 1000)


def wait_until(is_so: Callable[[], bool]) -> None:
    """ClickHouse does it in the background."""
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def messages(client: ClickHouse, table: str) -> list[str]:
    return [id for (id,) in client.rows(MESSAGES.format(table))]


def ttl(client: ClickHouse, table: str) -> str:
    ((engine,),) = client.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}", name=table
    )
    return str(engine)


def test_every_table_is_bounded_by_something(clickhouse: ClickHouse) -> None:
    tables = clickhouse.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%Tree'"
    )
    assert BOUNDED_BY.keys() == {name for (name,) in tables}


def test_old_rows_go_and_the_others_stay(clickhouse: ClickHouse) -> None:
    add(clickhouse, 0, 399, 460, 800)
    keep_for(clickhouse, KEPT)
    for table in ("events", "feed"):
        wait_until(lambda table=table: messages(clickhouse, table) == ["00000", "00399"])  # type: ignore[misc]
    clickhouse.command("OPTIMIZE TABLE firsts FINAL")
    assert messages(clickhouse, "firsts") == ["00000", "00399"]


def test_the_ttl_follows_the_settings_and_is_set_once(clickhouse: ClickHouse) -> None:
    add(clickhouse, 0, 50)
    keep_for(clickhouse, KEPT)
    mutations = clickhouse.rows("SELECT count() FROM system.mutations")
    keep_for(clickhouse, KEPT)
    assert clickhouse.rows("SELECT count() FROM system.mutations") == mutations
    assert "toIntervalDay(401)" in ttl(clickhouse, "events")
    assert "toIntervalDay(1830)" in ttl(clickhouse, "tallies")
    keep_for(clickhouse, RetentionSettings(events_days=40, statistics_days=50))
    assert "toIntervalDay(41)" in ttl(clickhouse, "events")
    assert "toIntervalDay(50)" in ttl(clickhouse, "quarters")
    wait_until(lambda: messages(clickhouse, "events") == ["00000"])


def test_counts_of_statistics_have_their_end(clickhouse: ClickHouse) -> None:
    years = (0, 1, 6, 7)
    for ago in years:
        quarter = (NOW - ago * 366 * DAY_S) // QUARTER_S * QUARTER_S
        clickhouse.command(f"INSERT INTO tallies (tenant_id, quarter, tally) VALUES ('t', {quarter}, 1)")
        clickhouse.command(f"INSERT INTO quarters VALUES ({quarter}, 1, 1, false, true)")
    keep_for(clickhouse, KEPT)
    wait_until(lambda: clickhouse.rows("SELECT count() FROM tallies") == [(2,)])
    clickhouse.command("OPTIMIZE TABLE quarters FINAL")
    assert clickhouse.rows("SELECT count() FROM quarters") == [(2,)]


def test_a_quarter_whose_events_are_gone_keeps_its_counts(clickhouse: ClickHouse) -> None:
    """A late event makes it dirty; its other events were dropped meanwhile."""
    now = float(NOW)
    quarter = NOW // QUARTER_S * QUARTER_S
    late = [[quarter * 1000] if name == "at" else [""] for name in COLUMNS]
    tallies = Tallies(clickhouse, lambda: now, events_kept_s=10 * DAY_S)
    tallies.note(late)
    add(clickhouse, 0)
    now += QUARTER_S + 2 * SETTLED_S
    assert tallies.count_some(QUARTER_S)
    opens = "SELECT sum(opens) FROM tallies FINAL WHERE kind = 'all'"
    assert clickhouse.rows(opens) == [(1,)]
    counted = clickhouse.rows("SELECT argMax(tally, version) FROM quarters")

    tallies.note(late)
    clickhouse.command("TRUNCATE TABLE events")
    now += 10 * DAY_S
    assert tallies.count_some(QUARTER_S)
    assert tallies.uncounted.runs == ()
    assert clickhouse.rows("SELECT argMax(tally, version) FROM quarters") == counted
    assert clickhouse.rows(opens) == [(1,)]


async def test_a_log_with_events_that_are_not_kept_any_more_brings_none_back(tmp_path: Path) -> None:
    old, new = NOW - 400 * DAY_S - 60, NOW - 400 * DAY_S + 3600
    log = ListLog(batch(processed(1, at=float(old)), processed(2, at=float(new))), batch(processed(3, at=float(old))))
    async with recording(log, tmp_path, retention=KEPT) as scene:
        await log.drained()
        assert await scene.in_engine("SELECT groupArray(toUnixTimestamp(at)) FROM events") == [new]
        assert scene.recorder.expired == 2
