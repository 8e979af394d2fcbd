"""The tables of an installation of the release before are divided by day: in place, with mail flowing, and after a kill
at any moment."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import psycopg
import pytest

from cluster.ids import new_id
from cluster.journal.day_tables import DAY_TABLES
from cluster.journal.dividing import CHECK, FILES_INDEX, NAME
from cluster.journal.journal import Journal, migrate

MANY = 200_000
TABLES = (*(table.name for table in DAY_TABLES), "deliveries", "report_windows")

FILL = """
CREATE TEMP TABLE made AS
SELECT n, upper(substr(t, 1, 10)) || lpad(n::text, 16, '0') AS ulid, to_timestamp(ms / 1000.0) AS at
FROM (
    SELECT n, ms, (
        SELECT string_agg(
            substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (ms >> (45 - 5 * i) & 31)::int + 1, 1), '' ORDER BY i)
        FROM generate_series(0, 9) AS i) AS t
    FROM (
        SELECT n, (extract(epoch FROM now()) * 1000)::bigint - (n::bigint * 5184000000 / {many}) AS ms
        FROM generate_series(1, {many}) AS n) AS times) AS texts;
INSERT INTO tenants (id, name) VALUES ('tnt_1', 'acme'), ('tnt_0', 'other');
INSERT INTO batches (id, tenant_id) VALUES ('bat_1', 'tnt_1');
INSERT INTO requests (id, tenant_id, created_at, categories, content)
SELECT 'req_' || ulid, 'tnt_' || n % 2, at, '{{}}', decode(md5(n::text), 'hex') FROM made;
INSERT INTO messages
    (tenant_id, id, request_id, batch_id, created_at, send_at, from_email, to_emails, subject, personal)
SELECT 'tnt_' || n % 2, 'msg_' || ulid, 'req_' || ulid, CASE WHEN n % 10 = 1 THEN 'bat_1' END, at,
    CASE WHEN n % 8 = 0 THEN now() + interval '25 days' END, 'hello@mail.example.com',
    ARRAY['u' || n || '@example.com'],
    'No. ' || n, decode(md5('own ' || n), 'hex')
FROM made;
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT 'tnt_' || n % 2, 'msg_' || ulid,
    (ARRAY['delivered', 'sent', 'bounced', 'failed', 'cancelled', 'sandbox'])[n % 6 + 1]::delivery_status, at, 0
FROM made WHERE n % 8 > 2;
INSERT INTO deliveries
    (message_id, recipient_no, tenant_id, batch_id, domain, recipient, status, due_at, expires_at, alone, lane,
    paused_due_at)
SELECT 'msg_' || ulid, 0, 'tnt_' || n % 2, CASE WHEN n % 10 = 1 THEN 'bat_1' END, 'example.com',
    'u' || n || '@example.com', (ARRAY['queued', 'processing', 'sending'])[n % 3 + 1]::delivery_status, now(),
    now() + interval '40 days', true, CASE WHEN n % 7 = 1 THEN 'lane' END, CASE WHEN n % 7 = 2 THEN now() END
FROM made WHERE n % 8 <= 2;
INSERT INTO report_windows (message_id, tenant_id, due_at)
SELECT 'msg_' || ulid, 'tnt_' || n % 2, now() + interval '1 day' FROM made WHERE n % 8 > 2 AND n % 6 = 1;
INSERT INTO attachments (tenant_id, sha256, content)
SELECT 'tnt_' || n % 2, decode(md5(n::text), 'hex'), '\\x0102' FROM made WHERE n % 100 = 0;
INSERT INTO image_opens SELECT 'tnt_' || n % 2, 'msg_' || ulid, 0, 'img_1' FROM made WHERE n % 50 = 0;
INSERT INTO complaints SELECT 'tnt_' || n % 2, 'msg_' || ulid, 0, at FROM made WHERE n % 1000 = 0;
"""
DIGEST = "SELECT count(*), coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text FROM {table} t"


async def digests(connection: psycopg.AsyncConnection[Any]) -> dict[str, tuple[int, str]]:
    """The rows of each table, whatever their order. Attachments without the day that they get."""
    found = {}
    for table in TABLES:
        source = "(SELECT tenant_id, sha256, content FROM attachments)" if table == "attachments" else table
        cursor = await connection.execute(DIGEST.format(table=source).encode())
        [found[table]] = await cursor.fetchall()
    return found


@pytest.fixture
async def former(postgres: str) -> AsyncIterator[str]:
    """The DSN of an empty journal of the release before."""
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        await connection.execute("CREATE DATABASE journal_former")
        dsn = postgres.replace("/postgres?", "/journal_former?")
        async with await psycopg.AsyncConnection.connect(dsn) as old:
            await old.execute("CREATE TABLE migrations (name text PRIMARY KEY, at timestamptz DEFAULT now())")
            folder = resources.files("cluster.journal").joinpath("migrations")
            for script in sorted(folder.iterdir(), key=lambda file: file.name):
                if script.name.endswith(".sql") and script.name < NAME:
                    await old.execute(script.read_text(encoding="utf-8").encode())
                    await old.execute("INSERT INTO migrations (name) VALUES (%s)", [script.name])
            await old.execute("INSERT INTO migrations (name) VALUES ('0006_spelling_of_domains')")
        yield dsn
        await connection.execute("DROP DATABASE journal_former WITH (FORCE)")


class Flow:
    """Mail that an older process accepts meanwhile, as its statements do."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.accepted: list[str] = []
        self.slowest_s = 0.0

    async def run(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            while True:
                id = new_id("msg_")
                began = asyncio.get_running_loop().time()
                async with connection.transaction():
                    await connection.execute(
                        "INSERT INTO requests (id, tenant_id, created_at, categories, content)"
                        " VALUES (%s, 'tnt_1', now(), '{}', 'flow')",
                        ["req_" + id[4:]],
                    )
                    await connection.execute(
                        "INSERT INTO messages (tenant_id, id, request_id, created_at, from_email, to_emails, subject,"
                        " personal) VALUES ('tnt_1', %s, %s, now(), 'a@example.com', '{b@example.com}', 'flow', 'own')",
                        [id, "req_" + id[4:]],
                    )
                    await connection.execute(
                        "INSERT INTO attachments (tenant_id, sha256, content) VALUES ('tnt_1', %s, 'x')"
                        " ON CONFLICT DO NOTHING",
                        [id.encode()],
                    )
                self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - began)
                self.accepted.append(id)
                await asyncio.sleep(0.002)


async def killed_when(dsn: str, connection: psycopg.AsyncConnection[Any], condition: str) -> None:
    """Run the migration in a process that is killed as soon as the condition holds."""
    program = f"import asyncio; from cluster.journal.journal import migrate; asyncio.run(migrate({dsn!r}))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    while process.returncode is None:
        cursor = await connection.execute(condition.encode())
        if await cursor.fetchall():
            process.send_signal(signal.SIGKILL)
            break
        await asyncio.sleep(0.001)
    await process.wait()


async def test_an_installation_moves_in_place(former: str) -> None:
    async with await psycopg.AsyncConnection.connect(former, autocommit=True) as connection:
        await connection.execute(FILL.format(many=MANY).encode())
        await connection.execute("DROP TABLE made")
        before = await digests(connection)
        flow = Flow(former)
        flowing = asyncio.create_task(flow.run())
        checks = f"SELECT FROM pg_constraint WHERE conname = '{CHECK}'"
        for condition in (
            checks,
            f"{checks} AND convalidated",
            f"{checks} AND conrelid = 'outcomes'::regclass",
            f"SELECT FROM pg_class WHERE relname = '{FILES_INDEX}'",
            f"SELECT FROM pg_index WHERE indexrelid = to_regclass('{FILES_INDEX}') AND indisvalid",
        ):
            await killed_when(former, connection, condition)
            # The server ends what the killed process left.
            ended = "SELECT FROM pg_locks WHERE locktype = 'advisory'"
            while await (await connection.execute(ended.encode())).fetchall():
                await asyncio.sleep(0.01)
        ran = await migrate(former)
        assert ran[0] == NAME
        seen = len(flow.accepted)
        while len(flow.accepted) < seen + 20:  # the older statements still find their tables
            assert not flowing.done()
            await asyncio.sleep(0.01)
        flowing.cancel()
        await asyncio.wait([flowing])
        assert await migrate(former) == []
        for statement in (
            "DELETE FROM messages WHERE subject = 'flow'",
            "DELETE FROM requests WHERE content = 'flow'",
            "DELETE FROM attachments WHERE content = 'x'",
        ):
            cursor = await connection.execute(statement.encode())
            assert len(flow.accepted) <= cursor.rowcount <= len(flow.accepted) + 1  # one may be committed untold
        assert await digests(connection) == before
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_class WHERE relkind = 'p' AND relname = ANY (%s)", [[t.name for t in DAY_TABLES]]
        )
        assert await cursor.fetchall() == [(len(DAY_TABLES),)]
        cursor = await connection.execute(checks.encode())
        assert await cursor.fetchall() == []  # it would refuse mail of later days
    assert flow.slowest_s < 2.0  # no step holds mail up: each waits for its locks for a moment only

    journal = Journal(former, application="test")
    await journal.open()
    try:
        for name, [oldest, *days] in (await journal.partitions.all()).items():
            days_of_it = (oldest.until - oldest.first).days
            assert oldest.is_oldest and days_of_it in ((4,) if name == "attachments" else (64, 65))
            assert days == []
        assert await journal.restoring.count_unfinished() == before["deliveries"][0]
    finally:
        await journal.close()


async def test_an_empty_journal_needs_no_wide_partition(former: str) -> None:
    assert (await migrate(former))[0] == NAME
    journal = Journal(former, application="test")
    await journal.open()
    try:
        for oldest, *days in (await journal.partitions.all()).values():
            assert oldest.is_oldest and oldest.until == days[0].first and len(days) == 4
    finally:
        await journal.close()
