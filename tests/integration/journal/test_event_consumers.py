"""Several consumers of one journal's event log."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection

from cluster.event_consumer import CannotHandle, EventConsumer, Pacing
from cluster.journal.journal import Journal
from cluster.journal.records import LogRow
from tests.waiting import until

PACING = Pacing(page_rows=3, page_interval_s=0.001, first_wait_s=0.001, longest_wait_s=0.005, trim_every=1)

Connection = AsyncConnection[tuple[int]]


@pytest.fixture
async def connection(journal_dsn: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        yield connection


class Reader:
    """A consumer that records what it was handed; while ``is_shut`` it can handle nothing."""

    def __init__(self, name: str, journal: Journal, data_dir: Path) -> None:
        self.rows: list[bytes] = []
        self.is_shut = False
        self.consumer = EventConsumer(
            name,
            journal,
            self._handle,
            data_dir=data_dir,
            pacing=PACING,
            poll_interval_s=0.001,
            log=logging.getLogger(__name__),
            work="reading",
        )

    async def _handle(self, rows: list[LogRow]) -> None:
        if self.is_shut:
            raise CannotHandle("it is shut")
        self.rows += [row.events for row in rows]


@asynccontextmanager
async def reading(*readers: Reader) -> AsyncIterator[None]:
    for reader in readers:
        await reader.consumer.start()
    try:
        yield
    finally:
        for reader in readers:
            await reader.consumer.stop()


async def append(connection: Connection, *rows: bytes) -> None:
    for row in rows:
        await connection.execute("INSERT INTO event_log (events) VALUES (%s)", [row])


async def left_in_log(connection: Connection) -> int:
    found = await (await connection.execute("SELECT count(*) FROM event_log")).fetchone()
    assert found is not None
    return found[0]


async def test_each_has_every_row_and_the_log_keeps_what_the_slowest_has_not_passed(
    journal: Journal, connection: Connection, tmp_path: Path
) -> None:
    rows = [f"row {number}".encode() for number in range(10)]
    first, second = Reader("recorder", journal, tmp_path), Reader("webhooks", journal, tmp_path)
    async with reading(first, second):
        await append(connection, *rows[:5])

        async def is_empty() -> bool:
            return await left_in_log(connection) == 0

        await until(is_empty)
        second.is_shut = True
        await append(connection, *rows[5:])

        async def first_has_all() -> bool:
            return len(first.rows) == 10

        async def second_waits() -> bool:
            return second.consumer.problem() == "it is shut"

        await until(first_has_all)
        await until(second_waits)
        await journal.event_log.trim()
        assert await left_in_log(connection) == 5
        assert first.consumer.problem() is None
        second.is_shut = False
        await until(is_empty)
    assert first.rows == rows
    assert second.rows == rows


async def test_a_new_consumer_begins_with_the_oldest_row_of_the_log(
    journal: Journal, connection: Connection, tmp_path: Path
) -> None:
    await append(connection, b"passed", b"waits")
    passed, _ = await journal.event_log.after("recorder", 10)
    await journal.event_log.move_cursor("recorder", passed.tx, passed.id)
    await journal.event_log.trim()
    second = Reader("webhooks", journal, tmp_path)
    async with reading(second):
        await append(connection, b"comes")

        async def has_both() -> bool:
            return second.rows == [b"waits", b"comes"]

        await until(has_both)
    # The first one has not passed them.
    await journal.event_log.trim()
    assert await left_in_log(connection) == 2


async def test_a_consumer_that_starts_again_goes_on_where_it_was(
    journal: Journal, connection: Connection, tmp_path: Path
) -> None:
    await append(connection, b"a", b"b")
    for _ in range(2):
        again = Reader("webhooks", journal, tmp_path)
        async with reading(again):
            pass
    assert again.rows == []
    await append(connection, b"c")
    again = Reader("webhooks", journal, tmp_path)
    async with reading(again):
        pass
    assert again.rows == [b"c"]
