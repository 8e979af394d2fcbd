"""The example queries of docs/querying.md, on the real engine."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs

from analytics.client import ClickHouse
from analytics.rows import columns
from cluster.events import Event
from tests.documents import Block, blocks
from tests.integration.analytics.sql_door import PASSWORD, opened
from tests.unit.analytics.samples import delivered, every_kind

PAGE = "docs/querying.md"


def recent() -> list[Event]:
    """Events of the last minute, for the tenant in the page's queries."""
    events = [*every_kind(), delivered(20, tls_version="", tls_cipher="")]
    return [structs.replace(event, at=time.time() - 60, tenant_id="tnt_01HXAMPLE") for event in events]


@pytest.mark.parametrize("block", [block for block in blocks("sql") if block.page == PAGE], ids=str)
def test_an_example_query_finds_something(block: Block, clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([*every_kind(), *recent()]))
    assert clickhouse.rows(block.text)


async def test_the_example_in_python_asks_the_sql_door(clickhouse: ClickHouse, tmp_path: Path) -> None:
    events = every_kind()
    clickhouse.insert(columns(events))
    (block,) = (block for block in blocks("python") if block.page == PAGE)
    (tmp_path / "postray-data").mkdir()
    (tmp_path / "postray-data" / "sql.password").write_text(f"{PASSWORD}\n")
    async with opened(tmp_path) as door:
        text = block.text.replace("8123", door.url.rpartition(":")[2])
        ended = await asyncio.to_thread(
            lambda: subprocess.run(
                [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
        )
    assert ended.returncode == 0, ended.stderr
    counted = dict(line.rsplit(" ", 1) for line in ended.stdout.splitlines())
    assert sum(map(int, counted.values())) == len(events)
    assert {"processed", "delivered"} <= counted.keys()
