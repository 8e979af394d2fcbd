"""A recorder with a real engine, and with a list as the event log."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace

from actors.recorder import PACING, Recorder
from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.rows import EVENTS, Table
from analytics.tallies import QUARTERS
from cluster.event_consumer import Pacing
from cluster.events import Event, encode_batch
from cluster.journal.journal import Journal
from cluster.journal.journal import Unavailable as JournalUnavailable
from cluster.journal.records import LogRow
from cluster.settings import ClickHouseSettings, RetentionSettings
from tests.engine_files import lay_out_schema
from tests.integration.analytics.counting import event_counts

SETTINGS = ClickHouseSettings(poll_interval_ms=1)
QUICK = replace(PACING, page_interval_s=0.001, first_wait_s=0.001, longest_wait_s=0.01, trim_every=2)
TRANSACTION = 7
LONG = RetentionSettings(events_days=3650, statistics_days=3650)
"""The samples have fixed dates."""


class ListLog:
    """The event log: rows in a list, one cursor, and failures on demand."""

    def __init__(self, *batches: bytes) -> None:
        self.rows: list[LogRow] = []
        self.cursor = 0
        self.pages: list[int] = []
        self.trims = 0
        self.failing_moves = 0
        self.changed = asyncio.Event()
        self.fenced = ""
        """Why this recorder may not act."""
        self.asked = 0
        """How often the journal was asked whether it may act."""
        self.singletons = SimpleNamespace(confirm=self.confirm)
        self.event_log = SimpleNamespace(
            add_consumer=self.add_consumer,
            after=self.after,
            move_cursor=self.move_cursor,
            position=self.position,
            trim=self.trim,
        )
        for batch in batches:
            self.append(batch)

    def append(self, batch: bytes) -> None:
        self.rows.append(LogRow(TRANSACTION, len(self.rows) + 1, batch))

    async def confirm(self) -> None:
        self.asked += 1
        if self.fenced:
            raise JournalUnavailable(self.fenced)

    async def add_consumer(self, consumer: str) -> None:
        assert consumer == "recorder"

    async def after(self, consumer: str, limit: int, most_bytes: int) -> list[LogRow]:
        assert consumer == "recorder"
        page: list[LogRow] = []
        for row in self.rows[self.cursor : self.cursor + limit]:
            if sum(len(one.events) for one in page) >= most_bytes:
                break
            page.append(row)
        if page:
            self.pages.append(len(page))
        return page

    async def move_cursor(self, consumer: str, tx: int, id: int) -> None:
        if self.failing_moves:
            self.failing_moves -= 1
            raise JournalUnavailable("no connection")
        assert (consumer, tx) == ("recorder", TRANSACTION)
        assert id > self.cursor
        self.cursor = id
        self.changed.set()

    async def position(self, consumer: str) -> tuple[int, int]:
        assert consumer == "recorder"
        return TRANSACTION, self.cursor

    async def trim(self) -> int:
        self.trims += 1
        return 0

    async def drained(self) -> None:
        while self.cursor < len(self.rows):
            await self.changed.wait()
            self.changed.clear()


class Failing:
    """A real connection whose inserts fail as long as ``refusals`` last, and whose queries wait for ``may_read``."""

    def __init__(self, client: ClickHouse) -> None:
        self.client = client
        self.refusals = 0
        self.inserts = 0
        self.may_read = threading.Event()
        self.may_read.set()

    def insert(self, columns: list[Sequence[Any]], table: Table = EVENTS) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ClickHouseUnavailable("too many parts")
        self.inserts += table is not QUARTERS
        self.client.insert(columns, table)

    def command(self, statement: str, **parameters: Any) -> None:
        self.client.command(statement, **parameters)

    def migrate(self) -> list[str]:
        return self.client.migrate()

    def use_tables(self) -> None:
        self.client.use_tables()

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        assert self.may_read.wait(timeout=30)
        return self.client.rows(query, **parameters)

    def plain_rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        assert self.may_read.wait(timeout=30)
        return self.client.plain_rows(query, **parameters)

    def close(self) -> None:
        self.client.close()


class Scene:
    """A running recorder with its log and its engine."""

    def __init__(
        self, log: ListLog, data_dir: Path, pacing: Pacing = QUICK, retention: RetentionSettings = LONG
    ) -> None:
        self.log = log
        self.clickhouse: Failing | None = None
        self.asking: Failing | None = None
        """The connection for statistics."""
        self.refusals = 0
        self.recorder = Recorder(
            SETTINGS, data_dir, cast(Journal, log), connect=self._connect, pacing=pacing, retention=retention
        )

    def _connect(self, settings: ClickHouseSettings, data_dir: Path) -> ClickHouse:
        client = Failing(ClickHouse.open(settings, data_dir))
        if self.clickhouse is None:
            self.clickhouse = client
            client.refusals = self.refusals
        else:
            assert self.asking is None
            self.asking = client
        return cast(ClickHouse, client)

    async def in_engine(self, query: str) -> Any:
        """The single value of a query's result. The query runs in the recorder's thread."""
        assert self.clickhouse is not None
        ((value,),) = await self.recorder._in_thread(self.clickhouse.rows, query)
        return value

    async def event_counts(self) -> dict[str, int]:
        """The number of the sample batch's events by name. The query runs in the recorder's thread."""
        return await self.recorder._in_thread(event_counts, cast(ClickHouse, self.clickhouse), "tnt_1", "bat_1")


@asynccontextmanager
async def recording(
    log: ListLog, data_dir: Path, *, refusals: int = 0, pacing: Pacing = QUICK, retention: RetentionSettings = LONG
) -> AsyncIterator[Scene]:
    lay_out_schema(data_dir)
    scene = Scene(log, data_dir, pacing, retention)
    scene.refusals = refusals
    await scene.recorder.start()
    try:
        yield scene
    finally:
        await scene.recorder.stop()


def batch(*events: Event) -> bytes:
    return encode_batch(list(events))
