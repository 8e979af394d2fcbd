"""What was erased leaves the files of the embedded Postgres, and its settings are afterwards as they were."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal import compaction
from cluster.journal.journal import Journal, migrate
from cluster.journal.rewriting import REWRITE_LOCK

SECRET = "zoe.quinesentinel@example.net"


class Killed(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("server") / "postgres"
    server = EmbeddedPostgres(folder)
    try:
        yield folder, server.start()
    finally:
        server.stop()


@pytest.fixture
async def own(server: tuple[Path, str]) -> AsyncIterator[Journal]:
    """A journal on a server of its own."""
    _, dsn = server
    await migrate(dsn)
    journal = Journal(dsn, application="test", connections=2)
    await journal.open()
    yield journal
    await journal.close()


def sql(dsn: str, *statements: str) -> object:
    """Runs statements; returns the first value of the last, if it has one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def log_files(folder: Path) -> list[str]:
    """Of the write-ahead log, the names of those that have the text."""
    return sorted(path.name for path in (folder / "pg_wal").iterdir() if path.is_file() and has_it(path))


def has_it(path: Path) -> bool:
    return SECRET.encode() in path.read_bytes()


def a_deleted_row(folder: Path, dsn: str) -> None:
    """The files of the log that hold it include one that is to be used again."""
    for _ in range(3):
        sql(dsn, f"SELECT pg_logical_emit_message(true, 'x', '{SECRET}')", compaction.NEXT_FILE, "CHECKPOINT")
    current = str(sql(dsn, compaction.CURRENT_FILE))
    assert [name for name in log_files(folder) if name > current], "no file is reused"


def is_recycling(dsn: str) -> bool:
    return not sql(dsn, compaction.IS_CHANGED)


async def test_the_log_has_nothing_of_before(server: tuple[Path, str], own: Journal) -> None:
    folder, dsn = server
    assert is_recycling(dsn)
    a_deleted_row(folder, dsn)
    await own.compaction.compact(["messages"])
    assert log_files(folder) == []
    assert is_recycling(dsn)


async def test_copies_of_partitions_that_are_rewritten_have_nothing_of_it(
    server: tuple[Path, str], own: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrite that is under way is waited for, without a connection; what one that was killed left is dropped."""
    monkeypatch.setattr(compaction, "REWRITE_S", 0.01)
    _, dsn = server
    sql(dsn, "CREATE TABLE new_messages (LIKE messages)")
    with psycopg.connect(dsn, autocommit=True) as rewriting:
        rewriting.execute(b"SELECT pg_advisory_lock(%s)", [REWRITE_LOCK])
        compacting = asyncio.create_task(own.compaction.compact(["messages"]))
        for _ in range(20):
            await own.partitions.server_time()
        assert not compacting.done() and sql(dsn, "SELECT to_regclass('new_messages')::text") == "new_messages"
    await compacting
    assert sql(dsn, "SELECT to_regclass('new_messages')::text") is None


async def test_files_are_reused_again_when_it_fails(
    server: tuple[Path, str], own: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dsn = server

    async def fails(_: object) -> None:
        assert not is_recycling(dsn)
        raise Killed

    monkeypatch.setattr(compaction, "_delete_log", fails)
    with pytest.raises(Killed):
        await own.compaction.compact(["messages"])
    assert is_recycling(dsn)
    monkeypatch.undo()
    await own.compaction.compact(["messages"])


async def test_what_a_killed_process_left_is_undone(server: tuple[Path, str], own: Journal) -> None:
    _, dsn = server
    sql(dsn, "ALTER SYSTEM SET wal_recycle = off", compaction.RELOAD)
    await own.compaction.restore()
    assert is_recycling(dsn)
    await own.compaction.restore()
    assert is_recycling(dsn)


async def test_it_is_not_undone_while_another_process_needs_it(server: tuple[Path, str], own: Journal) -> None:
    _, dsn = server
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(b"SELECT pg_advisory_lock(%s)", [compaction.LOCK])
        sql(dsn, "ALTER SYSTEM SET wal_recycle = off", compaction.RELOAD)
        await own.compaction.restore()
        assert not is_recycling(dsn)
    await own.compaction.compact(["messages"])
    assert is_recycling(dsn)


async def test_no_setting_of_another_server_is_changed(
    server: tuple[Path, str], own: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dsn = server

    async def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(compaction, "IS_EMBEDDED", "SELECT false")
    monkeypatch.setattr(compaction, "_change", never)
    sql(dsn, "ALTER SYSTEM SET wal_recycle = off", compaction.RELOAD)
    try:
        await own.compaction.restore()
        await own.compaction.compact(["messages"])
    finally:
        sql(dsn, compaction.RESTORE, compaction.RELOAD)
