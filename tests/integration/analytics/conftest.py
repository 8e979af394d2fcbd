"""The embedded engine, with a directory for each test. A process has one engine at a time, which one fixture opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.client import ClickHouse
from cluster.settings import ClickHouseSettings


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    client = ClickHouse.open(ClickHouseSettings(), tmp_path)
    client.migrate()
    yield client
    client.close()
