"""Every journal of an integration test records what happens to deliveries; after the test it is held against the
headers of the journal's statements."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.journal_effects import effects, faults, watch


@pytest.fixture(scope="session")
def journal_template(postgres: str, journal_template: str) -> str:
    """The name of a database with the journal's schema, the triggers, and nothing in it."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE journal_watched TEMPLATE {journal_template}".encode())
    watch(postgres.replace("/postgres?", "/journal_watched?"))
    return "journal_watched"


@pytest.fixture
def journal_dsn(journal_dsn: str) -> Iterator[str]:
    """A fresh database with the journal's schema, in which statements may move deliveries as their headers say."""
    yield journal_dsn
    assert faults(effects(journal_dsn)) == []
