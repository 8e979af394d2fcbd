"""``postray storage``: for people and for programs."""

import json
from datetime import UTC, datetime, timedelta

from analytics.client import ClickHouseUnavailable
from analytics.storage import StoredPartition
from cluster.policy.storage import Pruned
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


async def test_pruning_says_first_what_goes_and_goes_on_until_it_is_done(postray: Postray) -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    tenant = await a_tenant(postray.journal)
    await postray.journal.intake.accept([a_request(tenant, *some_messages(2))])
    said = await postray.said("storage", "prune", "--before", today, "--dry-run")
    assert "0 unfinished messages of these days stay" in said or "nothing is left of the days before" in said
    plan = json.loads((await postray.run("storage", "prune", "--before", today, "--dry-run", "--json")).stdout)
    assert plan["before"] == today and plan["unfinished"] == 0
    assert postray.prunes == []
    postray.pruned = [Pruned(state="running"), Pruned(state="done", freed_bytes=12_000_000)]
    assert "12 MB are free now" in await postray.said("storage", "prune", "--before", today, "--yes")
    (first, second) = postray.prunes
    assert first == second and first[1] == datetime.now(UTC).date()


async def test_pruning_is_refused_for_a_day_to_come_and_where_nobody_agrees(postray: Postray) -> None:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    for more in (("--dry-run",), ("--yes",)):
        refused = await postray.run("storage", "prune", "--before", tomorrow, *more)
        assert refused.exit_code == 1 and "Must not be after today" in refused.output
    assert (await postray.run("storage", "prune", "--before", "yesterday")).exit_code == 2
    declined = await postray.run("storage", "prune", "--before", "2026-01-01")
    assert declined.exit_code == 1
    assert postray.prunes == []
    postray.pruned = [Pruned(state="failed", reason="another prune is under way")]
    failed = await postray.run("storage", "prune", "--before", "2026-01-01", "--yes")
    assert failed.exit_code == 1 and "another prune is under way" in failed.output
