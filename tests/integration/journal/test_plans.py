"""The scheduler's frequent queries must not cost more as the queue grows."""

import psycopg
import pytest

from cluster.journal.journal import Journal
from cluster.journal.statements import QUERIES
from tests.integration.journal.builders import a_message, a_request, a_tenant

MANY = 3000


@pytest.mark.parametrize(
    "statement",
    [QUERIES["anything_due"], QUERIES["due"].replace("%(limit)s", "100"), QUERIES["lanes"]],
    ids=["anything_due", "due", "lanes"],
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
