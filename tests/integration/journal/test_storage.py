"""What is stored is measured, sampled once an hour, and foretold, on a real journal and a real folder."""

import asyncio
import logging
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.measuring import StorageWatch
from actors.pruning import Pruning
from actors.retaining import Retaining
from cluster.installation.sizes import part_sizes
from cluster.journal.journal import Journal
from cluster.policy.retention import Retention
from cluster.policy.storage import prunable
from cluster.tasks import Tasks
from tests.integration.journal.builders import a_request, a_tenant, sent, some_messages
from tests.integration.journal.stored import sql

START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MIB = 1024**2
KEPT = Retention(bodies_days=7, messages_days=30)
Disk = namedtuple("Disk", "total used free")


class World:
    """A watch with a clock that is moved by hand, over a folder on a disk of 100 MiB."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.now = START
        self.free = 100 * MIB
        self.folder = folder
        self.watch = StorageWatch(journal, folder, kept_free_bytes=10 * MIB, retention=KEPT, clock=lambda: self.now)

    def is_warned(self) -> bool:
        return self.watch.warning is not None

    async def hours(self, count: int, mib: int) -> None:
        """So many hours pass, in each of which so many MiB are written."""
        for _ in range(count):
            await self.watch.look()
            self.now += HOUR
            with (self.folder / "postgres").open("ab") as file:
                file.write(os.urandom(mib * MIB))
                file.flush()
                os.fsync(file.fileno())
            self.free -= mib * MIB
        await self.watch.look()


@pytest.fixture
def world(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(journal, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(100 * MIB, 0, world.free))
    yield world


async def test_there_is_a_sample_an_hour_whoever_looks(world: World, journal: Journal) -> None:
    for minutes in (0, 5, 59, 60, 61, 120):
        world.now = START + timedelta(minutes=minutes)
        await world.watch.look()
    samples = await journal.storage.samples(world.now, timedelta(days=1))
    assert [one.at - START for one in samples] == [HOUR * 0, HOUR, HOUR * 2]
    assert [one.free_bytes for one in samples] == [world.free] * 3


async def test_the_warning_comes_once_a_day_and_goes_when_there_is_room(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "actors.measuring"]

    with caplog.at_level(logging.WARNING):
        await world.hours(2, mib=1)
        outlook = await world.watch.look()
        assert outlook.forecast.bytes_per_day is not None and outlook.forecast.full_at is not None
        assert not world.is_warned() and warnings() == []
        await world.hours(6, mib=3)  # some 2.5 MiB an hour; 80 MiB are free, of which 10 are kept
        await world.hours(4, mib=3)
        assert world.is_warned()
        assert len(warnings()) == 1 and "postray storage" in warnings()[0]
        world.now += timedelta(hours=25)
        world.free -= 1
        await world.watch.look()
        await world.watch.look()
        world.free = 5 * MIB
        await world.watch.look()
        assert len(warnings()) == 2
        world.free = 100 * MIB
        world.now += timedelta(hours=25)
        await world.watch.look()
        assert not world.is_warned()


async def test_a_clock_that_jumps_back_or_forth_ends_nothing(world: World, journal: Journal) -> None:
    await world.hours(3, mib=1)
    for jump in (timedelta(days=400), -timedelta(days=800), timedelta(days=400)):
        world.now += jump
        await world.watch.look()
    assert world.watch.warning is None
    outlook = await world.watch.look()
    assert outlook.forecast.bytes_per_day == pytest.approx(24 * MIB, rel=0.1)


async def test_a_disk_that_is_full_at_once_is_told_without_samples(world: World) -> None:
    world.free = 9 * MIB
    outlook = await world.watch.look()
    assert outlook.forecast.full_at == START
    assert world.watch.warning is not None and "full in 0 h" in world.watch.warning


async def test_of_a_journal_elsewhere_the_size_is_known(journal: Journal) -> None:
    outlook = await StorageWatch(journal, None, kept_free_bytes=10, retention=KEPT).look()
    assert outlook.current.stored_bytes == pytest.approx(await journal.storage.bytes(), rel=0.1)
    assert (outlook.current.free_bytes, outlook.disk_bytes, outlook.parts) == (None, None, {})


def test_sizes_are_those_of_the_disk_part_by_part(tmp_path: Path) -> None:
    (tmp_path / "ledger" / "delivery-0-0").mkdir(parents=True)
    (tmp_path / "ledger" / "delivery-0-0" / "1").write_bytes(os.urandom(MIB))
    (tmp_path / "run.json").write_bytes(b"{}")
    (tmp_path / "capture").symlink_to("/")  # is not followed
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1024**4)
    sizes = part_sizes(tmp_path)
    assert sizes.keys() == {"ledger", "run.json", "capture", "sparse"}
    assert MIB <= sizes["ledger"] < 2 * MIB
    assert sizes["capture"] < 10_000 and sizes["sparse"] < 10_000


async def test_tables_and_shares_of_tenants(journal: Journal, journal_dsn: str) -> None:
    large, small = await a_tenant(journal, "large"), await a_tenant(journal, "small")
    for tenant, count in ((large, 300), (small, 100)):
        await journal.intake.accept([a_request(tenant, *some_messages(count))])
    await sql(journal_dsn, "ANALYZE")
    tables = {one.name: one for one in await journal.storage.tables()}
    assert tables["messages"].rows == 400
    assert tables["messages"].bytes > 0 < tables["messages"].index_bytes
    assert await journal.storage.wal_bytes()
    shares = await journal.storage.shares()
    assert shares.keys() == {large, small}
    assert shares[large] / shares[small] == pytest.approx(3, rel=0.1)
    total = tables["messages"].bytes + tables["requests"].bytes
    assert total / 3 < sum(shares.values()) < total * 3


async def test_each_day_is_told_with_its_end(journal: Journal) -> None:
    outlook = await StorageWatch(journal, None, kept_free_bytes=10, retention=KEPT).look()
    today = datetime.now(UTC).date()
    assert {day.table for day in outlook.days} == {
        "messages", "requests", "outcomes", "attachments", "image_opens", "complaints"
    }  # fmt: skip
    assert max(day.first for day in outlook.days) <= today
    assert all(day.bytes > 0 for day in outlook.days)


async def test_the_unfinished_of_days_are_counted(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant, *some_messages(5))])
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    assert await journal.storage.unfinished_before(tomorrow, 10) == 5
    assert await journal.storage.unfinished_before(tomorrow, 3) == 3
    assert await journal.storage.unfinished_before(tomorrow - timedelta(days=1), 10) == 0


async def test_a_prune_takes_what_its_plan_says_and_leaves_what_is_unfinished(
    journal: Journal, journal_dsn: str
) -> None:
    tenant = await a_tenant(journal)
    await sent(journal, tenant, delivered=3)
    (waits,) = some_messages(1)
    await journal.intake.accept([a_request(tenant, waits)])
    before = (datetime.now(UTC) + timedelta(days=1)).date()
    plan = prunable(await journal.partitions.all(), before)
    assert {f"messages_{datetime.now(UTC):%Y%m%d}", f"attachments_{datetime.now(UTC):%Y%m%d}"} <= plan
    pruning = Pruning(Retaining(journal, KEPT, data_dir=None, kept_free_bytes=0).prune, Tasks())
    async with asyncio.timeout(60):
        while (state := pruning.step("one", before)).state == "running":
            await asyncio.sleep(0.01)
    assert state.state == "done", state.reason
    assert await sql(journal_dsn, "SELECT id, personal <> '' FROM messages") == [(waits.id, True)]
    assert prunable(await journal.partitions.all(), before) == set()
    assert await journal.storage.unfinished_before(before, 10) == 1
