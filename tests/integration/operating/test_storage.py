"""``postray storage``: for people and for programs."""

import json
from datetime import UTC, datetime

from analytics.client import ClickHouseUnavailable
from analytics.storage import StoredPartition
from tests.integration.journal.builders import a_request, a_tenant, some_messages
from tests.integration.operating.conftest import Postray


async def test_what_is_stored_is_told_by_part_table_partition_and_tenant(postray: Postray) -> None:
    tenant = await a_tenant(postray.journal)
    await postray.journal.intake.accept([a_request(tenant, *some_messages(100))])
    goes_at = datetime(2028, 1, 5, tzinfo=UTC)
    postray.stored = [
        StoredPartition(table="events", partition="202611", bytes=5_000_000, rows=12_345, goes_at=goes_at),
        StoredPartition(table="firsts", partition="", bytes=4000, rows=7, goes_at=None),
    ]
    said = await postray.said("storage")
    assert "forecast none yet" in said
    assert "events 202611 12,345 5 MB 2028-01-05 00:00:00" in said
    assert "messages" in said and tenant in said
    found = json.loads((await postray.run("storage", "--json")).stdout)
    assert found["outlook"]["current"]["stored_bytes"] > 0
    assert found["outlook"]["warning"] is None
    assert {"messages", "deliveries", "event_log"} <= {one["name"] for one in found["journal"]}
    assert [share["tenant_id"] for share in found["tenants"]] == [tenant]
    assert found["retention"]["events_days"] == 400


async def test_a_full_disk_and_a_clickhouse_that_is_away_are_told(postray: Postray) -> None:
    postray.stored = ClickHouseUnavailable("connection refused")
    postray.kept_free_bytes = 2**62
    said = await postray.said("storage")
    assert "ClickHouse: connection refused" in said
    assert "at the present rate the disk is full in 0 h" in said
