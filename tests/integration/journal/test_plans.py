"""Frequent statements must not cost more as what is kept grows."""

from datetime import UTC, datetime

import psycopg
import pytest

from cluster.journal.journal import Journal
from cluster.journal.operator_audit import Doer
from cluster.journal.statements import QUERIES
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.integration.journal.plans import explained

MANY = 3000


@pytest.mark.parametrize(
    "statement",
    [QUERIES["next_due"], QUERIES["due"].replace("%(limit)s", "100"), QUERIES["lanes"]],
    ids=["next_due", "due", "lanes"],
)
async def test_no_statement_of_the_scheduler_reads_the_whole_queue(
    journal: Journal, journal_dsn: str, statement: str
) -> None:
    tenant = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant, *[a_message() for _ in range(MANY)])])
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("ANALYZE deliveries")
        cursor = await connection.execute(f"EXPLAIN (COSTS OFF) {statement}".encode())
        plan = "\n".join(line for (line,) in await cursor.fetchall())
    assert "Seq Scan on deliveries" not in plan, plan


async def test_what_an_operator_did_last_is_found_without_what_others_did_since(
    journal: Journal, journal_dsn: str
) -> None:
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute(
            b"INSERT INTO operator_audit (at, operator, way, address, command, subject, outcome) "
            b"SELECT now() - interval '390 days' + n * interval '2 hours', "
            b"CASE WHEN n % 10 = 0 THEN 'ada' ELSE 'bob' END, 'http', '', 'c', '', 'done' "
            b"FROM generate_series(1, 4000) AS n"
        )
        await connection.execute(b"ANALYZE operator_audit")
    noted = await journal.operator_audit.begin(datetime.now(UTC), Doer(way="http", operator="ada"), "c", "")
    plan = await explained(journal_dsn, QUERIES["repeat_operator_command"], {"id": noted, "outcome": "done"})
    (scan,) = [line for line in plan.splitlines() if "Backward" in line]
    assert "Backward using operator_audit_by" in scan and "rows=1" in scan, plan
    assert "Sort" not in plan and "Rows Removed by Filter" not in plan, plan
