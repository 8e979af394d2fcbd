"""A migration in Python, in place: it divides the tables of what was accepted by day.

Nothing is copied: each table becomes the oldest partition of a new one with its name. Postgres attaches a partition
without reading it when a validated CHECK tells that its rows are within the bounds. Validating reads the whole table
while mail flows; only the steps that change a table's definition lock it, each for some milliseconds, and one that does
not get its locks at once tries again. The last step exchanges all tables in one transaction. Every step is skipped when
it is done, so the migration goes on where it was interrupted.
"""

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from psycopg import AsyncConnection

from cluster.journal.day_tables import ATTACHMENTS, DAY_TABLES, REQUESTS, DayTable, day_of
from cluster.journal.partitions import attach, bounds_check, lock_partitions, make_day
from cluster.journal.sessions import Act, run, tried, value
from cluster.policy.retention import AHEAD_DAYS

log = logging.getLogger(__name__)

NAME = "0021_days"
CHECK = "within_days"
FILES_INDEX = "attachments_by_day"
AGAIN_S = 0.2

PARENTS = {
    "messages": """
        ALTER TABLE messages ADD PRIMARY KEY (tenant_id, id);
        CREATE INDEX messages_of_batch ON messages (batch_id, id) WHERE batch_id IS NOT NULL""",
    "requests": "ALTER TABLE requests ADD PRIMARY KEY (id)",
    "image_opens": "ALTER TABLE image_opens ADD PRIMARY KEY (tenant_id, message_id, recipient_no, image)",
    "complaints": "ALTER TABLE complaints ADD PRIMARY KEY (tenant_id, message_id, recipient_no)",
    "outcomes": """
        ALTER TABLE outcomes ADD PRIMARY KEY (tenant_id, message_id);
        CREATE INDEX outcomes_not_delivered ON outcomes (tenant_id, status, message_id)
            WHERE status NOT IN ('delivered', 'sent')""",
    "attachments": """
        ALTER TABLE attachments ALTER COLUMN day SET DEFAULT (now() AT TIME ZONE 'UTC')::date;
        ALTER TABLE attachments ADD PRIMARY KEY (tenant_id, sha256, day)""",
}
"""The indexes of the divided tables, which are those that the tables have already."""

NEW_TABLES = (
    """
-- The partitions of the tables that are divided by day. until is the first day after one. The oldest takes everything
-- before it; it has next to nothing of days before first. bodies_before and records_before tell as of when it was
-- rewritten; NULL: it was not.
CREATE TABLE day_partitions (
    name            text PRIMARY KEY,
    table_name      text NOT NULL,
    first           date NOT NULL,
    until           date NOT NULL,
    is_oldest       boolean NOT NULL,
    bodies_before   date,
    records_before  date
)""",
    """
-- One row: the days before which bodies, and records, have gone or are going. A process that makes a finished message
-- unfinished shares the lock of the row, so that no body goes that is needed again. seen is the last day of which it
-- was believed that it had come: a clock that is far ahead of it may be wrong.
CREATE TABLE retention (
    bodies_before   date NOT NULL,
    records_before  date NOT NULL,
    seen            date NOT NULL
)""",
    "INSERT INTO retention VALUES ('0001-01-01', '0001-01-01', (now() AT TIME ZONE 'UTC')::date)",
    """
-- While partitions are rewritten: the messages that stay, with their bodies if they are unfinished, and the files that
-- these refer to. Worth nothing after a crash: the rewrite begins anew.
CREATE UNLOGGED TABLE staying_messages (
    message_id      text COLLATE "C" PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL,
    request_id      text COLLATE "C" NOT NULL,
    is_unfinished   boolean NOT NULL
)""",
    "CREATE INDEX staying_messages_of_request ON staying_messages (request_id)",
    """
CREATE UNLOGGED TABLE staying_files (
    tenant_id       text COLLATE "C" NOT NULL,
    sha256          bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
)""",
    """
-- What others change in a partition while it is copied, noted by a trigger on it.
CREATE UNLOGGED TABLE changed_rows (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name      text NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    is_new          boolean NOT NULL
)""",
    "CREATE INDEX changed_rows_of_table ON changed_rows (table_name, id)",
    """
-- Each key is named: whatever takes the whole row reads its bodies, which may be large.
CREATE FUNCTION note_changed_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record;
    key text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        changed := OLD;
    ELSE
        changed := NEW;
    END IF;
    CASE TG_ARGV[1]
        WHEN 'id' THEN key := changed.id;
        WHEN 'message_id' THEN key := changed.message_id;
        WHEN 'sha256' THEN key := changed.sha256::text;
    END CASE;
    INSERT INTO changed_rows (table_name, tenant_id, key, is_new)
    VALUES (TG_ARGV[0], changed.tenant_id, key, TG_OP = 'INSERT');
    RETURN NULL;
END $$""",
)


async def divide_by_day(connection: AsyncConnection[Any]) -> None:
    """Divide the tables. ``connection`` is in autocommit, and nothing else migrates."""
    today = datetime.now(UTC).date()
    if await _exchange_empty(connection, today):
        return
    until = await _bound(connection, today)
    steps = [(table, step) for table in DAY_TABLES for step in (_check, _validate)]
    await _add_day(connection, today)
    for number, (table, step) in enumerate(steps, 1):
        cursor = await connection.execute("SELECT pg_size_pretty(pg_table_size(%s::regclass))", [table.name])
        [(size,)] = await cursor.fetchall()
        log.info(
            "dividing the journal by day: step=%d of=%d table=%s size=%r", number, len(steps) + 2, table.name, size
        )
        await step(connection, table, until)
    log.info("dividing the journal by day: step=%d of=%d index of attachments", len(steps) + 1, len(steps) + 2)
    await _index_attachments(connection)
    firsts = dict.fromkeys(DAY_TABLES, await _first_day(connection, today)) | {ATTACHMENTS: today}
    log.info("dividing the journal by day: step=%d of=%d exchange of tables", len(steps) + 2, len(steps) + 2)
    await _briefly(connection, lambda connection: _exchange(connection, firsts, until, today))


async def _exchange_empty(connection: AsyncConnection[Any], today: date) -> bool:
    """Exchange tables that have no rows, as a new installation's; returns whether they have none."""
    is_empty = False

    async def exchange(connection: AsyncConnection[Any]) -> None:
        nonlocal is_empty
        if not await _are_empty(connection):
            return
        await _lock(connection)
        is_empty = await _are_empty(connection)
        if is_empty:
            await run(
                connection, f"ALTER TABLE attachments ADD COLUMN IF NOT EXISTS day date NOT NULL DEFAULT '{today}'"
            )
            await run(
                connection, f"CREATE UNIQUE INDEX IF NOT EXISTS {FILES_INDEX} ON attachments (tenant_id, sha256, day)"
            )
            await _exchange(connection, dict.fromkeys(DAY_TABLES, today - timedelta(days=1)), today, today)

    await _briefly(connection, exchange)
    return is_empty


async def _are_empty(connection: AsyncConnection[Any]) -> bool:
    found = " OR ".join(f"EXISTS (SELECT FROM {table.name})" for table in DAY_TABLES)
    return bool(await value(connection, f"SELECT NOT ({found})"))


async def _bound(connection: AsyncConnection[Any], today: date) -> date:
    """The first day after the oldest partition. An interrupted migration has set it; but no row of a later day is
    accepted while a table has the CHECK, so that one is taken anew when the day is near."""
    cursor = await connection.execute(
        "SELECT conrelid::regclass::text, obj_description(oid)::date FROM pg_constraint WHERE conname = %s", [CHECK]
    )
    found: list[tuple[str, date]] = await cursor.fetchall()
    if found and (least := min(until for _, until in found)) > today + timedelta(days=1):
        return least
    for name, _ in found:
        await _briefly(connection, partial(run, statement=f"ALTER TABLE {name} DROP CONSTRAINT {CHECK}"))
    return today + timedelta(days=AHEAD_DAYS + 1)


async def _add_day(connection: AsyncConnection[Any], today: date) -> None:
    """Attachments of before go as if they had come today. The default is for older processes, which go on meanwhile."""
    if not await _has_column(connection, ATTACHMENTS):
        statement = f"ALTER TABLE attachments ADD COLUMN day date NOT NULL DEFAULT '{today}'"
        await _briefly(connection, partial(run, statement=statement))


async def _check(connection: AsyncConnection[Any], table: DayTable, until: date) -> None:
    if await _constraint(connection, table) is not None:
        return

    async def add(connection: AsyncConnection[Any]) -> None:
        check = bounds_check(table, None, until)
        await run(connection, f"ALTER TABLE {table.name} ADD CONSTRAINT {CHECK} CHECK ({check}) NOT VALID")
        await run(connection, f"COMMENT ON CONSTRAINT {CHECK} ON {table.name} IS '{until}'")

    await _briefly(connection, add)


async def _validate(connection: AsyncConnection[Any], table: DayTable, until: date) -> None:
    if not await _constraint(connection, table):
        await run(connection, f"ALTER TABLE {table.name} VALIDATE CONSTRAINT {CHECK}")


async def _constraint(connection: AsyncConnection[Any], table: DayTable) -> bool | None:
    """Whether the table's CHECK is validated; None: it has none."""
    cursor = await connection.execute(
        "SELECT convalidated FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s", [table.name, CHECK]
    )
    found = await cursor.fetchall()
    return found[0][0] if found else None


async def _index_attachments(connection: AsyncConnection[Any]) -> None:
    """The index of the new primary key. One whose building was interrupted is invalid, and built anew."""
    if await value(connection, f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{FILES_INDEX}')"):
        return
    await run(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {FILES_INDEX}")
    await run(connection, f"CREATE UNIQUE INDEX CONCURRENTLY {FILES_INDEX} ON attachments (tenant_id, sha256, day)")


async def _first_day(connection: AsyncConnection[Any], today: date) -> date:
    """The day of the oldest request, which is that of its messages: no index begins with the ids of messages."""
    least = await value(connection, f"SELECT min(id) FROM {REQUESTS.name}")
    return min(today, day_of(least)) if least else today


async def _exchange(connection: AsyncConnection[Any], firsts: dict[DayTable, date], until: date, today: date) -> None:
    await lock_partitions(connection)
    await _lock(connection)
    await run(connection, "ALTER TABLE attachments DROP CONSTRAINT attachments_pkey")
    await run(
        connection, f"ALTER TABLE attachments ADD CONSTRAINT attachments_pkey PRIMARY KEY USING INDEX {FILES_INDEX}"
    )
    for statement in NEW_TABLES:
        await run(connection, statement)
    days = [today + timedelta(days=n) for n in range(AHEAD_DAYS + 1)]
    for table in DAY_TABLES:
        former = f"{table.name}_before_{until:%Y%m%d}"
        await _rename(connection, table, former)
        await run(
            connection,
            f"CREATE TABLE {table.name} (LIKE {former} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION)"
            f" PARTITION BY RANGE ({table.column})",
        )
        for statement in PARENTS[table.name].split(";"):
            await run(connection, statement)
        await attach(connection, table, former, None, until)
        await run(connection, f"ALTER TABLE {former} DROP CONSTRAINT IF EXISTS {CHECK}")
        await connection.execute(
            "INSERT INTO day_partitions (name, table_name, first, until, is_oldest) VALUES (%s, %s, %s, %s, true)",
            [former, table.name, firsts[table], until],
        )
        for day in days:
            if day >= until:
                await make_day(connection, table, day)
    await connection.execute("INSERT INTO migrations (name) VALUES (%s)", [NAME])


async def _rename(connection: AsyncConnection[Any], table: DayTable, former: str) -> None:
    """Rename a table with its indexes, whose names the new one needs."""
    cursor = await connection.execute(
        "SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = %s::regclass", [table.name]
    )
    for (index,) in await cursor.fetchall():
        await run(connection, f"ALTER INDEX {index} RENAME TO {former}_{index.removeprefix(f'{table.name}_')}")
    await run(connection, f"ALTER TABLE {table.name} RENAME TO {former}")


async def _lock(connection: AsyncConnection[Any]) -> None:
    """In the order in which acceptance writes to them, so that no deadlock is likely; one would be tried again."""
    names = ", ".join(table.name for table in (ATTACHMENTS, *(t for t in DAY_TABLES if t is not ATTACHMENTS)))
    await run(connection, f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")


async def _briefly(connection: AsyncConnection[Any], act: Act) -> None:
    """Run it in a transaction that waits for each lock for a moment, again and again until it has them."""
    while not await tried(connection, act):
        await asyncio.sleep(AGAIN_S)


async def _has_column(connection: AsyncConnection[Any], table: DayTable) -> bool:
    return bool(
        await value(
            connection,
            f"SELECT count(*) FROM pg_attribute WHERE attrelid = '{table.name}'::regclass"
            f" AND attname = '{table.column}' AND NOT attisdropped",
        )
    )
