"""A process that rewrites days is killed at any moment, with SIGKILL: what is unfinished is whole at every time, and
the next process comes to the end."""

import asyncio
import random
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from cluster.ids import moment
from cluster.journal.journal import Journal
from tests.integration.journal.builders import a_tenant
from tests.integration.journal.days import DAY, NOW, World, after
from tests.integration.journal.stored import sql

MANY = 30_000
PROGRAM = """
import asyncio, datetime
from cluster.journal import rewriting
from cluster.journal.journal import Journal
from cluster.policy.retention import Cutoffs

rewriting.BLOCKS = 2

async def clear(dsn, bodies, records):
    journal = Journal(dsn, application="clearing")
    await journal.open()
    day = datetime.date.fromisoformat
    await journal.rewriting.clear(Cutoffs(bodies=day(bodies), records=day(records)))
    await journal.close()

asyncio.run(clear({dsn!r}, {bodies!r}, {records!r}))
"""

FILL = """
INSERT INTO requests (id, tenant_id, created_at, categories, content)
SELECT 'req_' || %(time)s || lpad(n::text, 16, '0'), %(tenant)s, %(day)s, '{}', decode(repeat('ab', 500), 'hex')
FROM generate_series(1, %(many)s) AS n;
INSERT INTO messages (tenant_id, id, request_id, created_at, from_email, to_emails, subject, personal)
SELECT %(tenant)s, 'msg_' || %(time)s || lpad(n::text, 16, '0'), 'req_' || %(time)s || lpad(n::text, 16, '0'),
    %(day)s, 'hello@mail.example.com', '{ada@example.com}', 'Welcome', decode(repeat('ab', 100), 'hex')
FROM generate_series(1, %(many)s) AS n;
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant)s, 'msg_' || %(time)s || lpad(n::text, 16, '0'), 'delivered', %(day)s, 0
FROM generate_series(1, %(many)s) AS n;
"""


async def fill(world: World, day: date) -> None:
    time = moment(int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000))
    facts = {"time": time, "tenant": world.tenant_id, "day": day, "many": MANY}
    async with await psycopg.AsyncConnection.connect(world.dsn) as connection:
        await connection.execute("SET session_replication_role = replica")  # no statement of the journal's writes it
        for statement in FILL.split(";\n"):
            await connection.execute(statement.encode(), facts if statement.strip() else None)


async def cleared(dsn: str, days: int, kill_after_s: float | None) -> int | None:
    """The exit status of a process that clears; it is killed after so long."""
    upto = after(days)
    program = PROGRAM.format(dsn=dsn, bodies=upto.bodies.isoformat(), records=upto.records.isoformat())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    if kill_after_s is not None:
        while not await sql(dsn, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", 0x72657772):
            assert process.returncode is None or process.returncode == 0
            if process.returncode == 0:
                return 0
            await asyncio.sleep(0.005)
        await asyncio.sleep(kill_after_s)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    await process.wait()
    # The server may need a moment to notice that its client is gone.
    while await sql(dsn, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", 0x72657772):
        await asyncio.sleep(0.01)
    return process.returncode


async def test_it_may_be_killed_at_any_moment(journal: Journal, journal_dsn: str) -> None:
    world = World(journal, journal_dsn, await a_tenant(journal))
    await journal.partitions.make_ahead(NOW + timedelta(days=1))
    await fill(world, DAY)
    unfinished = await world.accept(3, file=b"2" * 32)
    draw = random.Random(7)
    killed = 0

    async def is_whole() -> None:
        for id in unfinished:
            assert await world.is_whole(id, b"2" * 32)
        [(found,)] = await world.sql("SELECT count(*) FROM deliveries")
        assert found == len(unfinished)

    for days in (7, 30):
        for _ in range(6):
            status: Any = await cleared(journal_dsn, days, draw.uniform(0, 0.8))
            killed += status == -signal.SIGKILL
            await is_whole()
        assert await cleared(journal_dsn, days, None) == 0
        await is_whole()
        left = "SELECT count(*), count(*) FILTER (WHERE octet_length(personal) > 0) FROM messages"
        expected = MANY + len(unfinished) if days == 7 else len(unfinished)
        assert await world.sql(left) == [(expected, len(unfinished))]
        assert await world.sql("SELECT 1 FROM pg_class WHERE relname ~ '^new_'") == []
        assert await world.sql("SELECT 1 FROM pg_trigger WHERE tgname = 'note_changes'") == []
    assert killed >= 3
