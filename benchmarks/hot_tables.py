"""What the journal's hot tables take on disk, and what a statement of the journal costs in pages and in bytes of the
write-ahead log. Neither depends on the speed of the machine.

A part of the journal is given ``Explained`` as its database: it then makes its statement as always, and Postgres
explains it and undoes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, cast

import psycopg
from msgspec import Struct

from cluster.journal.arrays import ADAPTERS
from cluster.journal.database import PLANNING, Database, Row
from cluster.journal.event_log import EventLog
from cluster.journal.intake import Acceptance
from cluster.journal.queue import Queue
from cluster.journal.records import DueDelivery, NewRequest
from cluster.journal.scheduling import Scheduling
from cluster.journal.statements import QUERIES

HOT = ("deliveries", "event_log")
MIB = 1024**2
TIMES = 5
"""Each statement is explained so often; the median counts. The first one writes images of whole pages to the log."""
CONSUMER = "recorder"
LOG_ROWS = 100

_SIZES = "SELECT pg_table_size(t::regclass), pg_indexes_size(t::regclass) FROM unnest(%s::text[]) AS t"


class Size(Struct, frozen=True):
    """Of a table, in MiB: its rows with their long values, and its indexes."""

    rows: float
    indexes: float


class Cost(Struct, frozen=True):
    """Of a statement."""

    pages: float
    """Pages of tables and indexes that it looked at or changed, counted each time."""
    wal_bytes: float


class Costs(Struct, frozen=True, kw_only=True):
    """Of the statements that meet the hot tables."""

    claim: Cost
    intake: Cost
    due: Cost
    """Whether anything is due."""
    lanes: Cost
    """Which lanes hold something."""
    read: Cost
    """A page of the event log."""
    backlog: Cost


def sizes(dsn: str) -> dict[str, Size]:
    """The hot tables by name."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(_SIZES, [list(HOT)]).fetchall()
    return {name: Size(rows / MIB, indexes / MIB) for name, (rows, indexes) in zip(HOT, found, strict=True)}


class Explained:
    """Stands for the journal's database. Each statement is explained, and undone."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True, context=ADAPTERS)
        for name, value in PLANNING.items():
            self._connection.execute(f"SET {name} TO {value}".encode())
        self._costs: list[Cost] = []

    def close(self) -> None:
        self._connection.close()

    async def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        self._explain(name, parameters)
        return []

    async def row(self, name: str, /, **parameters: Any) -> Row:
        self._explain(name, parameters)
        return (0,)

    async def execute(self, name: str, /, **parameters: Any) -> int:
        self._explain(name, parameters)
        return 0

    def taken(self) -> Cost:
        """The sum of what was explained since the last call: of each statement the median."""
        costs, self._costs = self._costs, []
        return Cost(sum(cost.pages for cost in costs), sum(cost.wal_bytes for cost in costs))

    def _explain(self, name: str, parameters: dict[str, Any]) -> None:
        query = f"EXPLAIN (ANALYZE, BUFFERS, WAL, FORMAT JSON) {QUERIES[name]}".encode()
        found = [self._once(query, parameters) for _ in range(TIMES)]
        self._costs.append(Cost(median(cost.pages for cost in found), median(cost.wal_bytes for cost in found)))

    def _once(self, query: bytes, parameters: dict[str, Any]) -> Cost:
        with self._connection.transaction(force_rollback=True):
            row = self._connection.execute(query, parameters, prepare=False).fetchone()
        assert row is not None
        return cost_of(row[0][0]["Plan"])


def cost_of(plan: Mapping[str, Any]) -> Cost:
    """Of a statement, from its plan. What a node needs is counted in it, but not the parts of WITH that change rows and
    to which nothing refers: those run by themselves. Pure."""
    nodes = list(_nodes(plan))
    named = {node["CTE Name"] for node in nodes if "CTE Name" in node}
    apart = [node for node in nodes if (name := _part_of_with(node)) is not None and name not in named]
    return Cost(
        sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in (plan, *apart)),
        sum(node["WAL Bytes"] for node in (plan, *apart)),
    )


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _part_of_with(node: Mapping[str, Any]) -> str | None:
    name: str = node.get("Subplan Name", "")
    return name.removeprefix("CTE ") if name.startswith("CTE ") else None


async def costs(explained: Explained, deliveries: Sequence[DueDelivery], request: NewRequest) -> Costs:
    """What it costs to claim these deliveries, which wait, to accept this request, which is new, and to look for work.
    All is undone."""
    database = cast(Database, explained)
    await Queue(database).claim(deliveries, owner=1, lease_s=60)
    claim = explained.taken()
    await Acceptance(database, 10.0).accept([request])
    intake = explained.taken()
    await Scheduling(database).due_in_s()
    due = explained.taken()
    await Scheduling(database).lanes()
    lanes = explained.taken()
    await EventLog(database).after(CONSUMER, LOG_ROWS)
    read = explained.taken()
    await Queue(database).backlog()
    return Costs(claim=claim, intake=intake, due=due, lanes=lanes, read=read, backlog=explained.taken())
