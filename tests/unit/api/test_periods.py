"""The periods of statistics in the zones of the world."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.metrics import QUARTER_S
from api.stats.periods import EARLIEST, LATEST, MOST_PERIODS, AggregatedBy, periods, whole

DAYS = st.dates(date(1972, 1, 8), date(2105, 1, 1))


def starts(first: str, last: str, zone: str, by: AggregatedBy = "day") -> list[tuple[str, str]]:
    found = periods(date.fromisoformat(first), date.fromisoformat(last), by, ZoneInfo(zone))
    times = [f"{datetime.fromtimestamp(start, UTC):%d %H:%M}" for start in (*found.starts, found.end)]
    return list(zip((*found.dates, "end"), times, strict=True))


def test_days_with_23_and_25_hours() -> None:
    assert starts("2026-03-28", "2026-03-30", "Europe/Berlin") == [
        ("2026-03-28", "27 23:00"),
        ("2026-03-29", "28 23:00"),
        ("2026-03-30", "29 22:00"),
        ("end", "30 22:00"),
    ]
    assert starts("2026-10-25", "2026-10-25", "Europe/Berlin") == [("2026-10-25", "24 22:00"), ("end", "25 23:00")]


def test_a_zone_of_three_quarters_of_an_hour() -> None:
    assert starts("2026-04-01", "2026-04-01", "Asia/Kathmandu") == [("2026-04-01", "31 18:15"), ("end", "01 18:15")]


def test_a_day_that_begins_at_one_o_clock() -> None:
    assert starts("2026-09-06", "2026-09-06", "America/Santiago") == [("2026-09-06", "06 04:00"), ("end", "07 03:00")]


def test_weeks_begin_on_monday_and_are_counted_within_the_range() -> None:
    assert starts("2026-04-01", "2026-04-14", "UTC", "week") == [
        ("2026-03-30", "01 00:00"),
        ("2026-04-06", "06 00:00"),
        ("2026-04-13", "13 00:00"),
        ("end", "15 00:00"),
    ]


def test_months_begin_on_the_first() -> None:
    assert starts("2026-01-31", "2026-03-01", "UTC", "month") == [
        ("2026-01-01", "31 00:00"),
        ("2026-02-01", "01 00:00"),
        ("2026-03-01", "01 00:00"),
        ("end", "02 00:00"),
    ]


def test_a_day_that_a_zone_left_out_is_empty() -> None:
    found = periods(date(2011, 12, 29), date(2011, 12, 31), "day", ZoneInfo("Pacific/Apia"))
    counts = {start: number for number, start in enumerate(found.starts)}
    assert list(found.each(counts, -1)) == [("2011-12-29", 0), ("2011-12-30", -1), ("2011-12-31", 2)]


def test_there_are_not_more_than_can_be_answered() -> None:
    first, zone = date(2026, 1, 1), ZoneInfo("UTC")
    last = first + timedelta(days=MOST_PERIODS - 1)
    assert len(periods(first, last, "day", zone).starts) == MOST_PERIODS
    with pytest.raises(ValueError, match="periods"):
        periods(first, last + timedelta(days=1), "day", zone)


@given(
    DAYS, st.integers(0, 400), st.sampled_from(("day", "week", "month")), st.sampled_from(sorted(available_timezones()))
)
def test_periods_cover_the_range_without_a_gap(first: date, days: int, by: AggregatedBy, zone: str) -> None:
    last = first + timedelta(days=days)
    found = periods(first, last, by, ZoneInfo(zone))
    one = whole(first, last, ZoneInfo(zone))
    assert (found.starts[0], found.end, found.last) == (one.starts[0], one.end, str(last))
    assert all(before <= after for before, after in pairwise((*found.starts, found.end)))
    assert all(before < after for before, after in pairwise(found.dates))
    assert {start % QUARTER_S for start in (*found.starts, found.end)} == {0}
    for start in found.starts:
        assert datetime.fromtimestamp(start, ZoneInfo(zone)).date() >= first


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_ends_of_time(zone: str) -> None:
    for day in (EARLIEST, LATEST):
        found = whole(day, day, ZoneInfo(zone))
        assert 0 <= found.starts[0] <= found.end < 1 << 32
