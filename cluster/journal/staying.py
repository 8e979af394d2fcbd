"""What stays of days whose bodies or records go: which messages, and which files.

Unfinished messages stay whole. Of messages that ended lately, however old they are, the records stay as long as those
of messages that were accepted when these ended. Everything is gathered in steps, so that no statement keeps a snapshot
for long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time
from typing import Any

from psycopg import AsyncConnection

from cluster.journal.database import Row, execute, rows
from cluster.journal.day_tables import MESSAGES, OUTCOMES
from cluster.journal.excerpts import decode_references
from cluster.policy.retention import Cutoffs, Partition

PAGE = 5000
REQUESTS_PAGE = 20
"""Contents may have megabytes."""
BLOCKS = 1000
"""8 MiB."""


async def gather_messages(connection: AsyncConnection[Row], before: str) -> None:
    """Note the unfinished messages with ids below ``before``. One that ends meanwhile stays, too."""
    for name in ("stay_unfinished", "stay_reported_on"):
        after = ""
        while after is not None:
            [(after,)] = await rows(connection, name, after=after, before=before, limit=PAGE)


async def gather_ended(connection: AsyncConnection[Row], outcomes: list[Partition], cutoffs: Cutoffs) -> None:
    """Note the messages of days whose records go that ended later than that."""
    facts = {
        "before": MESSAGES.first_value(cutoffs.records),
        "ended_at": datetime.combine(cutoffs.records, time(), UTC),
    }
    for partition in outcomes:
        if not partition.is_oldest and partition.first >= cutoffs.records:
            continue
        statement = (
            "INSERT INTO staying_messages (message_id, tenant_id, request_id, is_unfinished)"
            f" SELECT m.id, m.tenant_id, m.request_id, false FROM {partition.name} o JOIN {MESSAGES.name} m"
            f" ON m.tenant_id = ANY (ARRAY[o.tenant_id]) AND m.id = ANY (ARRAY[o.{OUTCOMES.column}])"
            " WHERE o.ctid >= %(from_block)s::tid AND o.ctid < %(to_block)s::tid"
            f" AND o.{OUTCOMES.column} < %(before)s AND o.finished_at >= %(ended_at)s ON CONFLICT DO NOTHING"
        )
        await each_block(connection, partition, statement, BLOCKS, facts)


async def gather_files(connection: AsyncConnection[Row]) -> None:
    """Note the files that the unfinished messages have."""
    after = ""
    while page := await rows(connection, "unfinished_requests", after=after, limit=REQUESTS_PAGE):
        found = await asyncio.to_thread(_files, page)
        if found:
            tenant_ids, hashes = zip(*sorted(found), strict=True)
            await execute(connection, "stay_files", tenant_ids=list(tenant_ids), hashes=list(hashes))
        after = page[-1][0]


def _files(page: list[Row]) -> set[tuple[str, bytes]]:
    """Files of before migration 0011 have no tenant."""
    return {
        (owner, attachment.sha256)
        for _, tenant_id, content in page
        if content
        for attachment in decode_references(bytes(content)).attachments
        for owner in (tenant_id, "")
    }


async def each_block(
    connection: AsyncConnection[Row],
    partition: Partition,
    statement: str,
    blocks: int,
    facts: dict[str, Any],
    before_each: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run a statement for all blocks that the partition has now, so many at a time."""
    cursor = await connection.execute(
        "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::bigint", [partition.name]
    )
    [(count,)] = await cursor.fetchall()
    for block in range(0, int(count), blocks):
        span = {"from_block": f"({block},0)", "to_block": f"({block + blocks},0)"}
        if before_each is not None:
            await before_each()
        await connection.execute(statement.encode(), {**facts, **span}, prepare=False)
        await asyncio.sleep(0)
