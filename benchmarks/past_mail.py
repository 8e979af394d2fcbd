"""Mail of past days: requests as if they had been accepted then, and messages that ended then."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from msgspec.structs import replace

from cluster.ids import moment
from cluster.journal.day_tables import DAY_TABLES, DayTable
from cluster.journal.records import NewRequest

_FILL = (
    """INSERT INTO requests (id, tenant_id, created_at, categories, content)
    SELECT 'req_' || %(time)s || lpad(n::text, 16, '0'), %(tenant)s, %(day)s, ARRAY[%(category)s],
        decode(repeat(md5(n::text), %(bytes)s / 16), 'hex') FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO messages (tenant_id, id, request_id, created_at, from_email, to_emails, subject, personal)
    SELECT %(tenant)s, 'msg_' || %(time)s || lpad(n::text, 16, '0'), 'req_' || %(time)s || lpad(n::text, 16, '0'),
        %(day)s, 'hello@mail.example.com', '{ended@example.com}', 'Ended', decode(repeat('ab', 200), 'hex')
    FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
    SELECT %(tenant)s, 'msg_' || %(time)s || lpad(n::text, 16, '0'), 'delivered', %(day)s, 0
    FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO attachments (day, tenant_id, sha256, content)
    SELECT %(day)s, %(tenant)s, decode(md5(%(day)s::text || n), 'hex'), decode(repeat(md5(n::text), 120), 'hex')
    FROM generate_series(1, %(count)s / 10) AS n""",
)


def at_noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def begin_on(dsn: str, first: date) -> None:
    """Let a new journal begin on a day: the oldest partition of each table, which is empty, ends before it."""
    with psycopg.connect(dsn) as connection:
        for table in DAY_TABLES:
            _exchange_oldest(connection, table, first)


def _exchange_oldest(connection: psycopg.Connection[Any], table: DayTable, first: date) -> None:
    connection.execute(f"LOCK TABLE ONLY {table.name} IN ACCESS EXCLUSIVE MODE".encode())
    found = connection.execute("SELECT name FROM day_partitions WHERE is_oldest AND table_name = %s", [table.name])
    [(former,)] = found.fetchall()
    if connection.execute(f"SELECT FROM {former} LIMIT 1".encode()).fetchone() is not None:
        raise RuntimeError(f"{former} has rows: the installation is not new")
    name = f"{table.name}_before_{first:%Y%m%d}"
    bounds = f"FROM (MINVALUE) TO ('{table.first_value(first)}')"
    for statement in (
        f"ALTER TABLE {table.name} DETACH PARTITION {former}",
        f"DROP TABLE {former}",
        f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)",
        f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES {bounds}",
    ):
        connection.execute(statement.encode())
    connection.execute(
        "UPDATE day_partitions SET name = %s, first = %s, until = %s WHERE name = %s",
        [name, first - timedelta(days=1), first, former],
    )


def redated(request: NewRequest, day: date) -> NewRequest:
    """The request as if it had been accepted at noon of a day."""
    at = at_noon(day)
    stem = _stem(at)

    def moved(id: str) -> str:
        return f"{id[:4]}{stem}{id[14:]}"

    messages = tuple(replace(message, id=moved(message.id)) for message in request.messages)
    return replace(request, id=moved(request.id), created_at=at, messages=messages)


def fill_day(dsn: str, tenant_id: str, day: date, count: int, *, category: str, body_bytes: int) -> None:
    """Store messages that ended on a day, with a body each, and a tenth as many files; the day has its partitions."""
    facts = {"time": _stem(at_noon(day)), "tenant": tenant_id, "day": day, "category": category}
    with psycopg.connect(dsn) as connection:
        connection.execute("SET session_replication_role = replica")  # no statement of the journal's writes it
        for statement in _FILL:
            connection.execute(statement.encode(), facts | {"count": count, "bytes": body_bytes})


def _stem(at: datetime) -> str:
    return moment(int(at.timestamp() * 1000))
