"""Thirty days and more in a minute: the clock is an argument. A steady rate of mail, retention of three and seven days:
the disk stays flat, and mail that is scheduled for later than everything is kept whole, and sent."""

import shutil
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from msgspec.structs import replace

from actors.retaining import Retaining
from cluster.ids import moment
from cluster.journal.journal import Journal
from cluster.journal.rewriting import NoRoom
from cluster.policy.lifecycle import Status
from cluster.policy.retention import Retention
from tests.dkim_verifier import verdicts
from tests.integration.delivery import world as delivery
from tests.integration.journal.builders import a_message, a_tenant
from tests.integration.journal.days import World
from tests.integration.journal.stored import sql

START = datetime.now(UTC).replace(hour=12) + timedelta(days=1)
KEPT = Retention(bodies_days=3, messages_days=7)
DAYS = 35
PER_DAY = 300
"""Messages, with bodies of 4 KB."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    async def of_server(self) -> datetime:
        return self.now


def a_retaining(journal: Journal, clock: Clock, **more: Any) -> Retaining:
    facts = {"data_dir": None, "kept_free_bytes": 0, "clock": clock, "server_clock": clock.of_server}
    return Retaining(journal, KEPT, **(facts | more))


async def a_day_of_mail(world: World, day: date) -> None:
    """Mail of one day, which is delivered."""
    time = moment(int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000))
    parameters = {"time": time, "tenant": world.tenant_id, "day": day, "count": PER_DAY}
    statements = (
        """INSERT INTO requests (id, tenant_id, created_at, categories, content)
        SELECT 'req_' || %(time)s || lpad(n::text, 16, '0'), %(tenant)s, %(day)s, '{}',
            (SELECT string_agg(decode(md5((n * i)::text), 'hex'), '') FROM generate_series(1, 256) AS i)
        FROM generate_series(1, %(count)s) AS n""",
        """INSERT INTO messages (tenant_id, id, request_id, created_at, from_email, to_emails, subject, personal)
        SELECT %(tenant)s, 'msg_' || %(time)s || lpad(n::text, 16, '0'), 'req_' || %(time)s || lpad(n::text, 16, '0'),
            %(day)s, 'hello@mail.example.com', '{ada@example.com}', 'Welcome', decode(repeat('ab', 200), 'hex')
        FROM generate_series(1, %(count)s) AS n""",
        """INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
        SELECT %(tenant)s, 'msg_' || %(time)s || lpad(n::text, 16, '0'), 'delivered', %(day)s, 0
        FROM generate_series(1, %(count)s) AS n""",
        """INSERT INTO attachments (day, tenant_id, sha256, content)
        SELECT %(day)s, %(tenant)s, decode(md5(%(day)s::text || n), 'hex'), decode(repeat('cd', 2000), 'hex')
        FROM generate_series(1, %(count)s / 10) AS n""",
    )
    async with await psycopg.AsyncConnection.connect(world.dsn) as connection:
        await connection.execute("SET session_replication_role = replica")  # no statement of the journal's writes it
        for statement in statements:
            await connection.execute(statement.encode(), parameters)


async def test_thirty_days_and_more(journal: Journal, journal_dsn: str) -> None:
    clock = Clock()
    retaining = a_retaining(journal, clock)
    await retaining.round()
    async with delivery.a_world(journal) as sending:
        sending.zone("example.com", "127.0.0.1")
        await thirty_days_and_more(journal, World(journal, journal_dsn, sending.tenant_id), sending, clock, retaining)


async def thirty_days_and_more(
    journal: Journal, world: World, sending: delivery.World, clock: Clock, retaining: Retaining
) -> None:
    [scheduled] = await world.accept(day=START.date(), send_at=START + timedelta(days=25))
    sizes: list[int] = []
    counts: list[int] = []
    for n in range(DAYS):
        day = START.date() + timedelta(days=n)
        await retaining.round()
        await a_day_of_mail(world, day)
        if n == 25:
            assert await world.is_whole(scheduled) and sending.taken == []
            await sent_whole(world, sending, scheduled)
            # Its outcome is a fact of this day.
            await world.sql("UPDATE outcomes SET finished_at = %s WHERE message_id = %s", clock.now, scheduled)
        clock.now += timedelta(days=1)
        await retaining.round()
        [(size,)] = await world.sql(
            "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relispartition AND relkind = 'r'"
        )
        sizes.append(int(size))
        [(count,)] = await world.sql("SELECT count(*) FROM messages")
        counts.append(count)
        partitions = await journal.partitions.all()
        assert all(len(of_table) <= 1 + KEPT.messages_days + 1 + 4 for of_table in partitions.values())
    flat = sizes[9:]
    assert max(flat) <= 1.1 * min(flat), sizes
    # Those of the days that are kept, and the one that was scheduled.
    assert set(counts[9:31]) == {KEPT.messages_days * PER_DAY + 1}
    row = await journal.messages.find(world.tenant_id, scheduled)
    assert (row is None) == (25 + KEPT.messages_days + 1 < DAYS)
    assert retaining.made == DAYS + 1  # the journal was made with the first three days
    assert retaining.freed > DAYS * PER_DAY * 4000


async def sent_whole(world: World, sending: delivery.World, id: str) -> None:
    """The time of a message has come: it is delivered over SMTP, with its file and a signature that verifies."""
    await world.sql("UPDATE deliveries SET due_at = now() WHERE message_id = %s", id)
    row = await sending.finished(replace(a_message(), id=id))
    assert row.status is Status.DELIVERED
    [taken] = sending.taken
    assert taken.rcpt_to == ("u0@example.com",)
    assert verdicts(taken.content, sending.key_records) == [True]
    message = message_from_bytes(taken.content, EmailMessage, policy=default)
    [file] = message.iter_attachments()
    assert (file.get_filename(), file.get_payload(decode=True)) == ("a.txt", b"a file")


async def test_what_an_operator_prunes(journal: Journal, journal_dsn: str) -> None:
    clock = Clock()
    retaining = a_retaining(journal, clock)
    await retaining.round()
    world = World(journal, journal_dsn, await a_tenant(journal))
    [done], [unfinished], [young] = (
        await world.accept(day=START.date()),
        await world.accept(day=START.date(), file=b"2" * 32),
        await world.accept(day=START.date() + timedelta(days=1)),
    )
    await world.end([done, young], at=START)
    freed = await retaining.prune(START.date() + timedelta(days=1))
    assert freed is not None
    found = {id for (id,) in await sql(journal_dsn, "SELECT id FROM messages")}
    assert found == {unfinished, young}
    assert await world.is_whole(unfinished, b"2" * 32) and await world.is_whole(young)


async def bodies(dsn: str) -> int:
    [(count,)] = await sql(dsn, "SELECT count(*) FROM messages WHERE octet_length(personal) > 0")
    return int(count)


async def test_nothing_goes_by_a_clock_that_is_wrong(
    journal: Journal, journal_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, elapsed = Clock(), [0.0]
    retaining = a_retaining(journal, clock, elapsed=lambda: elapsed[0])
    await retaining.round()
    world = World(journal, journal_dsn, await a_tenant(journal))
    await world.end(await world.accept(day=START.date()))
    clock.now = START + timedelta(days=4000)
    for hours in (0, 1, 23):
        elapsed[0] = hours * 3600.0
        await retaining.round()
        assert await bodies(journal_dsn) == 1
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    clock.now = START + timedelta(days=2)  # it was set right
    elapsed[0] = 25 * 3600.0
    await retaining.round()
    assert await bodies(journal_dsn) == 1
    clock.now = START + timedelta(days=50)  # it was off, and is on for a day
    await retaining.round()
    assert await bodies(journal_dsn) == 1
    elapsed[0] += 25 * 3600.0
    clock.now += timedelta(days=1)
    await retaining.round()
    assert await bodies(journal_dsn) == 0


async def test_nothing_goes_that_is_young_by_the_clock_of_postgres(journal: Journal, journal_dsn: str) -> None:
    """The scheduler's clock gains a day every day, which is no jump."""
    clock, server = Clock(), Clock()
    retaining = a_retaining(journal, clock, server_clock=server.of_server)
    await retaining.round()
    world = World(journal, journal_dsn, await a_tenant(journal))
    await world.end(await world.accept(day=START.date()))
    for _ in range(8):
        clock.now += timedelta(days=1)
        await retaining.round()
    assert await bodies(journal_dsn) == 1
    for _ in range(4):
        server.now += timedelta(days=1)
        await retaining.round()
    assert await bodies(journal_dsn) == 0


class Disk(NamedTuple):
    total: int
    used: int
    free: int


async def test_no_copy_is_begun_for_which_the_disk_has_no_room(
    journal: Journal, journal_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes room at once goes even so."""
    kept, free = 10**9, [10**11]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10**12, 0, free[0]))
    clock = Clock()
    retaining = a_retaining(journal, clock, data_dir=tmp_path, kept_free_bytes=kept)
    await retaining.round()
    world = World(journal, journal_dsn, await a_tenant(journal))
    await world.end(await world.accept(day=START.date()), at=START)
    clock.now += timedelta(days=3)
    await retaining.round()
    clock.now += timedelta(days=2)
    free[0] = kept + 1000
    with pytest.raises(NoRoom, match="are free"):
        await retaining.round()
    assert await bodies(journal_dsn) == 1
    assert await sql(journal_dsn, "SELECT count(*) FROM attachments") == [(0,)]
    assert retaining.rewritten > 0
    free[0] = kept // 2 - 1
    with pytest.raises(NoRoom):
        await retaining.prune(START.date() + timedelta(days=1))
    free[0] = kept // 2
    assert await retaining.prune(START.date() + timedelta(days=1))
    assert await sql(journal_dsn, "SELECT count(*) FROM messages") == [(0,)]
