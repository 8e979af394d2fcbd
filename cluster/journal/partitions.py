"""The partitions of the tables that are divided by day: which there are, and making those of days to come.

A partition is made as a table of its own and then attached, which holds up neither reads nor writes of the others.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from psycopg import AsyncConnection

from cluster.journal.database import Database, JournalPart, Row, execute, rows
from cluster.journal.day_tables import DAY_TABLES, DayTable
from cluster.journal.sessions import run
from cluster.policy.retention import Cutoffs, Partition, has_day, missing_days

PARTITIONS_LOCK = 0x64617973
"""The advisory lock of a transaction that adds a partition: "days". The last to read which partitions there are is then
the one that adds to them: a new one overlaps none."""


class Partitions(JournalPart):
    """Lists and makes partitions."""

    async def all(self) -> dict[str, list[Partition]]:
        """The partitions of each table, from the oldest on."""
        return by_table(await self._database.rows("day_partitions"))

    async def make_ahead(self, now: datetime) -> list[date]:
        """Make the partitions of today and of the days ahead that are missing; returns those days."""
        return await _make(self._database, lambda have: missing_days(now.astimezone(UTC).date(), have))

    async def server_time(self) -> datetime:
        """What Postgres' clock tells."""
        row = await self._database.row("server_time")
        assert row is not None
        at: datetime = row[0]
        return at

    async def seen_day(self) -> date:
        """The last day of which it was believed that it had come."""
        row = await self._database.row("seen_day")
        assert row is not None
        day: date = row[0]
        return day

    async def see_day(self, day: date) -> None:
        await self._database.execute("see_day", day=day)

    async def sizes(self) -> dict[str, int]:
        """The bytes of each partition on the disk, with its indexes, by name."""
        return dict(await self._database.rows("partition_sizes"))


async def make_days(database: Database, days: Iterable[date]) -> list[date]:
    """Make the partitions of those of these days that have none; returns these. The intake calls it where no
    partition was made ahead."""
    asked = sorted(set(days))
    return await _make(database, lambda have: [day for day in asked if not has_day(have, day)])


async def _make(database: Database, missing: Callable[[Sequence[Partition]], list[date]]) -> list[date]:
    """Make the partitions of the days that ``missing`` tells for the partitions that there are. Several processes may
    do so at once."""
    found = by_table(await database.rows("day_partitions"))
    if not any(missing(have) for have in found.values()):
        return []
    made = set[date]()
    async with database.transaction() as connection:
        await lock_partitions(connection)
        for name, have in by_table(await rows(connection, "day_partitions")).items():
            for day in missing(have):
                await make_day(connection, _table(name), day)
                made.add(day)
    return sorted(made)


async def lock_partitions(connection: AsyncConnection[Row]) -> None:
    """Let no other transaction add a partition until this one ends. Wait for it before any table's lock."""
    await connection.execute(b"SELECT pg_advisory_xact_lock(%s)", [PARTITIONS_LOCK])


async def make_day(connection: AsyncConnection[Row], table: DayTable, day: date) -> None:
    """Make the partition of one day of one table, in the caller's transaction."""
    until = day + timedelta(days=1)
    name = f"{table.name}_{day:%Y%m%d}"
    await run(connection, f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)")
    await attach(connection, table, name, day, until)
    await execute(
        connection,
        "add_partition",
        name=name,
        table_name=table.name,
        first=day,
        until=until,
        is_oldest=False,
        bodies_before=None,
        records_before=None,
    )


async def attach(connection: AsyncConnection[Row], table: DayTable, name: str, first: date | None, until: date) -> None:
    """Attach a partition. ``first`` is None for the oldest."""
    low = "MINVALUE" if first is None else f"'{table.first_value(first)}'"
    bounds = f"FROM ({low}) TO ('{table.first_value(until)}')"
    await run(connection, f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES {bounds}")


def bounds_check(table: DayTable, first: date | None, until: date) -> str:
    """The condition of a partition's values, as a CHECK has it: then attaching the partition reads none of its rows."""
    condition = f"{table.column} < '{table.first_value(until)}'"
    return condition if first is None else f"{table.column} >= '{table.first_value(first)}' AND {condition}"


def by_table(found: Iterable[Row]) -> dict[str, list[Partition]]:
    """The rows of ``day_partitions`` as the partitions of each table."""
    partitions: dict[str, list[Partition]] = {table.name: [] for table in DAY_TABLES}
    for name, table_name, first, until, is_oldest, bodies_before, records_before in found:
        cleared = None if bodies_before is None else Cutoffs(bodies=bodies_before, records=records_before)
        partitions[table_name].append(
            Partition(name=name, first=first, until=until, is_oldest=is_oldest, cleared=cleared)
        )
    return partitions


def _table(name: str) -> DayTable:
    return next(table for table in DAY_TABLES if table.name == name)
