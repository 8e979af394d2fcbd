"""What the SQL door must not do, as queries against the real engine: read files, write, reach the network, change
anything, stay, or show or betray a tenant what others have."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from analytics.client import ClickHouse
from analytics.erasing import TABLES
from tests.integration.analytics.hostile_queries import BETRAYING, ENDLESS, OF_OTHERS, PREWHERE, REFUSED, written
from tests.integration.analytics.sql_door import OTHERS, OURS, SECRET, Client, fill, opened

NOT_OF_TENANTS = "0001_events.sql"
"""In a table that no tenant may read: migrations."""


def test_there_are_enough_of_them() -> None:
    assert len({*REFUSED, *OF_OTHERS, *BETRAYING, *PREWHERE, *ENDLESS}) >= 250


@pytest.fixture
async def door(clickhouse: ClickHouse, tmp_path: Path) -> AsyncIterator[Client]:
    fill(clickhouse)
    async with opened(tmp_path, max_query_s=2.0, max_memory_mb=100, max_result_rows=100_000) as client:
        yield client


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "written"


@pytest.mark.parametrize("tenant", [True, False], ids=["tenant", "operator"])
async def test_no_query_reaches_out_or_changes_anything(
    door: Client, clickhouse: ClickHouse, out: Path, tenant: bool
) -> None:
    before = clickhouse.rows("SELECT name FROM system.tables WHERE database = 'postray' ORDER BY name")
    events = clickhouse.rows("SELECT count() FROM events")
    let_through = []
    for query in REFUSED:
        answer = await door.ask(written(query, out), tenant=tenant, param_t="events")
        if answer.status == 200 or "root:" in answer.text or (answer.status >= 500 and answer.status != 501):
            let_through.append((query, answer.status, answer.text[:200]))
    assert not let_through
    assert not list(out.parent.glob("written*"))
    assert clickhouse.rows("SELECT name FROM system.tables WHERE database = 'postray' ORDER BY name") == before
    assert clickhouse.rows("SELECT count() FROM events") == events


async def test_a_tenant_reads_no_row_of_others(door: Client, out: Path) -> None:
    shown = []
    answered = 0
    for query in OF_OTHERS:
        text = written(query, out)
        for asked in (text, f"{text} FORMAT JSON") if "SETTINGS" not in text and "#" not in text else (text,):
            answer = await door.ask(asked, tenant=True)
            answered += answer.status == 200
            told = answer.text.replace(text, "")  # an error repeats the query
            if (
                NOT_OF_TENANTS in told
                or f"{SECRET}-" in told.replace(f"{SECRET}-1@example.net", "")
                or (OTHERS in told and answer.status == 200)
            ):
                shown.append((query, answer.status, told[:300]))
    assert not shown
    assert answered > len(OF_OTHERS) / 2, "or they are refused for a reason of their own"


async def test_a_common_table_expression_may_have_the_name_of_a_table(door: Client) -> None:
    for query, answer in (
        (
            "WITH firsts AS (SELECT 'a' AS n) SELECT firsts.n, f.* FROM firsts CROSS JOIN firsts AS f",
            "a\ta",
        ),
        ("WITH feed AS (SELECT 1 AS n), b AS (SELECT n + 1 AS n FROM feed) SELECT feed.n, b.n FROM feed, b", "1\t2"),
        ("WITH a AS (SELECT 1 AS n) SELECT 1 IN a, (SELECT max(n) FROM a) UNION ALL SELECT n, n FROM a", "1\t1\n1\t1"),
        ("WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a WHERE n < 3) SELECT sum(n) FROM a", "6"),
    ):
        for tenant in (True, False):
            assert (await door.ask(query, tenant=tenant)).text == f"{answer}\n"


async def test_each_table_has_rows_of_others_and_the_tenant_sees_only_its_own(door: Client) -> None:
    for table in ("events", "events_once", "engagement", "feed"):
        query = f"SELECT count(), countIf(tenant_id = '{OURS}') FROM {table}"
        all_rows, ours = map(int, (await door.ask(query)).text.split())
        assert 0 < ours < all_rows, table
        assert (await door.ask(query, tenant=True)).text == f"{ours}\t{ours}\n", table


def test_every_table_with_rows_of_tenants_is_filtered(clickhouse: ClickHouse) -> None:
    query = """
        SELECT DISTINCT table FROM system.columns WHERE database = 'postray' AND name = 'tenant_id' AND table NOT IN
            (SELECT name FROM system.tables WHERE database = 'postray' AND engine LIKE '%View')
    """
    assert {table for (table,) in clickhouse.rows(query)} == set(TABLES)


async def test_no_expression_of_a_tenant_sees_a_row_of_others(door: Client, out: Path) -> None:
    betrayed = []
    for query in BETRAYING:
        text = written(query, out)
        answer = await door.ask(text, tenant=True)
        if answer.status != 200:
            betrayed.append((query, answer.text[:300]))
        assert (await door.ask(text)).status != 200 or f"{SECRET}" in text or "LIMIT 1" in text, (
            f"it finds nothing: {query}"
        )
    assert not betrayed
    for query in PREWHERE:
        assert (await door.ask(written(query, out), tenant=True)).headers["X-ClickHouse-Exception-Code"] == "497"


@pytest.mark.parametrize("tenant", [True, False], ids=["tenant", "operator"])
async def test_no_query_takes_more_than_it_may(door: Client, tenant: bool) -> None:
    for query in ENDLESS:
        answer = await door.ask(query, tenant=tenant)
        assert answer.status in (200, 400, 403, 404, 408, 413, 500, 501), (query[:80], answer.text[:200])
        assert (await door.ask("SELECT 1", tenant=tenant)).text == "1\n", query[:80]
