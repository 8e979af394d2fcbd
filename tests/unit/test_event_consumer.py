"""What a consumer of the event log does between two pages, and with rows that it cannot handle."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from cluster.event_consumer import CannotHandle, EventConsumer, Pacing
from cluster.journal.journal import Journal
from cluster.journal.records import LogRow
from tests.unit.virtual_time import in_virtual_time

PACING = Pacing(
    page_rows=2,
    page_interval_s=1.0,
    busy_interval_s=4.0,
    busy_bytes=10,
    first_wait_s=0.1,
    longest_wait_s=0.5,
    trim_every=3,
)
POLL_S = 0.25
ROW = LogRow(7, 1, b"row")


class ListedLog:
    """The event log for one consumer: rows in a list, and the times when it was read."""

    def __init__(self, *rows: bytes) -> None:
        self.rows = [LogRow(7, number, row) for number, row in enumerate(rows, 1)]
        self.consumers: list[str] = []
        self.cursor = 0
        self.trims = 0
        self.event_log = self

    async def add_consumer(self, consumer: str) -> None:
        self.consumers.append(consumer)

    async def after(self, consumer: str, limit: int, most_bytes: int) -> list[LogRow]:
        assert self.consumers == [consumer], "its cursor is made once, before the log is read"
        return self.rows[self.cursor : self.cursor + limit]

    async def move_cursor(self, consumer: str, tx: int, id: int) -> None:
        self.cursor = id

    async def trim(self) -> int:
        self.trims += 1
        return 0


class Scene:
    """A consumer, the rows that it received, and when."""

    def __init__(self, log: ListedLog, data_dir: Path, failures: int = 0, pacing: Pacing = PACING) -> None:
        self.failures = failures
        self.is_wanted = True
        self.prepared_at: list[float] = []
        self.handled: list[tuple[float, list[bytes]]] = []
        self.consumer = EventConsumer(
            "webhooks",
            cast(Journal, log),
            self._handle,
            self._prepare,
            data_dir=data_dir,
            pacing=pacing,
            poll_interval_s=POLL_S,
            log=logging.getLogger("actors.webhooks"),
            work="calling webhooks",
        )
        self._began = asyncio.get_running_loop().time()

    def _now(self) -> float:
        return round(asyncio.get_running_loop().time() - self._began, 3)

    async def _prepare(self) -> bool:
        self.prepared_at.append(self._now())
        return self.is_wanted

    async def _handle(self, rows: list[LogRow]) -> None:
        if self.failures:
            self.failures -= 1
            raise CannotHandle("hooks.example refused the connection")
        self.handled.append((self._now(), [row.events for row in rows]))


@asynccontextmanager
async def consuming(log: ListedLog, data_dir: Path, failures: int = 0, pacing: Pacing = PACING) -> AsyncIterator[Scene]:
    scene = Scene(log, data_dir, failures, pacing)
    await scene.consumer.start()
    try:
        yield scene
    finally:
        await scene.consumer.stop()


@in_virtual_time
async def test_full_pages_follow_at_once_and_the_rest_in_its_time() -> None:
    log = ListedLog(b"a", b"b", b"c", b"d", b"e")
    async with consuming(log, Path()) as scene:
        await asyncio.sleep(0.5)
        log.rows += [LogRow(7, 6, b"much" * 5)]
        await asyncio.sleep(1)
        log.rows += [LogRow(7, 7, b"g")]
        await asyncio.sleep(5)
    assert scene.handled == [
        (0, [b"a", b"b"]),
        (0, [b"c", b"d"]),
        (0, [b"e"]),
        (1, [b"much" * 5]),
        (5, [b"g"]),
    ]


@in_virtual_time
async def test_little_that_follows_a_full_page_comes_with_the_next_one_or_with_the_stop() -> None:
    log = ListedLog(b"a", b"b", b"c", b"d", b"e")
    async with consuming(log, Path(), pacing=replace(PACING, page_rows=4)) as scene:
        await asyncio.sleep(1)
        log.rows += [LogRow(7, 6, b"f")]
        await asyncio.sleep(4)
        log.rows += [LogRow(7, number, b"g") for number in range(7, 12)]
        await asyncio.sleep(2)
    assert scene.handled == [
        (0, [b"a", b"b", b"c", b"d"]),
        (4, [b"e", b"f"]),
        (5, [b"g"] * 4),
        (7, [b"g"]),
    ]


@in_virtual_time
async def test_a_log_without_rows_is_looked_at_now_and_then_and_trimmed_once() -> None:
    log = ListedLog(b"a")
    async with consuming(log, Path()) as scene:
        await asyncio.sleep(1.6)
        assert scene.prepared_at == [0, 0, 1, 1.25, 1.5]  # the first is before the start
        assert log.trims == 1


@in_virtual_time
async def test_the_log_is_trimmed_after_so_many_pages() -> None:
    log = ListedLog(*[b"x"] * 12)
    async with consuming(log, Path()):
        await asyncio.sleep(0.1)
        assert (log.cursor, log.trims) == (12, 2)


@in_virtual_time
async def test_waits_grow_with_failures_and_begin_anew_after_a_page(caplog: pytest.LogCaptureFixture) -> None:
    log = ListedLog(b"a")
    with caplog.at_level(logging.INFO):
        async with consuming(log, Path(), failures=5) as scene:
            await asyncio.sleep(0.05)
            assert scene.consumer.problem() == "hooks.example refused the connection"
            await asyncio.sleep(1.75)
            assert scene.consumer.problem() is None
            assert scene.prepared_at == [0, 0, 0.1, 0.3, 0.7, 1.2, 1.7]
            scene.failures = 1
            log.rows += [LogRow(7, 2, b"b")]
            await asyncio.sleep(1.1)
            assert [at for at, _ in scene.handled] == [1.7, 2.8]
    assert {record.name for record in caplog.records} == {"actors.webhooks"}
    assert [record.message for record in caplog.records] == [
        "calling webhooks waits error=hooks.example refused the connection",
        "calling webhooks goes on",
    ] * 2


@in_virtual_time
async def test_stop_handles_what_the_log_holds_and_waits_for_nothing_more() -> None:
    log = ListedLog()
    async with consuming(log, Path()) as scene:
        await asyncio.sleep(0.1)
        log.rows += [LogRow(7, number, b"x") for number in range(1, 6)]
    assert log.cursor == 5
    assert scene.consumer.problem() == "the webhooks does not run"


@in_virtual_time
async def test_stop_does_not_wait_for_what_cannot_be_handled() -> None:
    log = ListedLog(b"a")
    async with consuming(log, Path(), failures=10**9):
        await asyncio.sleep(10)
    assert log.cursor == 0


@in_virtual_time
async def test_a_log_that_is_not_wanted_is_not_read() -> None:
    log = ListedLog()
    async with consuming(log, Path()) as scene:
        scene.is_wanted = False
        await asyncio.sleep(1)
        log.rows += [LogRow(7, 1, b"a")]
        await asyncio.sleep(1.9)
        assert scene.prepared_at == [0, 0, 1, 2], "less often than a log that is read"
        assert scene.handled == []
        scene.is_wanted = True
        await asyncio.sleep(1)
    assert scene.handled == [(3, [b"a"])]


def consumer_of(name: str, data_dir: Path) -> EventConsumer:
    async def handle(rows: list[LogRow]) -> None:
        raise AssertionError("it does not run")

    return EventConsumer(
        name,
        cast(Journal, ListedLog()),
        handle,
        data_dir=data_dir,
        pacing=PACING,
        poll_interval_s=POLL_S,
        log=logging.getLogger(f"actors.{name}"),
        work="working",
    )


def test_each_consumer_puts_a_row_aside_in_a_file_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("recorder", "webhooks", "statistics", "webhooks"):
        consumer_of(name, tmp_path).put_aside(ROW, ValueError("no such event"))
    kept = [path for path in (tmp_path / "rejected").rglob("*") if path.is_file()]
    assert {path.parent.relative_to(tmp_path).as_posix() for path in kept} == {
        "rejected",
        "rejected/webhooks",
        "rejected/statistics",
    }
    assert [path.read_bytes() for path in kept] == [b"row"] * 3
    assert len({path.name for path in kept}) == 1
    # A row that comes again is set aside, and logged, once.
    assert [record.name for record in caplog.records] == ["actors.recorder", "actors.webhooks", "actors.statistics"]


def test_a_row_that_the_disk_does_not_take_must_not_pass(tmp_path: Path) -> None:
    (tmp_path / "rejected").write_text("a file where the folder should be")
    with pytest.raises(CannotHandle, match="cannot put aside a row of the event log"):
        consumer_of("webhooks", tmp_path).put_aside(ROW, ValueError("no such event"))
