"""Bodies go, and records go, but nothing that is unfinished, whatever others do meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from cluster.journal import rewriting
from cluster.journal.day_tables import DAY_TABLES
from cluster.journal.journal import Journal
from cluster.journal.records import Recipient, decode_content
from cluster.journal.rewriting import NoRoom, Rewriting
from cluster.policy.lifecycle import Status
from cluster.policy.retention import Cutoffs, Room, cutoffs
from tests.integration.journal.builders import a_message, a_tenant, waiting
from tests.integration.journal.days import DAY, KEPT, NOW, World, after


@pytest.fixture
async def world(journal: Journal, journal_dsn: str) -> World:
    await journal.partitions.make_ahead(NOW + timedelta(days=1))
    return World(journal, journal_dsn, await a_tenant(journal))


async def test_bodies_go_but_those_of_unfinished_messages(world: World, clearing: Rewriting) -> None:
    done, [unfinished], reported = await world.accept(3), await world.accept(file=b"2" * 32), await world.accept(2)
    await world.end(done)
    await world.end(reported[:1], Status.SENT, window_s=10**6)
    await world.end(reported[1:], Status.SENT)
    await clearing.clear(after(6))
    assert await world.is_whole(done[0])
    before = len(await world.journal.happenings.since(600.0, 1000))
    rewritten = await clearing.clear(after(7))
    assert rewritten is not None
    assert {r.partition.name for r in rewritten} == {
        f"messages_{DAY:%Y%m%d}",
        f"requests_{DAY:%Y%m%d}",
        f"attachments_before_{DAY + timedelta(days=1):%Y%m%d}",
    }
    noted = await world.journal.happenings.since(600.0, 1000)
    assert {(one.kind, one.actor) for one in noted} == {("rewritten", "")} and len(noted) == before + len(rewritten)
    assert all(one.began_at <= one.ended_at for one in noted)
    assert await clearing.clear(after(7)) == []
    for id in (*done, reported[1]):
        row = await world.journal.messages.find(world.tenant_id, id)
        assert row is not None and row.content_expired
        assert (row.subject, row.status) == ("Welcome", Status.DELIVERED if id in done else Status.SENT)
        assert decode_content(row.content).from_.email == "hello@mail.example.com"
        assert decode_content(row.content).categories == ("greetings",)
        assert [r.email for r in _recipients(row.personalization)] != []
    assert await world.is_whole(unfinished, b"2" * 32)
    assert await world.is_whole(reported[0])  # its request's file stays
    [claimed] = await world.journal.queue.claim(
        waiting(world.tenant_id, replace(a_message(), id=unfinished)), owner=1, lease_s=60
    )
    assert claimed.personalization
    names = await world.sql("SELECT relname::text FROM pg_class WHERE relname ~ '^new_' OR relname ~ '^dropped'")
    assert names == []
    assert await world.sql("SELECT 1 FROM pg_trigger WHERE tgname = 'note_changes'") == []
    assert await world.sql("SELECT 1 FROM changed_rows") == []


def _recipients(personalization: bytes) -> tuple[Recipient, ...]:
    from api.messages.commands import recipients

    return recipients(personalization)


async def test_records_go_but_those_of_what_is_unfinished_or_ended_lately(world: World, clearing: Rewriting) -> None:
    ended_at = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    done, [unfinished], lately = await world.accept(2), await world.accept(file=b"2" * 32), await world.accept(2)
    await world.end(done, at=ended_at)
    await world.end(lately, at=ended_at + timedelta(days=20))
    for id in (*done, *lately, unfinished):
        await world.sql("INSERT INTO complaints VALUES (%s, %s, 0, now())", world.tenant_id, id)
        await world.sql("INSERT INTO image_opens VALUES (%s, %s, 0, 'img_1')", world.tenant_id, id)
    for days in (7, 29, 30):
        await clearing.clear(after(days))
        assert (await world.journal.messages.find(world.tenant_id, done[0]) is None) == (days == 30)
    for table in ("messages", "outcomes", "complaints", "image_opens"):
        column = "id" if table == "messages" else "message_id"
        found = {id for (id,) in await world.sql(f"SELECT {column} FROM {table}")}
        assert found == {*lately, unfinished} - ({unfinished} if table == "outcomes" else set()), table
    assert await world.sql("SELECT count(*) FROM requests") == [(2,)]
    assert await world.is_whole(unfinished, b"2" * 32)
    await world.end([unfinished], at=ended_at)
    for partitions in (await world.journal.partitions.all()).values():
        assert [p.is_oldest for p in partitions].count(True) == 1 and partitions[0].until > DAY
    # A day later something else goes, and with it what has ended. The others stay as long as what came when they ended.
    await clearing.clear(after(31))
    assert {id for (id,) in await world.sql("SELECT id FROM messages")} == set(lately)
    await clearing.clear(after(51))
    assert await world.sql("SELECT count(*) FROM messages") == [(0,)]


class Interrupted(Exception):
    """The process ends here."""


def after_copying(monkeypatch: pytest.MonkeyPatch, table: str, act: Callable[[], Awaitable[Any]]) -> None:
    """Do something, once, when the rows of ``DAY`` of a table are copied, and its partitions not yet exchanged."""
    copy_rows = rewriting._copy
    done: list[str] = []

    async def copied(connection: Any, copy: Any, look: Any) -> None:
        await copy_rows(connection, copy, look)
        if copy.table.name == table and copy.rewrite.until > DAY and not done:
            done.append(table)
            await act()

    monkeypatch.setattr(rewriting, "_copy", copied)


@pytest.mark.parametrize("table", [table.name for table in DAY_TABLES])
@pytest.mark.parametrize("days", [7, 30])
async def test_what_others_do_meanwhile_is_not_lost(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch, table: str, days: int
) -> None:
    ids = await world.accept(6)
    erased, ending, changed, failed, complained, done = ids
    await world.end([changed, complained, done], Status.SENT, window_s=10**6)
    await world.end([failed], Status.FAILED)
    late: list[str] = []
    retried: list[Any] = []

    async def meanwhile() -> None:
        await world.end([ending])
        await world.sql("DELETE FROM messages WHERE id = %s", erased)
        await world.sql("UPDATE outcomes SET retry_count = 7 WHERE message_id = %s", changed)
        await world.sql("INSERT INTO complaints VALUES (%s, %s, 0, now())", world.tenant_id, complained)
        await world.sql("INSERT INTO image_opens VALUES (%s, %s, 0, 'img_1')", world.tenant_id, complained)
        retried.append(
            await world.journal.commands.retry(world.tenant_id, failed, [Recipient("u@example.com", "example.com")], 60)
        )
        late.extend(await world.accept(2, file=b"3" * 32))

    after_copying(monkeypatch, table, meanwhile)
    rewritten = await clearing.clear(after(days))
    assert (rewritten and late) or (days == 7 and table not in ("messages", "requests", "attachments"))
    if not late:
        return
    find = world.journal.messages.find
    assert await find(world.tenant_id, erased) is None or table not in ("messages",)
    row = await find(world.tenant_id, ending)
    assert row is not None and row.status is Status.DELIVERED
    row = await find(world.tenant_id, changed)
    assert row is not None and row.retry_count == 7
    assert await world.sql("SELECT message_id FROM complaints") == [(complained,)]
    assert await world.sql("SELECT message_id FROM image_opens") == [(complained,)]
    [result] = retried
    assert result is None or (result.done, result.content_expired) == (False, True)  # None: its records went before
    for id in late:
        assert await world.is_whole(id, b"3" * 32)
    assert await world.sql("SELECT id FROM messages WHERE id = %s", erased) == []


async def test_a_retry_comes_before_or_after(world: World, clearing: Rewriting) -> None:
    """Who retries a message keeps its body; once it is going, a retry is refused."""
    [first], [second] = await world.accept(), await world.accept(file=b"2" * 32)
    await world.end([first, second], Status.FAILED)
    to = [Recipient("u@example.com", "example.com")]
    async with await psycopg.AsyncConnection.connect(world.dsn) as held:
        # A retry that has not committed yet: the clearing waits for it.
        await held.execute("SELECT FROM retention FOR SHARE")
        clearing_now = asyncio.create_task(clearing.clear(after(7)))
        await asyncio.sleep(0.2)
        assert not clearing_now.done()
        result = await world.journal.commands.retry(world.tenant_id, first, to, 60)
        assert result is not None and result.done
        await held.commit()
        await clearing_now
    assert await world.is_whole(first)
    result = await world.journal.commands.retry(world.tenant_id, second, to, 60)
    assert result is not None and (result.done, result.content_expired) == (False, True)
    result = await world.journal.commands.retry(world.tenant_id, first, to, 60)
    assert result is not None and not result.content_expired  # it is unfinished


async def test_no_lock_holds_mail_up(world: World, clearing: Rewriting) -> None:
    """A long read keeps the exchange from its locks; nobody waits behind it for longer than a moment."""
    done = await world.accept(3)
    await world.end(done)
    async with await psycopg.AsyncConnection.connect(world.dsn) as reading:
        await reading.execute("SELECT count(*) FROM messages")
        clearing_now = asyncio.create_task(clearing.clear(after(7)))
        slowest_s = 0.0
        clock = asyncio.get_running_loop().time
        until = clock() + 1.5
        while clock() < until:
            began = clock()
            await world.accept(day=DAY + timedelta(days=1))
            slowest_s = max(slowest_s, clock() - began)
        assert not clearing_now.done()
        assert await world.is_whole(done[0])
        await reading.rollback()
        assert await clearing_now
    assert slowest_s < 1.0
    row = await world.journal.messages.find(world.tenant_id, done[0])
    assert row is not None and row.content_expired


@pytest.mark.parametrize("table", [table.name for table in DAY_TABLES])
async def test_a_clearing_that_was_killed_begins_anew(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    done, [unfinished] = await world.accept(3), await world.accept(file=b"2" * 32)
    await world.end(done, at=datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC))

    async def killed() -> None:
        raise Interrupted

    after_copying(monkeypatch, table, killed)
    with pytest.raises(Interrupted):
        await clearing.clear(after(30))
    monkeypatch.undo()
    assert await world.is_whole(unfinished, b"2" * 32)
    assert not await left(world)
    assert await clearing.clear(after(30))
    assert await world.is_whole(unfinished, b"2" * 32)
    assert {id for (id,) in await world.sql("SELECT id FROM messages")} == {unfinished}
    assert await world.sql("SELECT relname::text FROM pg_class WHERE relname ~ '^new_'") == []


async def left(world: World) -> list[Any]:
    """What a rewrite has left behind."""
    found: list[Any] = []
    for statement in (
        "SELECT relname::text FROM pg_class WHERE relname ~ '^new_' AND relkind = 'r'",
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'note_changes'",
        "SELECT key FROM changed_rows",
    ):
        found += await world.sql(statement)
    return found


async def test_what_a_killed_process_left_goes_though_nothing_is_to_be_rewritten(
    world: World, clearing: Rewriting
) -> None:
    partition = f"messages_{DAY:%Y%m%d}"
    await world.sql("CREATE TABLE new_messages (LIKE messages INCLUDING ALL)")
    await world.sql(
        f"CREATE TRIGGER note_changes AFTER INSERT OR UPDATE OR DELETE ON {partition} FOR EACH ROW"
        " EXECUTE FUNCTION note_changed_row('messages', 'id')"
    )
    await world.accept()
    assert len(await left(world)) == 3
    assert await clearing.clear(after(0)) == []
    assert await left(world) == []


async def test_a_copy_ends_when_the_disk_becomes_full(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "BLOCKS", 1)
    for _ in range(4):
        await world.end(await world.accept(50))
    await clearing.clear(after(6))
    looks = 0

    async def look() -> Room:
        nonlocal looks
        looks += 1
        return Room(free_bytes=10**12 if looks < 4 else 5, kept_free_bytes=10)

    with pytest.raises(NoRoom, match="has become full") as raised:
        await clearing.clear(after(7), look=look)
    assert looks == 4 and raised.value.rewritten == []
    assert await left(world) == []
    assert await clearing.clear(after(7))


@pytest.mark.parametrize("days", [7, 30])
async def test_what_comes_meanwhile_stays_however_often_it_is_changed(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """A change that is copied in a later step than the row's coming is no reason to drop it."""
    monkeypatch.setattr(rewriting, "CHANGES", 1)
    await world.end(await world.accept())
    late: list[str] = []

    async def meanwhile() -> None:
        late.extend(await world.accept(file=b"3" * 32))
        await world.end(late)
        await world.sql("UPDATE messages SET subject = 'Changed' WHERE id = %s", late[0])

    after_copying(monkeypatch, "messages", meanwhile)
    assert await clearing.clear(after(days))
    found = await world.sql("SELECT subject, octet_length(personal) > 0 FROM messages WHERE id = %s", late[0])
    assert found == [("Changed", True)]


async def test_an_exchange_that_is_behind_lets_others_go_on(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large transaction commits while the exchange waits for it: its rows are copied before it is tried again."""
    monkeypatch.setattr(rewriting, "CHANGES", 3)
    ids = await world.accept(20)
    await world.end(ids)
    within: list[int] = []
    exchanged = rewriting._exchanged
    tries = 0

    async def changed_first(copy: Any, connection: Any) -> float:
        nonlocal tries
        if copy.table.name == "messages" and copy.rewrite.until > DAY:
            tries += 1
            if tries == 1:
                await world.sql("UPDATE messages SET subject = 'Changed'")
            within.append(len(await world.sql("SELECT id FROM changed_rows WHERE table_name = 'messages'")))
        return await exchanged(copy, connection)

    monkeypatch.setattr(rewriting, "_exchanged", changed_first)
    assert await clearing.clear(after(7))
    assert within == [20, 0]
    assert await world.sql("SELECT DISTINCT subject FROM messages") == [("Changed",)]


@pytest.mark.parametrize("table", ["messages", "requests", "attachments", "outcomes"])
async def test_a_day_that_is_made_among_those_that_go_goes_with_them(
    world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """Mail of a day that was missing is accepted while the days around it are copied."""
    between, far = DAY + timedelta(days=7), DAY + timedelta(days=10)
    await world.end(await world.accept(day=far))
    made: list[str] = []

    async def meanwhile() -> None:
        if not made:
            made.extend(await world.accept(2, day=between, file=b"2" * 32))
            await world.end(made[:1])

    after_copying(monkeypatch, table, meanwhile)
    gone = far + timedelta(days=1)
    assert await clearing.clear(Cutoffs(bodies=gone, records=gone))
    # What ended is new in what was copied, or gone.
    found = {id for (id,) in await world.sql("SELECT id FROM messages")}
    assert made[1] in found <= {*made}
    assert await world.is_whole(made[1], b"2" * 32)
    partitions = await world.journal.partitions.all()
    assert all(one.is_oldest or one.until > gone for of_table in partitions.values() for one in of_table)
    assert await world.sql("SELECT 1 FROM pg_class WHERE relname ~ '^new_'") == []
    assert await world.sql("SELECT 1 FROM pg_trigger WHERE tgname = 'note_changes'") == []


async def test_noting_a_change_reads_no_body(world: World) -> None:
    await world.accept()
    partition = f"requests_{DAY:%Y%m%d}"
    async with await psycopg.AsyncConnection.connect(world.dsn) as connection:
        await connection.execute(
            f"UPDATE {partition} SET content = (SELECT string_agg(decode(md5(n::text), 'hex'), '')"
            " FROM generate_series(1, 60000) n)".encode()
        )
        await connection.commit()
        await connection.execute(
            f"CREATE TRIGGER note_changes AFTER UPDATE ON {partition} FOR EACH ROW"
            " EXECUTE FUNCTION note_changed_row('requests', 'id')".encode()
        )
        read = (
            "SELECT pg_stat_get_xact_blocks_fetched(reltoastrelid) FROM pg_class"
            f" WHERE oid = '{partition}'::regclass".encode()
        )
        cursor = await connection.execute(read)
        before = await cursor.fetchone()
        await connection.execute(f"UPDATE {partition} SET categories = '{{a}}'".encode())
        cursor = await connection.execute("SELECT tenant_id FROM changed_rows")
        assert await cursor.fetchall() == [(world.tenant_id,)]
        cursor = await connection.execute(read)
        assert await cursor.fetchone() == before
        await connection.execute(f"SELECT md5(content) FROM {partition}".encode())
        cursor = await connection.execute(read)
        assert await cursor.fetchone() != before  # this is what would show
        await connection.rollback()


async def test_one_process_at_a_time(world: World, clearing: Rewriting, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.end(await world.accept())
    others: list[Any] = []

    async def other() -> None:
        others.append(await world.journal.rewriting.clear(after(7)))

    after_copying(monkeypatch, "messages", other)
    assert await clearing.clear(after(7))
    assert others == [None]


async def test_a_partition_of_many_days_is_rewritten_in_its_place(world: World, clearing: Rewriting) -> None:
    """What an installation had before it was divided: some of it goes, some of it loses its bodies, some stays."""
    until = NOW.date()
    old, older, young = (until - timedelta(days=n) for n in (10, 40, 2))
    gone, bare, kept = [await world.accept(3, day=day) for day in (older, old, young)]
    [scheduled] = await world.accept(day=older, file=b"2" * 32)
    for ids, day in ((gone, older), (bare, old), (kept, young)):
        await world.end(ids, at=datetime(day.year, day.month, day.day, tzinfo=UTC))
    await world.sql("UPDATE day_partitions SET first = %s WHERE is_oldest", until - timedelta(days=90))
    assert await clearing.clear(cutoffs(NOW, KEPT))
    found = {id for (id,) in await world.sql("SELECT id FROM messages")}
    assert found == {*bare, *kept, scheduled}
    for id in (*bare, *kept):
        row = await world.journal.messages.find(world.tenant_id, id)
        assert row is not None and row.content_expired == (id in bare)
    assert await world.is_whole(scheduled, b"2" * 32)
    assert await clearing.clear(cutoffs(NOW, KEPT)) == []
