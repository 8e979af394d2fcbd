"""Curves of the flight recorder's samples: gaps stay gaps, and what bound is told by its part of the time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.history import History, SitePoint
from api.console.history import site_curves, what_bound, whole_curves
from tests.histories import a_point

SINCE = datetime(2026, 4, 23, 10, 0, tzinfo=UTC)


def point(minute: int, **said: Any) -> SitePoint:
    return a_point(SINCE + timedelta(minutes=minute), **{"samples": 6, **said})


def a_history(*points: SitePoint, minutes: int = 5) -> History:
    return History(site="a", since=SINCE, until=SINCE + timedelta(minutes=minutes), step_s=60, sites=points)


def test_without_samples_there_is_no_curve() -> None:
    assert site_curves(a_history()) == [] and what_bound(a_history()) == [] and whole_curves(a_history()) == []


def test_a_step_without_a_sample_interrupts_the_curve() -> None:
    answered, _ = site_curves(a_history(point(0), point(1), point(4)))
    assert answered.chart.count('class="line green"') == 1, "two points that follow each other"
    assert answered.chart.count('class="line dot green"') == 1, "one alone"
    assert "10:04:00 UTC; accepted: 12" in answered.chart and "10:02:00 UTC; " not in answered.chart


def test_what_bound_is_a_part_of_all_samples() -> None:
    points = (
        point(0, binds={"connections": 1.0}),
        point(1, binds={"connections": 0.5, "message_rate": 0.5}),
        point(2, samples=12, binds={"of a later release": 0.25}),
    )
    assert what_bound(a_history(*points)) == [
        ("its connections are all in use", "38%"),
        ("the message rate", "12%"),
        ("of a later release", "12%"),
    ]
