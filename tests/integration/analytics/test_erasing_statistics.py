"""What an erasure leaves in statistics."""

from random import Random

from msgspec.structs import replace

from analytics.client import ClickHouse
from analytics.erasing import erase_recipients, erase_tenant
from analytics.metrics import QUARTER_S, Kind
from analytics.tallies import Tallies
from tests.integration.analytics.tallied import (
    BEGIN,
    LATE,
    QUARTERS,
    TENANTS,
    Clock,
    Counts,
    an_event,
    assert_exact,
    counted,
    insert,
    settle,
)


def test_an_erased_tenant_has_none(clickhouse: ClickHouse) -> None:
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    random = Random(1)
    insert(clickhouse, tallies, [an_event(random, number) for number in range(100)])
    settle(tallies, clock)
    while not erase_tenant(clickhouse, "tnt_1"):
        pass
    for table in ("tallies", "firsts"):
        assert clickhouse.rows(f"SELECT DISTINCT tenant_id FROM {table}") == [("tnt_2",)]
    assert_exact(clickhouse, tallies)


def test_counts_stay_when_a_recipient_is_erased(clickhouse: ClickHouse) -> None:
    """A quarter that is counted again, since an event of it comes late, has the events that are left."""
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    random = Random(2)
    insert(clickhouse, tallies, [an_event(random, number) for number in range(160)])
    settle(tallies, clock)

    def all_counts() -> list[Counts]:
        starts = [BEGIN + number * QUARTER_S for number in range(QUARTERS)]
        end = BEGIN + QUARTERS * QUARTER_S
        return [counted(clickhouse, tallies, tenant, kind, starts, end) for tenant in TENANTS for kind in Kind]

    before = all_counts()
    for tenant in TENANTS:
        while not erase_recipients(clickhouse, f"ers_{tenant}", tenant, ["a@gmail.com"], "msg_9", LATE * 1000):
            pass
    assert clickhouse.rows("SELECT count() FROM events WHERE recipient = 'a@gmail.com'") == [(0,)]
    assert all_counts() == before
    settle(tallies, clock)
    assert all_counts() == before
    late = [
        replace(an_event(random, 1000 + number), at=float(BEGIN + number * QUARTER_S)) for number in range(QUARTERS)
    ]
    insert(clickhouse, tallies, [replace(event, recipient="b@gmail.com") for event in late])
    settle(tallies, clock)
    assert all_counts() != before
    assert_exact(clickhouse, tallies)
