"""Statistics equal a count of events_once at any time: under replays, in any order, and after any interruption."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.metrics import QUARTER_S, Kind
from analytics.rows import columns
from analytics.slices import AT_REST_S, SLICE_S
from analytics.statistics import Names, Statistics, categories, statistics
from analytics.tallies import SETTLED_S, Tallies, Uncounted
from cluster.events import Event, Opened
from cluster.settings import ClickHouseSettings
from tests.integration.analytics.tallied import (
    BEGIN,
    LATE,
    QUARTERS,
    Clock,
    an_event,
    assert_exact,
    counted,
    insert,
    settle,
)
from tests.unit.analytics.samples import delivered, processed


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_equals_a_count_of_the_events(clickhouse: ClickHouse, seed: int) -> None:
    random, clock = Random(seed), Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    events: list[Event] = [an_event(random, number) for number in range(160)]
    random.shuffle(events)
    inserted: list[Event] = []
    for step in range(24):
        match random.randrange(6):
            case 0 | 1 | 2:
                page = [*random.sample(inserted, min(len(inserted), random.randrange(8))), *events[:8]]
                insert(clickhouse, tallies, page)
                inserted += events[:8]
                del events[:8]
            case 3:  # killed between the note and the insert, or between the insert and the tally
                page = events[:4]
                tallies.note(columns(page))
                if random.random() < 0.5:
                    clickhouse.insert(columns(page))
                tallies = Tallies(clickhouse, clock)
            case 4:
                tallies._span_s = random.choice((100, 450, 900, 1800, 7200))
                settle(tallies, clock)
                assert tallies.uncounted.runs == ()
            case 5:  # killed while it counted
                tallies._span_s = random.choice((100, 450))
                clock.now += 10 * SETTLED_S
                tallies.step()
                if random.random() < 0.5:
                    tallies = Tallies(clickhouse, clock)
        assert_exact(clickhouse, tallies, [random.choice(list(Kind))])
        if step % 8 == 7:
            clickhouse.command("OPTIMIZE TABLE events FINAL")
            clickhouse.command("OPTIMIZE TABLE tallies FINAL")
            clickhouse.command("OPTIMIZE TABLE firsts FINAL")
    assert_exact(clickhouse, tallies)
    settle(tallies, clock)
    assert_exact(clickhouse, tallies)
    assert clickhouse.rows("SELECT DISTINCT is_dirty FROM quarters FINAL") == [(False,)]


@pytest.mark.parametrize("seed", range(2))
def test_a_quarter_that_is_not_over_is_counted_in_slices(clickhouse: ClickHouse, seed: int) -> None:
    """Every answer stays exact while events come, some twice and some late, and while processes are killed."""
    random, clock = Random(seed), Clock()
    tallies = Tallies(clickhouse, clock)
    inserted: list[Event] = []
    sliced = 0
    for step in range(14):
        clock.now = max(clock.now, BEGIN + step * 131.0)
        page = [
            replace(an_event(random, 10 * step + number), at=clock.now - random.choice((0, 1, 15, 30, 300)))
            for number in range(4)
        ]
        insert(clickhouse, tallies, [*page, *random.sample(inserted, min(len(inserted), random.randrange(3)))])
        inserted += page
        for _ in range(random.randrange(4)):
            clock.now += AT_REST_S * 1.1
            tallies._span_s = random.choice((5, 60, 900))
            tallies.step()
        if random.random() < 0.1:
            tallies = Tallies(clickhouse, clock)
        if step % 5 == 4:
            clickhouse.command("OPTIMIZE TABLE slices FINAL")
        sliced += len(tallies.uncounted.slices)
        assert_exact(clickhouse, tallies, [random.choice(list(Kind))])
    assert sliced
    assert_exact(clickhouse, tallies)
    settle(tallies, clock)
    assert tallies.uncounted == Uncounted()
    assert_exact(clickhouse, tallies)


def test_a_question_reads_only_the_events_of_the_last_seconds(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    for second in range(0, 600, 15):
        clock.now = BEGIN + second + 1.0
        insert(clickhouse, tallies, [processed(second, at=float(BEGIN + second))])
        if tallies.is_due:
            tallies.step()
    ((first, end),) = tallies.uncounted.runs
    assert end == BEGIN + QUARTER_S
    assert clock.now - first < 6 * SLICE_S


def test_rows_of_slices_go_after_a_day(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    for day in range(4):
        clock.now = BEGIN + day * 86_400 + 1.0
        insert(clickhouse, tallies, [processed(day, at=clock.now)])
        clock.now += 100
        tallies.step()
    assert clickhouse.rows("SELECT count(), max(slice) - min(slice) FROM slices WHERE kind = 'all'") == [(2, 86_400)]


def test_an_earlier_open_that_comes_late_takes_the_unique_one_with_it(clickhouse: ClickHouse) -> None:
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    common: dict[str, Any] = {"tenant_id": "tnt_1", "message_id": "msg_1", "recipient": "ada@example.com"}
    insert(clickhouse, tallies, [Opened(id="evt_2", at=BEGIN + 5000, **common)])
    settle(tallies, clock)
    insert(clickhouse, tallies, [Opened(id="evt_1", at=BEGIN + 10, **common)])
    settle(tallies, clock)
    starts, end = [BEGIN, BEGIN + QUARTER_S], BEGIN + QUARTERS * QUARTER_S
    found = counted(clickhouse, tallies, "tnt_1", Kind.ALL, starts, end)
    assert [(one["opens"], one["unique_opens"]) for one in found.values()] == [(1, 1), (1, 0)]


def test_events_of_before_there_were_tallies_are_counted_step_by_step(clickhouse: ClickHouse) -> None:
    random = Random(7)
    clickhouse.insert(columns([an_event(random, number) for number in range(200)]))
    for table in ("tallies", "firsts", "quarters", "migrations"):
        clickhouse.command(f"TRUNCATE TABLE {table}")
    clickhouse.migrate()
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    assert not tallies.uncounted.is_filled
    assert_exact(clickhouse, tallies)
    insert(clickhouse, tallies, [an_event(random, number) for number in range(200, 230)])
    for _ in range(3):
        clock.now += SETTLED_S
        tallies._span_s = QUARTER_S
        tallies.step()
    assert_exact(clickhouse, tallies)
    tallies = Tallies(clickhouse, clock)
    assert_exact(clickhouse, tallies, [Kind.ALL])
    settle(tallies, clock)
    assert (tallies.uncounted.runs, tallies.uncounted.is_filled) == ((), True)
    assert_exact(clickhouse, tallies)


def test_a_quarter_is_counted_once_it_is_over_and_at_rest(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    assert not tallies.is_due
    insert(clickhouse, tallies, [processed(1, at=BEGIN + 1.0)])

    def is_counted(at: float) -> bool:
        clock.now = at
        if tallies.is_due:
            tallies.step()
        return not tallies.uncounted.runs

    assert not is_counted(BEGIN + QUARTER_S + SETTLED_S - 1)
    insert(clickhouse, tallies, [processed(2, at=BEGIN + 2.0)])
    assert not is_counted(BEGIN + QUARTER_S + 2 * SETTLED_S - 10)
    assert is_counted(BEGIN + QUARTER_S + 3 * SETTLED_S)
    assert clickhouse.rows("SELECT sum(processed) FROM tallies WHERE kind = 'all'") == [(2,)]


def test_what_an_older_recorder_writes_late_has_no_effect(clickhouse: ClickHouse) -> None:
    """It was paused with a quarter that is due, and counts it while the newer one has inserted more."""
    clock = Clock()
    older = Tallies(clickhouse, clock, epoch=1)
    insert(clickhouse, older, [processed(1, at=BEGIN + 1.0)])
    newer = Tallies(clickhouse, clock, epoch=2)
    insert(clickhouse, newer, [processed(2, at=BEGIN + 2.0)])
    clock.now = LATE
    older.step()
    assert older.uncounted.runs == (), "it takes the quarter for counted"
    insert(clickhouse, newer, [processed(3, at=BEGIN + 3.0)])
    again = Tallies(clickhouse, clock, epoch=3)
    assert again.uncounted.runs == ((BEGIN, BEGIN + QUARTER_S),)
    settle(again, clock)
    starts, end = [BEGIN], BEGIN + QUARTER_S
    found = counted(clickhouse, again, "tnt_1", Kind.ALL, starts, end)
    assert [one["processed"] for one in found.values()] == [3]


def test_what_fails_is_tried_again_later(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    insert(clickhouse, tallies, [processed(1, at=BEGIN + 1.0)])
    clickhouse.command("RENAME TABLE tallies TO elsewhere")
    clock.now = LATE
    with pytest.raises(ClickHouseUnavailable):
        tallies.step()
    assert not tallies.is_due
    clickhouse.command("RENAME TABLE elsewhere TO tallies")
    settle(tallies, clock)
    assert tallies.uncounted.runs == ()


def test_absurd_times_are_in_no_statistics(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    insert(clickhouse, tallies, [processed(1, at=-5000.0), processed(2, at=2.0**33), processed(3, at=BEGIN + 1.0)])
    clock.now = LATE
    settle(tallies, clock)
    assert clickhouse.rows("SELECT sum(processed) FROM tallies WHERE kind = 'all'") == [(1,)]


def test_sums_in_the_order_of_a_metric(clickhouse: ClickHouse) -> None:
    tallies = Tallies(clickhouse, Clock())
    events: list[Event] = []
    for count, name in enumerate(("a", "b", "c", "d"), 1):
        events += [delivered(10 * count + n, at=BEGIN + 1.0, categories=(name,)) for n in range(count)]
    insert(clickhouse, tallies, events)

    def sums(**changes: Any) -> list[tuple[str, int]]:
        wanted: Mapping[str, Any] = {"kind": Kind.CATEGORY, "starts": (BEGIN,), "end": LATE, "sort_by": "delivered"}
        found = statistics(clickhouse, Statistics(tenant_id="tnt_1", **wanted, **changes), tallies.uncounted)
        return [(one.name, one.metrics["delivered"]) for one in found]

    assert sums(limit=2) == [("d", 4), ("c", 3)]
    assert sums(limit=2, offset=3) == [("a", 1)]
    assert sums(descending=False, limit=1) == [("a", 1)]
    assert sums(names=("b", "x")) == [("b", 2)]


def test_names_of_categories(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    insert(clickhouse, tallies, [processed(1, at=BEGIN + 1.0, categories=("receipt", "rec"))])
    clock.now = LATE
    settle(tallies, clock)
    insert(clickhouse, tallies, [processed(2, at=LATE + 1.0, categories=("records", "other"))])
    insert(clickhouse, tallies, [processed(3, at=LATE + 1.0, categories=("recent",), tenant_id="tnt_2")])

    def names(**changes: Any) -> list[str]:
        wanted = Names(**{"tenant_id": "tnt_1", "limit": 50, **changes})
        return categories(clickhouse, wanted, tallies.uncounted)

    assert names() == ["other", "rec", "receipt", "records"]
    assert names(prefix="rec", limit=2, offset=1) == ["receipt", "records"]
    assert names(tenant_id="tnt_3") == []


WRITER = """
import sys
from pathlib import Path
from random import Random
from analytics.client import ClickHouse
from analytics.rows import columns
from analytics.tallies import Tallies
from cluster.settings import ClickHouseSettings
from tests.integration.analytics.tallied import LATE, an_event, insert

client = ClickHouse.open(ClickHouseSettings(), Path(sys.argv[1]))
client.migrate()
now = [float(LATE)]
tallies = Tallies(client, lambda: now[0])
random = Random(int(sys.argv[2]))
for number in range(100_000):
    insert(client, tallies, [an_event(random, random.randrange(2000)) for _ in range(5)])
    tallies._span_s = random.choice((450, 900, 7200))
    now[0] += 10_000
    for _ in range(2):
        tallies.step()
    print(number, flush=True)
"""


def test_it_is_exact_after_sigkill(tmp_path: Path) -> None:
    for seed in range(2):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(seed)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) == 3 + seed:
                    writer.kill()
        assert writer.returncode == -signal.SIGKILL
        client = ClickHouse.open(ClickHouseSettings(), tmp_path)
        client.migrate()
        assert_exact(client, Tallies(client))
        client.close()
