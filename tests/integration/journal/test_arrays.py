"""Lists as parameters: what Postgres reads is what was meant."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from cluster.journal.arrays import ADAPTERS

NOON = datetime(2026, 2, 28, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_name", "items"),
    [
        ("text[]", ["a", "", 'with "quotes", {braces} and \\', "NULL", "ärger 📫", None, " "]),
        ("bigint[]", [0, -1, 2**62, None]),
        ("int[]", [0, 7, -(2**31)]),
        ("bytea[]", [b"", b"\x00\xff", b"x" * 100_000, None]),
        ("bool[]", [True, None, False]),
        ("timestamptz[]", [NOON, datetime.min.replace(year=1, tzinfo=UTC), None, NOON + timedelta(days=40_000)]),
        ("text[]", [None, None]),
        ("text[]", ["same", "same", "same"]),
        ("text[]", ["same", "other", "same"]),
        ("text[]", ["same", None, "same"]),
        ("bytea[]", [b"same", b"same"]),
        ("bool[]", [True, True]),
        ("bool[]", [True, False, True]),
        ("timestamptz[]", [NOON, NOON]),
        ("int[]", [None]),
        ("timestamptz[]", [None]),
        ("text[]", []),
        ("timestamptz[]", []),
        ("float8[]", [0.5, None]),
        ("text[]", [["a", "b"], ["c", None]]),
    ],
)
def test_an_array_holds_what_the_list_held(postgres: str, type_name: str, items: list[Any]) -> None:
    with psycopg.connect(postgres, context=ADAPTERS) as connection:
        connection.execute("SET timezone = 'UTC'")
        for binary in (False, True):
            found = connection.execute(f"SELECT %s::{type_name}".encode(), [items], binary=binary).fetchone()
            assert found == (items,)


def test_a_moment_is_the_same_in_every_time_zone(postgres: str) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with psycopg.connect(postgres, context=ADAPTERS) as connection:
        found = connection.execute("SELECT %s::timestamptz[]", [[elsewhere]]).fetchone()
    assert found == ([NOON],)


def test_a_nul_character_is_an_error_of_the_data(postgres: str) -> None:
    with psycopg.connect(postgres, context=ADAPTERS) as connection, pytest.raises(psycopg.DataError):
        connection.execute("SELECT %s::text[]", [["nul\0"]])


def test_what_grows_is_prepared_once(postgres: str) -> None:
    with psycopg.connect(postgres, context=ADAPTERS, autocommit=True) as connection:
        for number in (1, 2**20, 2**40):
            connection.execute("SELECT %s::bigint[]", [[number]], prepare=True)
        found = connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%bigint[]%'")
        assert found.fetchone() == (1,)
