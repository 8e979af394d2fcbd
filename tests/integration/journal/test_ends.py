"""Each table has its end: what is past it goes, in steps, and what is not stays."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import psycopg
import pytest

from actors.purging import PastEnds, UnusedBatches
from cluster.ids import first_id, new_id
from cluster.journal.ends import BOUNDED_BY, UNUSED_BATCH_DAYS, End, ends_with
from cluster.journal.journal import Journal
from tests.integration.journal.builders import a_request, a_tenant, some_messages
from tests.integration.journal.stored import sql

NOW = datetime.now(UTC)
MESSAGES_DAYS = 30
COLUMNS = """
SELECT column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s AND is_nullable = 'NO' AND is_identity = 'NO' ORDER BY 1
"""
VALUES: dict[str, Any] = {
    "ARRAY": [],
    "bigint": 1,
    "boolean": False,
    "bytea": b"",
    "date": NOW,
    "integer": 1,
    "jsonb": "{}",
    "text": "",
    "timestamp with time zone": NOW,
    "xid8": "0",
    "USER-DEFINED": "bounces",
}
FITTING: dict[str, Any] = {"made_by": "operator", "status": "done"}


def fill(dsn: str, end: End, ages: Sequence[timedelta | None]) -> None:
    """Rows of the table with these ages, None without a time; nothing that they refer to is there."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        columns = dict(connection.execute(COLUMNS, [end.table]).fetchall())
        kind = "date" if end.column == "day" else "timestamp with time zone"
        columns[end.column] = kind
        for number, age in enumerate(ages):
            row = {
                name: FITTING.get(name, f"{name}{number}" if kind == "text" else VALUES[kind])
                for name, kind in columns.items()
            }
            row |= {name: f"{number}".encode() for name, kind in columns.items() if kind == "bytea"}
            row[end.column] = None if age is None else NOW - age
            values = ", ".join(f"%({name})s" for name in row)
            connection.execute(f"INSERT INTO {end.table} ({', '.join(row)}) VALUES ({values})".encode(), row)


def left(dsn: str, end: End) -> list[datetime | None]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(f"SELECT {end.column} FROM {end.table} ORDER BY 1".encode()).fetchall()
    return [at for (at,) in found]


async def test_every_table_is_bounded_by_something(journal: Journal, journal_dsn: str) -> None:
    tables = await sql(
        journal_dsn,
        "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace",
    )
    assert BOUNDED_BY.keys() == {table for (table,) in tables} - {
        "effects"
    }  # which tests keep (tests/journal_effects.py)


@pytest.mark.parametrize("end", ends_with(30), ids=lambda end: end.table)
async def test_what_is_past_its_end_goes_in_steps_and_the_rest_stays(
    journal: Journal, journal_dsn: str, end: End
) -> None:
    a_day = timedelta(days=1)
    past = [end.after + a_day * days for days in (2, 3, 4)]
    kept = [max(end.after - a_day, end.after / 2), -a_day]
    is_nullable = end.column in ("finished_at", "revoked_at", "deleted_at", "retired_at")
    fill(journal_dsn, end, [*past, *kept, *([None] if is_nullable else [])])
    removed = [await journal.ends.remove(end, NOW, 2) for _ in range(3)]
    assert removed == [2, 1, 0]
    assert len(left(journal_dsn, end)) == len(kept) + is_nullable


async def test_all_tables_are_gone_through_a_page_a_call(journal: Journal, journal_dsn: str) -> None:
    some = [end for end in ends_with(30) if end.table in ("strikes", "suspensions", "site_actions")]
    for end in some:
        fill(journal_dsn, end, [end.after * 2] * 3)
    past = PastEnds(journal, some, lambda: NOW)
    calls = [await past.remove(2) for _ in range(6)]
    assert calls == [2, 1, 2, 1, 2, 1]
    assert [left(journal_dsn, end) for end in some] == [[], [], []]


async def test_the_policies_in_force_stay_however_old(journal: Journal, journal_dsn: str) -> None:
    (end,) = [end for end in ends_with(30) if end.table == "policies"]
    for shaping in ("first", "second"):
        await journal.policies.activate(shaping, b"")
    await sql(journal_dsn, "UPDATE policies SET loaded_at = now() - interval '1 year'")
    assert await journal.ends.remove(end, NOW, 10) == 1
    active = await journal.policies.active()
    assert active is not None and active.shaping == "second"


# Batches


async def a_batch(journal: Journal, dsn: str, tenant: str, age: timedelta) -> str:
    """A batch that was made so long ago."""
    id = first_id("bat_", NOW - age)[:-6] + new_id("bat_")[-6:]
    await sql(dsn, "INSERT INTO batches (id, tenant_id, created_at) VALUES (%s, %s, %s)", id, tenant, NOW - age)
    return id


async def test_an_unused_batch_goes_and_a_used_one_with_its_last_message(journal: Journal, journal_dsn: str) -> None:
    tenant, old = await a_tenant(journal), timedelta(days=UNUSED_BATCH_DAYS, minutes=1)
    used, unused = [await a_batch(journal, journal_dsn, tenant, old) for _ in range(2)]
    new = await a_batch(journal, journal_dsn, tenant, old - timedelta(hours=1))
    await journal.intake.accept([a_request(tenant, *some_messages(1), batch_id=used)])
    assert await journal.scheduled_sends.schedule(tenant, unused, "pause") is not None
    sweep = UnusedBatches(journal, lambda: NOW)
    assert [await sweep.remove(1) for _ in range(3)] == [1, 1, 0]
    assert [await journal.batches.exists(tenant, id) for id in (used, unused, new)] == [True, False, True]
    counts = await journal.batches.counts(tenant, used)
    assert counts is not None and counts.total == 1
    assert await sql(journal_dsn, "SELECT batch_id FROM scheduled_sends") == []
    await sql(journal_dsn, "DELETE FROM messages")
    await sweep.remove(10)
    assert await journal.batches.counts(tenant, used) is None
    assert await sql(journal_dsn, "SELECT batch_id FROM batch_tallies") == []
    assert await journal.batches.exists(tenant, new)


async def test_a_batch_that_is_being_added_to_stays(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    batch_id = await a_batch(journal, journal_dsn, tenant, timedelta(days=UNUSED_BATCH_DAYS + 1))
    async with await psycopg.AsyncConnection.connect(journal_dsn) as adding:
        await adding.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [batch_id])
        assert await journal.ends.remove_batches(NOW, "", 10) == (0, "")
    assert await journal.ends.remove_batches(NOW, "", 10) == (1, "")


async def test_a_batch_that_is_being_paused_stays(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    batch_id = await a_batch(journal, journal_dsn, tenant, timedelta(days=UNUSED_BATCH_DAYS + 1))
    async with await psycopg.AsyncConnection.connect(journal_dsn) as pausing:
        await pausing.execute(
            "INSERT INTO scheduled_sends (tenant_id, batch_id, status) VALUES (%s, %s, 'pause')", [tenant, batch_id]
        )
        async with asyncio.timeout(10):
            assert await journal.ends.remove_batches(NOW, "", 10) == (0, "")
    assert await journal.ends.remove_batches(NOW, "", 10) == (1, "")
    assert await sql(journal_dsn, "SELECT batch_id FROM scheduled_sends") == []


# Texts of templates


UNUSED = "SELECT convert_from(sha256, 'UTF8') FROM template_texts WHERE unused_since IS NOT NULL"


async def texts_left(dsn: str) -> int:
    [(count,)] = await sql(dsn, "SELECT count(*) FROM template_texts")
    return int(count)


async def two_texts(dsn: str, tenant: str) -> None:
    """A template with a version that has the texts "1"; none has the texts "2"."""
    for statement in (
        "INSERT INTO templates (id, tenant_id, name, generation) VALUES ('d-1', %s, 'n', 'dynamic')",
        "INSERT INTO template_texts (tenant_id, sha256, texts) VALUES (%s, '1', '')",
        "INSERT INTO template_texts (tenant_id, sha256, texts) VALUES (%s, '2', '')",
        "INSERT INTO template_versions (id, template_id, tenant_id, name, generate_plain_content, texts, is_active) "
        "VALUES ('v', 'd-1', %s, 'n', false, '1', true)",
    ):
        await sql(dsn, statement, tenant)


async def test_texts_go_that_no_version_and_no_message_has(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    await two_texts(journal_dsn, tenant)
    later = NOW + timedelta(days=MESSAGES_DAYS + 3)
    assert await journal.ends.remove_texts(MESSAGES_DAYS, NOW, 10) == 0
    # Mail that was made when they were unused for nearly an hour is unfinished: such texts are not marked again.
    await sql(journal_dsn, "UPDATE template_texts SET unused_since = unused_since - interval '59 minutes'")
    messages = some_messages(1)
    await journal.intake.accept([a_request(tenant, *messages)])
    assert await journal.ends.remove_texts(MESSAGES_DAYS, later, 10) == 0
    await journal.commands.cancel(tenant, messages[0].id)
    assert await journal.ends.remove_texts(MESSAGES_DAYS, later, 10) == 1
    assert await texts_left(journal_dsn) == 1  # a version has it
    await sql(journal_dsn, "DELETE FROM template_versions")
    assert await journal.ends.remove_texts(MESSAGES_DAYS, later, 10) == 1
    assert await texts_left(journal_dsn) == 0


async def test_texts_that_a_version_has_again_are_in_use(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    await two_texts(journal_dsn, tenant)
    assert await sql(journal_dsn, UNUSED) == [("2",)]
    await sql(journal_dsn, "UPDATE template_versions SET texts = '2'")
    assert await sql(journal_dsn, UNUSED) == [("1",)]


async def test_texts_of_mail_that_is_sent_again_are_kept_for_it(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    await two_texts(journal_dsn, tenant)
    old = timedelta(days=MESSAGES_DAYS + 3)
    await sql(journal_dsn, "UPDATE template_texts SET unused_since = unused_since - %s", old)
    assert [await journal.templates.use_texts_again(tenant, text) for text in (b"1", b"2", b"3")] == [True, True, False]
    assert await sql(journal_dsn, UNUSED) == [("2",)]
    assert await journal.ends.remove_texts(MESSAGES_DAYS, NOW, 10) == 0
    assert await journal.ends.remove_texts(MESSAGES_DAYS, NOW + old, 10) == 1


async def test_texts_that_a_version_got_while_another_lost_them_stay(journal: Journal, journal_dsn: str) -> None:
    """The change that takes them away does not see the one that is not committed yet, and marks them as unused."""
    tenant = await a_tenant(journal)
    await two_texts(journal_dsn, tenant)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as copying:
        await copying.execute(
            "INSERT INTO template_versions "
            "(id, template_id, tenant_id, name, generate_plain_content, texts, is_active) "
            "SELECT 'copy', template_id, tenant_id, name, false, texts, false FROM template_versions"
        )
        await sql(journal_dsn, "DELETE FROM template_versions WHERE id = 'v'")
    assert sorted(await sql(journal_dsn, UNUSED)) == [("1",), ("2",)]
    later = NOW + timedelta(days=MESSAGES_DAYS + 3)
    assert [await journal.ends.remove_texts(MESSAGES_DAYS, later, 1) for _ in range(2)] == [1, 0]
    assert await sql(journal_dsn, "SELECT convert_from(sha256, 'UTF8') FROM template_texts") == [("1",)]


async def test_texts_of_before_are_unused_where_no_version_has_them(journal: Journal, journal_dsn: str) -> None:
    """The state that migration 0023 finds, and what it makes of it."""
    tenant = await a_tenant(journal)
    script = resources.files("cluster.journal").joinpath("migrations", "0023_ends.sql").read_text(encoding="utf-8")
    await sql(
        journal_dsn,
        "DROP INDEX site_actions_at, api_keys_revoked, images_deleted; "
        "ALTER TABLE template_texts DROP COLUMN unused_since; DROP TRIGGER texts_changed ON template_versions; "
        "DROP FUNCTION texts_of_version_changed",
    )
    await two_texts(journal_dsn, tenant)
    await sql(journal_dsn, script)
    assert await sql(journal_dsn, UNUSED) == [("2",)]
