"""The recorder with a real engine, and with a list as the event log."""

import asyncio
import time
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from actors.recorder import PACING, Recorder
from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.feed import START, FeedFilter
from analytics.metrics import QUARTER_S
from analytics.statistics import Names, Statistics
from cluster import event_consumer
from cluster.events import WebhookAttempt, WebhookDisabled, encode_batch
from cluster.journal.journal import Journal
from cluster.journal.records import LogRow
from cluster.settings import ClickHouseSettings
from tests.integration.analytics.recording import QUICK, SETTINGS, ListLog, batch, recording
from tests.unit.analytics.samples import AT, by_name, delivered, every_kind, processed
from tests.waiting import until


async def test_what_is_in_the_log_can_be_read_as_a_timeline(tmp_path: Path) -> None:
    async with recording(ListLog(batch(*every_kind()[:2]), batch(*every_kind()[2:])), tmp_path) as scene:
        await scene.log.drained()
        events = (await scene.recorder.timeline("tnt_1", "msg_1")).events
        assert [event.event_type for event in events] == list(by_name())
        assert (await scene.event_counts())["delivered"] == 1


async def test_what_is_recorded_is_in_statistics_before_and_after_it_was_counted(tmp_path: Path) -> None:
    begin = int(AT // QUARTER_S) * QUARTER_S
    wanted = Statistics(tenant_id="tnt_1", starts=(begin,), end=begin + QUARTER_S)
    async with recording(ListLog(batch(*every_kind())), tmp_path) as scene:
        await scene.log.drained()
        [before] = await scene.recorder.statistics(wanted)
        assert before.metrics["processed"] == before.metrics["unique_opens"] == before.metrics["unsubscribe_drops"] + 1
        assert await scene.recorder.categories(Names(tenant_id="tnt_1", limit=9)) == ["onboarding", "welcome"]
        tallies = scene.recorder._tallies
        assert tallies is not None and tallies.uncounted.runs
        tallies._touched.clear()
        while tallies.uncounted.runs:
            await asyncio.sleep(0.01)
        assert await scene.recorder.statistics(wanted) == [before]


async def test_recording_does_not_wait_for_a_question_about_statistics(tmp_path: Path) -> None:
    begin = int(AT // QUARTER_S) * QUARTER_S
    wanted = Statistics(tenant_id="tnt_1", starts=(begin,), end=begin + QUARTER_S)
    async with recording(ListLog(batch(processed(1))), tmp_path) as scene:
        await scene.log.drained()
        [before] = await scene.recorder.statistics(wanted)
        assert before.metrics["processed"] == 1
        assert scene.asking is not None
        scene.asking.may_read.clear()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            question = tasks.create_task(scene.recorder.statistics(wanted))
            for number in range(2, 5):
                scene.log.append(batch(processed(number)))
                await scene.log.drained()
            assert len((await scene.recorder.timeline("tnt_1", "msg_1")).events) == 4
            assert not question.done()
            scene.asking.may_read.set()
        [after] = question.result()
        assert after.metrics["processed"] == 4


async def test_no_question_is_answered_after_stop(tmp_path: Path) -> None:
    async with recording(ListLog(batch(processed(1))), tmp_path) as scene:
        await scene.log.drained()
        await scene.recorder.categories(Names(tenant_id="tnt_1", limit=9))
    with pytest.raises(ClickHouseUnavailable):
        await scene.recorder.categories(Names(tenant_id="tnt_1", limit=9))


async def test_events_that_come_later_follow(tmp_path: Path) -> None:
    async with recording(ListLog(), tmp_path) as scene:
        for number in range(1, 6):
            scene.log.append(batch(processed(number)))
            await scene.log.drained()
        assert await scene.event_counts() == {"processed": 5}


async def test_a_page_that_was_read_before_a_pause_is_inserted_only_if_the_journal_confirms_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer recorder may have erased meanwhile what the page tells. Without a pause the journal is not asked."""
    async with recording(ListLog(batch(processed(1))), tmp_path) as scene:
        await scene.log.drained()
        assert scene.log.asked == 0
        monkeypatch.setattr(event_consumer, "CONFIRMED_S", -1.0)
        scene.log.fenced = "a newer recorder works"
        scene.log.append(batch(processed(2)))
        async with asyncio.timeout(20):
            while scene.log.asked < 2:
                await asyncio.sleep(0.01)
        assert await scene.event_counts() == {"processed": 1}
        problem = await scene.recorder.problem()
        assert problem is not None and scene.log.fenced in problem
        scene.log.fenced = ""
        await scene.log.drained()
        assert await scene.event_counts() == {"processed": 2}


async def test_a_page_becomes_one_insert(tmp_path: Path) -> None:
    async with recording(ListLog(*(batch(processed(n)) for n in range(100))), tmp_path) as scene:
        await scene.log.drained()
        assert scene.clickhouse is not None
        assert scene.clickhouse.inserts == 1


async def test_large_rows_are_read_and_inserted_in_smaller_pieces(tmp_path: Path) -> None:
    rows = [batch(*(processed(10 * row + n) for n in range(10))) for row in range(12)]
    pacing = replace(PACING, page_rows=4, page_bytes=2 * len(rows[0]), page_interval_s=60, first_wait_s=0.001)
    async with recording(ListLog(*rows), tmp_path, pacing=pacing) as scene:
        await scene.log.drained()
        assert scene.clickhouse is not None
        assert scene.clickhouse.inserts == 6
        assert scene.log.pages == [2] * 6
        assert await scene.in_engine("SELECT count() FROM events_once") == 120


@pytest.mark.parametrize(("busy_bytes", "inserts"), [(1, 1), (10**9, 2)], ids=["many", "few"])
async def test_the_more_come_the_longer_they_are_collected(tmp_path: Path, busy_bytes: int, inserts: int) -> None:
    pacing = replace(PACING, page_interval_s=0.001, busy_interval_s=60, busy_bytes=busy_bytes)
    async with recording(ListLog(batch(processed(1))), tmp_path, pacing=pacing) as scene:
        await scene.log.drained()
        scene.log.append(batch(processed(2)))
        assert scene.clickhouse is not None
        if inserts > 1:
            await scene.log.drained()
        assert await scene.in_engine("SELECT count() FROM events") == inserts
        assert scene.clickhouse.inserts == inserts
    assert scene.log.cursor == 2


async def test_the_log_is_trimmed_once_when_nothing_comes_any_more(tmp_path: Path) -> None:
    reads = 0
    async with recording(ListLog(batch(processed(1))), tmp_path, pacing=replace(QUICK, trim_every=100)) as scene:
        answers = scene.log.after

        async def log_after(consumer: str, limit: int, most_bytes: int) -> list[LogRow]:
            nonlocal reads
            reads += 1
            return await answers(consumer, limit, most_bytes)

        scene.log.event_log.after = log_after
        await scene.log.drained()

        async def often() -> bool:
            return reads > 5

        await until(often)
        assert scene.log.trims == 1


async def test_a_crash_between_insert_and_cursor_changes_no_count(tmp_path: Path) -> None:
    log = ListLog(batch(*every_kind()))
    async with recording(log, tmp_path) as scene:
        await log.drained()
        before = await scene.event_counts()
    log.cursor = 0  # as if the process had died before the cursor's commit
    async with recording(log, tmp_path) as scene:
        await log.drained()
        assert await scene.in_engine("SELECT count() FROM events") == 2 * len(every_kind())
        assert await scene.event_counts() == before
        assert len((await scene.recorder.timeline("tnt_1", "msg_1")).events) == len(every_kind())


async def test_a_journal_that_cannot_move_the_cursor_for_a_while_changes_no_count(tmp_path: Path) -> None:
    log = ListLog(batch(*every_kind()), batch(processed(50)))
    log.failing_moves = 3
    async with recording(log, tmp_path) as scene:
        await log.drained()
        assert sum((await scene.event_counts()).values()) == len(every_kind()) + 1


async def test_an_outage_of_clickhouse_delays_and_loses_nothing(tmp_path: Path) -> None:
    """At most one page is in memory: it is read again for each try, and not extended."""
    log = ListLog(*(batch(processed(n)) for n in range(300)))
    pacing = replace(PACING, page_rows=50, page_interval_s=0, first_wait_s=0.001, longest_wait_s=0.002)
    async with recording(log, tmp_path, refusals=10**9, pacing=pacing) as scene:

        async def waits() -> bool:
            return await scene.recorder.problem() is not None

        await until(waits)
        assert await scene.recorder.problem() == "too many parts"
        for number in range(300, 400):
            log.append(batch(processed(number)))
        assert scene.clickhouse is not None
        scene.clickhouse.refusals = 0
        await log.drained()
        # Every row once, in pages of the usual size: waiting rows do not accumulate.
        assert scene.clickhouse.inserts == 8
        assert set(log.pages) == {50}
        assert await scene.in_engine("SELECT count() FROM events") == 400

        async def well() -> bool:
            return await scene.recorder.problem() is None

        await until(well)


async def test_clickhouse_may_be_away_at_the_start(tmp_path: Path) -> None:
    log = ListLog(batch(processed()))
    absences = iter([True, True, False])

    def connect(settings: ClickHouseSettings, data_dir: Path) -> ClickHouse:
        if next(absences):
            raise ClickHouseUnavailable("connection refused")
        return ClickHouse.open(settings, data_dir)

    recorder = Recorder(SETTINGS, tmp_path, cast(Journal, log), connect=connect, pacing=QUICK)
    await recorder.start()
    with pytest.raises(ClickHouseUnavailable, match="connection refused"):
        await recorder.timeline("tnt_1", "msg_1")
    await log.drained()
    assert len((await recorder.timeline("tnt_1", "msg_1")).events) == 1
    await recorder.stop()


async def test_a_dsn_that_is_none_is_an_error_at_once(tmp_path: Path) -> None:
    recorder = Recorder(ClickHouseSettings(dsn="mysql://h"), tmp_path, cast(Journal, ListLog()))
    with pytest.raises(ValueError, match="it is not clickhouse"):
        await recorder.start()
    await recorder.stop()


CORRUPT = {
    "noise": b"\xc1\xff not msgpack",
    "cut": encode_batch([delivered()])[:-3],
    "bad text": encode_batch([processed(recipient="é@b.example")]).replace("é".encode(), b"\xff\xfe"),
    "unknown event": encode_batch([processed()]).replace(b"processed", b"exploded!"),
    "no time": encode_batch([processed(at=float("nan"))]),
    "too large": encode_batch([processed(70), delivered(71, attempt=2**40)]),
}


@pytest.mark.parametrize("corrupt", CORRUPT.values(), ids=CORRUPT)
async def test_a_corrupt_row_is_put_aside_and_the_others_pass(
    tmp_path: Path, corrupt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    log = ListLog(batch(processed(1)), corrupt, batch(delivered(2)))
    async with recording(log, tmp_path) as scene:
        await log.drained()
        assert await scene.event_counts() == {"processed": 1, "delivered": 1}
        assert await scene.recorder.problem() is None
    (kept,) = (tmp_path / "rejected").iterdir()
    assert kept.name.startswith("7-2-")
    assert kept.read_bytes() == corrupt
    assert "put aside tx=7 id=2" in caplog.text


async def test_a_corrupt_row_that_comes_again_is_kept_once(tmp_path: Path) -> None:
    log = ListLog(b"noise")
    log.failing_moves = 3
    async with recording(log, tmp_path):
        await log.drained()
    assert len(list((tmp_path / "rejected").iterdir())) == 1


async def test_a_corrupt_row_stays_in_the_log_when_the_disk_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "rejected").write_text("a file where the folder should be")
    log = ListLog(b"noise", batch(processed()))
    async with recording(log, tmp_path) as scene:

        async def waits() -> bool:
            return await scene.recorder.problem() is not None

        await until(waits)
        assert log.cursor == 0
        (tmp_path / "rejected").unlink()
        await log.drained()
    assert [path.read_bytes() for path in (tmp_path / "rejected").iterdir()] == [b"noise"]


async def test_stop_records_what_is_in_the_log(tmp_path: Path) -> None:
    log = ListLog()
    slow = replace(PACING, page_rows=10, page_interval_s=60)
    async with recording(log, tmp_path, pacing=slow) as scene:
        log.append(batch(processed(0)))
        await log.drained()
        for number in range(1, 35):
            log.append(batch(processed(number)))
    assert log.cursor == 35
    with pytest.raises(ClickHouseUnavailable, match="not running"):
        await scene.recorder.timeline("tnt_1", "msg_1")
    assert await scene.recorder.problem() is not None


async def test_stop_does_not_wait_for_clickhouse_to_come_back(tmp_path: Path) -> None:
    log = ListLog(batch(processed()))
    async with asyncio.timeout(30):
        async with recording(log, tmp_path, refusals=10**9):
            pass
    assert log.cursor == 0


async def test_a_defect_is_reported_and_recording_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ListLog(batch(processed()))
    answers = log.after
    defects = iter([KeyError("defect")])

    async def log_after(consumer: str, limit: int, most_bytes: int) -> list[LogRow]:
        for defect in defects:
            raise defect
        return await answers(consumer, limit, most_bytes)

    log.event_log.after = log_after
    async with recording(log, tmp_path):
        await log.drained()
    assert "recording failed" in caplog.text


async def test_the_feed_tells_the_events_of_the_log_in_its_order_and_nothing_else(tmp_path: Path) -> None:
    attempt = WebhookAttempt(
        id="att_1",
        at=time.time(),
        tenant_id="tnt_1",
        webhook_id="wh_1",
        url="https://hooks.example.com/",
        attempt=1,
        event_ids=("evt_1",),
        request_headers="",
        request_body="[]",
        request_bytes=2,
    )
    disabled = WebhookDisabled(id="evt_d", at=1.0, tenant_id="tnt_1", webhook_id="wh_1", url="", reason="410")
    log = ListLog(batch(delivered(2)), encode_batch([attempt, disabled, processed(1)]))
    async with recording(log, tmp_path) as scene:
        await log.drained()
        page = await scene.recorder.feed(FeedFilter(tenant_id="tnt_1"), START, 10)
        assert [one.event.id for one in page.events] == [delivered(2).id, processed(1).id]
        assert 0 < page.events[0].sequence < page.events[1].sequence
        assert await scene.in_engine("SELECT any(webhook_id) FROM webhook_attempts") == "wh_1"
        assert await scene.in_engine("SELECT count() FROM events") == 2
