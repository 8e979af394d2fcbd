"""What the journal tells of itself: how its queue stands, how far the log's consumers are, which endpoints fail."""

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from actors.journal_watch import JournalWatch
from cluster.ids import first_id
from cluster.journal.event_log import append
from cluster.journal.journal import Journal
from cluster.journal.statements import QUERIES
from cluster.metrics import read
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, leased

Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def connected(journal_dsn: str) -> Connection:
    return await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True)


async def test_an_empty_journal(journal: Journal) -> None:
    ages = await journal.queue.ages()
    assert (ages.oldest_at, ages.overdue_s) == (None, 0.0)
    assert await journal.event_log.lags() == {"recorder": 0.0}
    failing = await journal.webhook_posting.failing()
    assert (failing.failing, failing.disabled, failing.longest_s) == (0, 0, 0.0)


async def test_a_short_queue_is_counted(journal: Journal) -> None:
    """Postgres' own count is behind, and stays wrong where deletes are reported to it before their inserts."""
    await journal.intake.accept([a_request(await a_tenant(journal), *(a_message() for _ in range(7)))])
    held = await leased(journal, 1, 5)
    assert (await journal.queue.ages()).unfinished == await journal.queue.backlog() == 7
    logged = await journal.event_log.size()
    assert logged == len(await journal.event_log.after("recorder", 100))
    await journal.queue.commit([an_outcome(one, Status.DELIVERED) for one in held], owner=1)
    assert (await journal.queue.ages()).unfinished == await journal.queue.backlog() == 2
    assert await journal.event_log.size() > logged


async def test_the_age_of_what_waits(journal: Journal, journal_dsn: str) -> None:
    await journal.intake.accept([a_request(await a_tenant(journal), a_message(), a_message())])
    async with await connected(journal_dsn) as connection:
        await connection.execute("UPDATE deliveries SET due_at = now() + interval '1 hour'")
        assert (await journal.queue.ages()).overdue_s == 0.0
        old = first_id("msg_", datetime.now(UTC) - timedelta(hours=3))
        await connection.execute(
            "UPDATE deliveries SET message_id = %s, due_at = now() - interval '2 minutes' "
            "WHERE message_id = (SELECT min(message_id) FROM deliveries)",
            (old,),
        )
    ages = await journal.queue.ages()
    assert ages.oldest_at is not None
    assert timedelta(hours=3) <= datetime.now(UTC) - ages.oldest_at < timedelta(hours=3, minutes=1)
    assert 120 <= ages.overdue_s < 180


async def test_the_lag_of_each_consumer(journal: Journal, journal_dsn: str) -> None:
    await journal.event_log.add_consumer("webhooks")
    async with await connected(journal_dsn) as connection:
        for _ in range(2):
            await append(connection, [])
        await connection.execute("UPDATE event_log SET at = now() - interval '10 minutes' WHERE id = 1")
        rows = await journal.event_log.after("webhooks", 10)
        await journal.event_log.move_cursor("webhooks", rows[0].tx, rows[0].id)
        lags = await journal.event_log.lags()
        assert 600 <= lags["recorder"] < 660 and lags["webhooks"] < 60
        await journal.event_log.move_cursor("recorder", rows[1].tx, rows[1].id)
    assert (await journal.event_log.lags())["recorder"] == 0.0


async def test_endpoints_that_fail_and_that_are_disabled(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    async with await connected(journal_dsn) as connection:
        for name, failures, since, disabled, is_enabled in (
            ("works", 0, None, False, True),
            ("fails", 3, "20 minutes", False, True),
            ("begins", 1, "1 minute", False, True),
            ("is off", 9, "5 hours", False, False),
            ("gone", 10, "9 hours", True, True),
        ):
            await connection.execute(
                "INSERT INTO webhooks (id, tenant_id, dialect, url, events, is_enabled) "
                "VALUES (%s, %s, 'postray', 'https://example.com', '{*}', %s)",
                (name, tenant, is_enabled),
            )
            await connection.execute(
                "INSERT INTO webhook_states (webhook_id, failures, failed_since, disabled_at) "
                "VALUES (%s, %s, now() - %s::interval, CASE WHEN %s THEN now() END)",
                (name, failures, since, disabled),
            )
    failing = await journal.webhook_posting.failing()
    assert (failing.failing, failing.disabled) == (2, 1)
    assert 1200 <= failing.longest_s < 1260


@pytest.mark.parametrize("name", ["backlog", "queue_ages", "log_lags", "log_size"])
async def test_a_look_does_not_read_all_that_waits(journal: Journal, journal_dsn: str, name: str) -> None:
    """Tables beyond the size up to which they are counted."""
    tenant = await a_tenant(journal)
    for _ in range(4):
        await journal.intake.accept([a_request(tenant, *[a_message() for _ in range(8000)])])
    async with await connected(journal_dsn) as connection:
        await connection.execute(
            "INSERT INTO event_log (events) SELECT repeat('x', 900)::bytea FROM generate_series(1, 6000)"
        )
        await connection.execute("ANALYZE deliveries, event_log")
        cursor = await connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {QUERIES[name]}".encode())
        plan = "\n".join(str(line) for (line,) in await cursor.fetchall())
    scans = [line for line in plan.splitlines() if re.search("Seq Scan on (deliveries|event_log)", line)]
    assert all("never executed" in line for line in scans), plan


async def test_a_watch_of_a_real_journal_tells_all(journal: Journal) -> None:
    watch = JournalWatch(journal, clock=lambda: 0.0)
    await watch.look()
    told = {one.name: dict(one.values) for one in read(watch)}
    assert told["postray_queue_overdue_seconds"] == {"": 0.0}
    assert told["postray_event_log_lag_seconds"] == {"recorder": 0.0}
    assert told["postray_webhook_endpoints"] == {"failing": 0, "disabled": 0}


async def test_calls_and_their_failures_are_counted(journal: Journal) -> None:
    def counted() -> tuple[float, float]:
        told = {one.name: one.values for one in read(journal)}
        return told["postray_journal_call_seconds"]["+Inf"], told["postray_journal_failures_total"][""]

    calls, failures = counted()
    await journal.queue.ages()
    assert counted() == (calls + 1, failures)
