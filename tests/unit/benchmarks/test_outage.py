"""The figures of an outage, and what a plan says that a statement costs."""

import pytest

from benchmarks.hot_tables import HOT, Cost, Costs, Size, cost_of
from benchmarks.scenarios.outage import ASKED, COME_BACK, POINTS, Moment, Options, Outage, figures


def a_node(hit: int, read: int, wal: int, **other: object) -> dict[str, object]:
    return {"Shared Hit Blocks": hit, "Shared Read Blocks": read, "WAL Bytes": wal, **other}


def test_what_a_node_needs_is_counted_in_it() -> None:
    assert cost_of(a_node(10, 2, 300, Plans=[a_node(7, 2, 100), a_node(1, 0, 0)])) == Cost(12, 300)


def test_a_part_of_with_is_added_where_nothing_refers_to_it() -> None:
    named = a_node(5, 0, 50, **{"Subplan Name": "CTE mine"})
    scan = a_node(5, 0, 50, **{"CTE Name": "mine"})
    apart = a_node(20, 1, 200, **{"Subplan Name": "CTE kept"})
    assert cost_of(a_node(10, 0, 100, Plans=[named, a_node(6, 0, 60, Plans=[scan]), apart])) == Cost(31, 300)


def a_moment(rows: float, pages: float, claim_ms: float) -> Moment:
    cost = Cost(pages, pages * 100)
    every = Costs(claim=cost, intake=cost, due=cost, lanes=cost, read=cost, backlog=Cost(0, 0))
    return Moment(dict.fromkeys(HOT, Size(rows, rows / 2)), every, claim_ms)


def test_figures_are_those_of_the_measures_and_compare_with_before() -> None:
    found = figures([a_moment(2, 640, 1.0), a_moment(600, 1280, 3.0), a_moment(600, 1280, 3.0), a_moment(3, 704, 1.1)])
    afterwards = {"longest claim afterwards", "longest acceptance afterwards"}
    assert found.keys() | afterwards == {measure.name for measure in Outage(Options()).measures}
    assert found["deliveries: rows, at the top"] == 600
    assert found["claim, before"] == 640 / ASKED
    ratios = {what: found[f"{what}, after / before"] for what in COME_BACK}
    assert ratios == pytest.approx(
        {
            "deliveries: rows": 1.5,
            "deliveries: indexes": 1.5,
            "event_log: rows": 1.5,
            "event_log: indexes": 1.5,
            "claim": 1.1,
            "claim p50": 1.1,
        }
    )
    assert found["intake, at the top / before"] == 2
    assert len(POINTS) == 4


def test_what_is_small_counts_as_small_and_not_by_its_pages() -> None:
    small, larger = a_moment(0.02, 640, 1.0), a_moment(0.1, 640, 1.0)
    found = figures([small, a_moment(600, 640, 1.0), small, larger])
    assert found["event_log: rows, after / before"] == 1
    found = figures([small, a_moment(600, 640, 1.0), small, a_moment(0.5, 640, 1.0)])
    assert found["event_log: rows, after / before"] == 2
