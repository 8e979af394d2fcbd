"""What ClickHouse stores: by table and partition. Only SELECT."""

from datetime import UTC, datetime

from analytics.client import ClickHouse
from cluster.policy.forms import Form

PARTS = """
SELECT table, partition, sum(bytes_on_disk), sum(rows), toUnixTimestamp(max(delete_ttl_info_max))
FROM system.parts WHERE database = currentDatabase() AND active
GROUP BY table, partition ORDER BY table, partition
"""


class StoredPartition(Form, frozen=True, kw_only=True):
    """What a partition of a table takes. Tables that are not divided have one."""

    table: str
    partition: str
    """Such as 202611 or 2026-11-28."""
    bytes: int
    rows: int
    goes_at: datetime | None
    """When all of it has expired; None: it does not go as a whole."""


def stored(client: ClickHouse) -> list[StoredPartition]:
    """What each partition takes. Raises ClickHouseUnavailable."""
    return [
        StoredPartition(
            table=table,
            partition="" if partition == "tuple()" else partition,
            bytes=bytes,
            rows=rows,
            goes_at=datetime.fromtimestamp(goes_at, UTC) if goes_at else None,
        )
        for table, partition, bytes, rows, goes_at in client.rows(PARTS)
    ]
