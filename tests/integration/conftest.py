"""Every journal of an integration test records the moves of deliveries. After the test they are compared with the
headers of the journal's statements. The embedded engine has a directory for each test: a process has one engine at a
time, which one fixture opens."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from analytics.client import ClickHouse
from cluster.settings import ClickHouseSettings
from tests.engine_files import lay_out_schema
from tests.journal_effects import effects, faults, watch


@pytest.fixture(scope="session")
def journal_template(postgres: str, journal_template: str) -> str:
    """The name of an empty database with the journal's schema and the triggers."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE journal_watched TEMPLATE {journal_template}".encode())
    watch(postgres.replace("/postgres?", "/journal_watched?"))
    return "journal_watched"


@pytest.fixture
def journal_dsn(journal_dsn: str) -> Iterator[str]:
    """A new database with the journal's schema, in which statements may only move deliveries as their headers say."""
    yield journal_dsn
    assert faults(effects(journal_dsn)) == []


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    lay_out_schema(tmp_path)
    client = ClickHouse.open(ClickHouseSettings(), tmp_path)
    client.use_tables()
    yield client
    client.close()
