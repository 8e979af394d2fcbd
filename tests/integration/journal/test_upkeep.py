"""After an outage the hot tables become as small as they were, while mail flows, and nothing is lost on the way."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from actors.upkeep import Upkeep
from benchmarks.hot_tables import Size, sizes
from benchmarks.outage_mail import OutageMail
from cluster.journal.journal import Journal, migrate
from cluster.journal.records import DueDelivery
from cluster.journal.upkeep import Working
from cluster.policy.upkeep import FEWER, HOT, MIB
from tests.integration.journal.builders import a_tenant

MANY = 20_000
SCHEDULED = 3000
MOST = 1.2


@pytest.fixture
def upkeep(journal: Journal) -> Upkeep:
    """It sees to small files, too. Postgres' own vacuum needs more time than the test."""
    return Upkeep(journal, least=MIB // 2)


@pytest.fixture
def session(journal_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(journal_dsn, autocommit=True) as connection:
        yield connection


async def calm(journal: Journal, upkeep: Upkeep, rows: int = SCHEDULED) -> None:
    """As soon as Postgres knows how few rows there are, two rounds: the first one only learns it, too."""
    async with asyncio.timeout(60):
        while any(table.rows > rows or table.chunks for table in await journal.upkeep.measure()):
            # A session tells what it has counted after its next statement, once a second.
            await asyncio.gather(*(journal.queue.backlog() for _ in range(10)))
            await asyncio.sleep(0.05)
    await upkeep.round()
    await upkeep.round()


async def an_outage(mail: OutageMail, scheduled: list[DueDelivery]) -> list[DueDelivery]:
    """Mail waits in lanes and is delivered. What was scheduled before is delivered, too, and as much is scheduled while
    the queue is long. Returns the latter."""
    mail.leave_log()
    anew = []
    for start in range(0, SCHEDULED, SCHEDULED // 10):
        await mail.queue_up(MANY // 10)
        await mail.deliver(scheduled[start : start + SCHEDULED // 10])
        anew += await mail.scheduled(SCHEDULED // 10)
    await mail.try_all()
    await mail.drain(MANY)
    return anew


async def read(journal: Journal) -> None:
    """A consumer of the log comes back."""
    while rows := await journal.event_log.after("recorder", 500):
        await journal.event_log.move_cursor("recorder", rows[-1].tx, rows[-1].id)
        await journal.event_log.trim()


async def test_after_an_outage_tables_and_indexes_are_as_small_as_before(
    journal: Journal, journal_dsn: str, upkeep: Upkeep
) -> None:
    mail = OutageMail(journal, await a_tenant(journal), domains=5)
    scheduled = [one for _ in range(10) for one in await mail.scheduled(SCHEDULED // 10)]
    await read(journal)
    before = sizes(journal_dsn)
    anew = await an_outage(mail, scheduled)
    top = sizes(journal_dsn)
    assert top["deliveries"].rows > 5 * before["deliveries"].rows
    await read(journal)
    await calm(journal, upkeep)
    after = sizes(journal_dsn)
    for table, waiting in (("deliveries", SCHEDULED), ("event_log", 0)):
        most = _most(table, before[table], waiting)
        assert after[table].rows <= most.rows, (before, top, after)
        assert after[table].indexes <= most.indexes, (before, top, after)
    # And all that waits is still there.
    assert await mail.deliver(anew) == SCHEDULED


async def test_a_file_whose_end_could_not_be_cut_off_is_cut_later(
    journal: Journal, journal_dsn: str, upkeep: Upkeep, session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    vacuum = Working.vacuum

    async def vacuum_beside_others(working: Working, table: str) -> None:
        with session.transaction():
            session.execute("SELECT FROM deliveries LIMIT 1")  # uses the table until its end, and keeps no snapshot
            await vacuum(working, table)

    mail = OutageMail(journal, await a_tenant(journal), domains=5)
    scheduled = [one for _ in range(10) for one in await mail.scheduled(SCHEDULED // 10)]
    most = _most("deliveries", sizes(journal_dsn)["deliveries"], SCHEDULED)
    await an_outage(mail, scheduled)
    await read(journal)
    monkeypatch.setattr(Working, "vacuum", vacuum_beside_others)
    await calm(journal, upkeep)
    assert sizes(journal_dsn)["deliveries"].rows > most.rows
    monkeypatch.undo()
    await upkeep.round()
    assert sizes(journal_dsn)["deliveries"].rows <= most.rows


def _most(table: str, before: Size, waiting: int) -> Size:
    """The largest sizes that upkeep leaves: a little more than before, or than the rows that wait need. Those of a new
    table are packed more closely than upkeep counts on."""
    needed = FEWER * waiting / MIB
    return Size(
        rows=max(MOST * before.rows, needed * HOT[table].row),
        indexes=max(MOST * before.indexes, needed * HOT[table].entries),
    )


async def test_what_is_cancelled_while_its_row_moves_is_cancelled(journal: Journal) -> None:
    """A moving row is locked, and is found where it is afterwards."""
    tenant = await a_tenant(journal)
    mail = OutageMail(journal, tenant, domains=1)
    await mail.queue_up(2000)
    scheduled = [one for _ in range(4) for one in await mail.scheduled(50)]
    await mail.drain(2000)
    async with journal.upkeep.working() as working:
        assert working is not None
        await working.vacuum("deliveries")
        moving = asyncio.create_task(working.leave_pages(0, 10_000))
        cancelled = [await journal.commands.cancel(tenant, one.message_id) for one in scheduled]
        await moving
    assert all(cancelled), cancelled
    assert await mail.claim(scheduled) == []


async def test_rows_move_to_the_front_and_keep_all_that_they_say(journal: Journal, session: psycopg.Connection) -> None:
    mail = OutageMail(journal, await a_tenant(journal), domains=1)
    await mail.queue_up(2000)
    scheduled = await mail.scheduled(400)
    await mail.drain(2000)
    before = session.execute(ROWS).fetchall()
    async with journal.upkeep.working() as working:
        assert working is not None
        await working.vacuum("deliveries")
        first = _first_page(session)
        assert first > 20
        assert await working.leave_pages(first, 10_000) == 250
        assert await working.leave_pages(first, 10_000) == 150
        assert await working.leave_pages(first, 10_000) == 0
        await working.vacuum("deliveries")
    assert session.execute(ROWS).fetchall() == before
    assert _pages(session) < first
    assert await mail.deliver(scheduled) == 400


async def test_no_row_moves_that_somebody_is_about_to_touch(journal: Journal, session: psycopg.Connection) -> None:
    mail = OutageMail(journal, await a_tenant(journal), domains=1)
    now = await mail.accept(mail.request(1))
    leased, tomorrow = await mail.scheduled(1), await mail.scheduled(1)
    await mail.claim(leased)
    held = await mail.scheduled(1)
    async with journal.upkeep.working() as working:
        assert working is not None
        with session.transaction():
            # Another transaction has the row, and nobody waits for it.
            session.execute("SELECT FROM deliveries WHERE message_id = %s FOR UPDATE", [held[0].message_id])
            assert await working.leave_pages(0, 100) in (1, None)
    assert await mail.deliver([*now, *tomorrow, *held]) == 3


async def test_without_room_in_front_the_file_does_not_grow_for_long(
    journal: Journal, session: psycopg.Connection
) -> None:
    """An old snapshot, such as a backup's, keeps dead rows where they are."""
    mail = OutageMail(journal, await a_tenant(journal), domains=1)
    await mail.queue_up(3000)
    scheduled = await mail.scheduled(300)
    async with journal.upkeep.working() as working:
        assert working is not None
        with session.transaction():
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            session.execute("SELECT count(*) FROM deliveries")
            await mail.drain(3000)
            await working.vacuum("deliveries")
            before = _pages(session)
            assert await working.leave_pages(1, 10_000) is None
            assert _pages(session) < before + 1000
        await working.vacuum("deliveries")
        while await working.leave_pages(20, 10_000):
            pass
        await working.vacuum("deliveries")
    assert _pages(session) <= 20
    assert await mail.deliver(scheduled) == 300


async def test_what_a_rebuild_that_was_interrupted_left_is_removed(
    journal: Journal, upkeep: Upkeep, session: psycopg.Connection, journal_dsn: str
) -> None:
    await a_tenant(journal)
    names = set(session.execute(INDEXES).fetchall())
    with psycopg.connect(journal_dsn) as other:
        for table in HOT:
            other.execute(f"SELECT count(*) FROM {table}".encode())
        session.execute("SET statement_timeout TO '300ms'")
        for table in HOT:
            # It waits for the other transaction, and gives up.
            with pytest.raises(errors.QueryCanceled):
                session.execute(f"REINDEX TABLE CONCURRENTLY {table}".encode())
        session.execute("RESET statement_timeout")
    assert set(session.execute(INDEXES).fetchall()) > names
    await upkeep.round()
    assert set(session.execute(INDEXES).fetchall()) == names


async def test_one_process_at_a_time_sees_to_the_tables(journal: Journal) -> None:
    async with journal.upkeep.working() as working, journal.upkeep.working() as other:
        assert working is not None
        assert other is None
    async with journal.upkeep.working() as working:
        assert working is not None


async def test_mail_is_claimed_while_vacuum_waits_for_the_end_of_the_file_and_while_indexes_are_built(
    journal: Journal, session: psycopg.Connection
) -> None:
    """Both wait for a transaction that has the table, and nobody waits behind them."""
    mail = OutageMail(journal, await a_tenant(journal), domains=1)
    await mail.queue_up(5000)
    await mail.drain(5000)
    for work in ("vacuum", "rebuild"):
        async with journal.upkeep.working() as working:
            assert working is not None
            with session.transaction():
                session.execute("LOCK TABLE deliveries IN ROW EXCLUSIVE MODE")
                session.execute("SELECT pg_current_xact_id()")
                at_work = asyncio.create_task(getattr(working, work)("deliveries"))
                async with asyncio.timeout(4):
                    for _ in range(20):
                        assert await mail.deliver(await mail.accept(mail.request(10))) == 10
                assert not at_work.done(), "it had nothing to wait for"
            await at_work


async def test_the_upgrade_has_the_event_log_vacuumed_as_often_as_the_queue(
    journal_dsn: str, session: psycopg.Connection
) -> None:
    """By default only when a fifth of what a consumer left behind is dead, and slowly."""
    (_, before), *_ = session.execute(OPTIONS).fetchall()
    for prefix in ("", "toast."):
        names = ", ".join(f"{prefix}{option.partition('=')[0]}" for option in before)
        session.execute(f"ALTER TABLE event_log RESET ({names})".encode())
    session.execute("DELETE FROM migrations WHERE name = '0022_hot_tables.sql'")
    assert await migrate(journal_dsn) == ["0022_hot_tables.sql"]
    found = session.execute(OPTIONS).fetchall()
    assert len(found) == 3
    for name, options in found:
        assert {"autovacuum_vacuum_scale_factor=0.01", "autovacuum_vacuum_cost_delay=0"} <= set(options or ()), name


ROWS = "SELECT * FROM deliveries ORDER BY message_id, recipient_no"
INDEXES = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c
ON c.oid IN ('deliveries'::regclass, 'event_log'::regclass) AND i.indrelid IN (c.oid, c.reltoastrelid)
"""
OPTIONS = """
SELECT o.relname, o.reloptions FROM pg_class c JOIN pg_class o ON o.oid IN (c.oid, nullif(c.reltoastrelid, 0))
WHERE c.relname = 'event_log'
UNION ALL SELECT relname, reloptions FROM pg_class WHERE relname = 'deliveries'
"""


def _first_page(session: psycopg.Connection) -> int:
    """The first page that has a delivery."""
    row = session.execute("SELECT min((ctid::text::point)[0])::int FROM deliveries").fetchone()
    assert row is not None
    return int(row[0])


def _pages(session: psycopg.Connection) -> int:
    row = session.execute("SELECT pg_relation_size('deliveries') / 8192").fetchone()
    assert row is not None
    return int(row[0])
