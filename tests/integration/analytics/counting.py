"""What an analyst counts: the events of a batch by name."""

from analytics.client import ClickHouse

EVENT_COUNTS = """
SELECT event, count()
FROM events_once
WHERE batch_id = {batch_id:String} AND tenant_id = {tenant_id:String}
GROUP BY event
"""


def event_counts(client: ClickHouse, tenant_id: str, batch_id: str) -> dict[str, int]:
    """How many events of each name a batch has had; a name without any is absent."""
    return dict(client.rows(EVENT_COUNTS, tenant_id=tenant_id, batch_id=batch_id))
