"""The example queries of docs/querying.md, on the real engine."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs

from analytics.client import ClickHouse
from analytics.rows import columns
from cluster.events import Event
from cluster.settings import ClickHouseSettings
from tests.documents import Block, blocks
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


def test_the_embedded_engine_is_asked_while_postray_is_stopped(tmp_path: Path) -> None:
    client = ClickHouse.open(ClickHouseSettings(), tmp_path / "postray-data")
    client.migrate()
    events = every_kind()
    client.insert(columns(events))
    client.close()
    (block,) = (block for block in blocks("python") if block.page == PAGE)
    ended = subprocess.run(
        [sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    counted = dict(line.rsplit(" ", 1) for line in ended.stdout.splitlines())
    assert sum(map(int, counted.values())) == len(events)
    assert {"processed", "delivered"} <= counted.keys()
