"""The embedded engine in a directory of each test's own. A process holds one engine at a time: one fixture opens it."""

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
