"""Erasing a tenant's events."""

import time

from msgspec.structs import replace

from analytics.client import ClickHouse
from analytics.erasing import erase_tenant
from analytics.rows import columns
from tests.unit.analytics.samples import processed

MAX_WAIT_S = 30.0


def test_all_events_of_a_tenant_go_and_no_other(clickhouse: ClickHouse) -> None:
    ours = [replace(processed(), id=f"evt_{number}") for number in range(5)]
    theirs = [replace(event, id=f"{event.id}x", tenant_id="tnt_other") for event in ours]
    clickhouse.insert(columns([*ours, *theirs]))
    deadline = time.monotonic() + MAX_WAIT_S
    while not erase_tenant(clickhouse, ours[0].tenant_id):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert clickhouse.rows("SELECT DISTINCT tenant_id FROM events") == [("tnt_other",)]
    assert clickhouse.rows("SELECT count() FROM system.mutations WHERE table = 'events'") == [(1,)]
    assert erase_tenant(clickhouse, "tnt_none")
