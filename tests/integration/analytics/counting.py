"""Counts the events of a batch by name."""

from analytics.client import ClickHouse

EVENT_COUNTS = """
SELECT event, count()
FROM events_once
WHERE batch_id = {batch_id:String} AND tenant_id = {tenant_id:String}
GROUP BY event
"""


def event_counts(client: ClickHouse, tenant_id: str, batch_id: str) -> dict[str, int]:
    """The number of a batch's events by name; names without events are absent."""
    return dict(client.rows(EVENT_COUNTS, tenant_id=tenant_id, batch_id=batch_id))
