"""The forecast of the disk: from few samples, wrong clocks, and what goes by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.retention import Cutoffs, Partition, Retention
from cluster.policy.storage import (
    HORIZON,
    Forecast,
    Going,
    Sample,
    forecast,
    going,
    prunable,
    stored_days,
    warning,
)

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
GB = 10**9
HOUR = timedelta(hours=1)


def sample(hours_ago: float, stored: float, free: float | None = None) -> Sample:
    """Sizes in GB."""
    free_bytes = None if free is None else int(free * GB)
    return Sample(at=NOW - HOUR * hours_ago, stored_bytes=int(stored * GB), free_bytes=free_bytes)


def steady(per_hour: float, free: float, hours: int = 24) -> tuple[list[Sample], Sample]:
    """A day of samples, and the current one: 100 GB are stored, and so much is free."""
    *samples, current = (sample(ago, 100 - per_hour * ago, free + per_hour * ago) for ago in range(hours, -1, -1))
    return samples, current


def test_a_steady_rate_goes_on() -> None:
    samples, current = steady(1, free=200)
    found = forecast(samples, (), current, 2 * GB)
    assert found.bytes_per_day == 24 * GB
    assert found.in_a_day is not None and found.in_a_week is not None
    assert (found.in_a_day.stored_bytes, found.in_a_day.free_bytes) == (124 * GB, 176 * GB)
    assert (found.in_a_week.stored_bytes, found.in_a_week.free_bytes) == (268 * GB, 32 * GB)
    assert found.full_at is None or found.full_at > NOW + timedelta(days=7)
    assert warning(found, NOW) is None


def test_what_goes_makes_room_from_its_time_on() -> None:
    samples, current = steady(1, free=200)
    going = [Going(at=NOW + timedelta(hours=12), bytes=24 * GB), Going(at=NOW + timedelta(days=3), bytes=48 * GB)]
    found = forecast(samples, going, current, 2 * GB)
    assert found.in_a_day is not None and found.in_a_week is not None
    assert found.in_a_day.stored_bytes == 100 * GB
    assert found.in_a_week.stored_bytes == (100 + 168 - 72) * GB


@pytest.mark.parametrize(("free", "warned"), [(22.0, True), (26.0, True), (27.0, False), (200.0, False)])
def test_the_warning_comes_a_day_before(free: float, warned: bool) -> None:
    samples, current = steady(1, free=free)
    said = warning(forecast(samples, (), current, 2 * GB), NOW)
    assert (said is not None) == warned
    if said is not None:
        assert f"full in {free - 2:.0f} h" in said
        assert "postray storage" in said and "retention.bodies_days" in said


def test_without_an_hour_of_samples_there_is_no_forecast() -> None:
    nothing = Forecast(bytes_per_day=None, in_a_day=None, in_a_week=None, full_at=None)
    assert forecast([], (), sample(0, 100, 50), GB) == nothing
    assert forecast([sample(0.9, 90, 60)], (), sample(0, 100, 50), GB) == nothing
    assert warning(nothing, NOW) is None


def test_a_disk_that_is_full_at_once_is_full_now() -> None:
    found = forecast([], (), sample(0, 100, 0.5), GB)
    assert found.full_at == NOW
    assert "full in 0 h" in (warning(found, NOW) or "")
    samples, _ = steady(0, free=50)
    found = forecast(samples, (), sample(0, 100, 0.5), GB)
    assert found.full_at == NOW


def test_the_clock_was_wrong() -> None:
    samples, current = steady(1, free=200)
    ahead = [Sample(at=NOW + timedelta(days=400), stored_bytes=0, free_bytes=0)]
    behind = [Sample(at=datetime(1970, 1, 1, tzinfo=UTC), stored_bytes=10**15, free_bytes=0)]
    assert forecast([*ahead, *samples[::-1], *behind], (), current, 2 * GB) == forecast(samples, (), current, 2 * GB)
    twice = [*samples, Sample(at=samples[-1].at, stored_bytes=0, free_bytes=0)]
    assert forecast(twice, (), current, 2 * GB).bytes_per_day is not None


def test_what_went_is_not_taken_for_growth_and_hides_none() -> None:
    """A day goes at midnight: 50 GB less, while 1 GB an hour comes."""
    stored = {ago: 100 - ago + (50 if ago > 11 else 0) for ago in range(25)}
    samples = [sample(ago, stored[ago], 300 - stored[ago]) for ago in range(24, 0, -1)]
    assert forecast(samples, (), sample(0, 100, 200), 2 * GB).bytes_per_day == 24 * GB


def test_other_programs_fill_the_disk_too() -> None:
    samples = [sample(ago, 100, 10 + ago) for ago in range(24, 0, -1)]
    said = warning(forecast(samples, (), sample(0, 100, 10), 2 * GB), NOW)
    assert said is not None and "full in 8 h" in said


def test_of_a_disk_elsewhere_only_the_size_is_foretold() -> None:
    samples = [sample(ago, 100 - ago) for ago in range(24, 0, -1)]
    found = forecast(samples, (), sample(0, 100), 2 * GB)
    assert found.in_a_day is not None
    assert (found.in_a_day.stored_bytes, found.in_a_day.free_bytes, found.full_at) == (124 * GB, None, None)


@given(
    samples=st.lists(
        st.builds(
            Sample,
            at=st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
            stored_bytes=st.integers(0, 10**18),
            free_bytes=st.none() | st.integers(0, 10**18),
        ),
        max_size=30,
    ),
    going=st.lists(
        st.builds(
            Going,
            at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
            bytes=st.integers(0, 10**18),
        ),
        max_size=5,
    ),
    free=st.none() | st.integers(0, 10**15),
)
def test_nothing_is_negative_or_beyond_the_horizon(samples: list[Sample], going: list[Going], free: int | None) -> None:
    current = Sample(at=NOW, stored_bytes=GB, free_bytes=free)
    found = forecast(samples, going, current, GB)
    assert found.bytes_per_day is None or found.bytes_per_day >= 0
    for expected in (found.in_a_day, found.in_a_week):
        if expected is not None:
            assert expected.stored_bytes >= 0
            assert (expected.free_bytes is None) == (free is None)
            assert expected.free_bytes is None or expected.free_bytes >= 0
    assert found.full_at is None or NOW <= found.full_at <= NOW + HORIZON


# Days


KEPT = Retention(bodies_days=7, messages_days=30)
TODAY = NOW.date()


def partition(table: str, days_ago: int, *, cleared: Cutoffs | None = None, days: int = 1) -> Partition:
    first = TODAY - timedelta(days=days_ago)
    return Partition(
        name=f"{table}_{days_ago}",
        first=first,
        until=first + timedelta(days=days),
        is_oldest=days > 1,
        cleared=cleared,
    )


def cleared(bodies_ago: int, records_ago: int) -> Cutoffs:
    return Cutoffs(bodies=TODAY - timedelta(days=bodies_ago), records=TODAY - timedelta(days=records_ago))


def midnight(days: int) -> datetime:
    return datetime(2026, 11, 29, tzinfo=UTC) + timedelta(days=days)


def test_bodies_go_first_attachments_with_them_records_later() -> None:
    partitions = {name: [partition(name, 2)] for name in ("messages", "outcomes", "attachments")}
    sizes = {f"{name}_2": 1000 for name in partitions}
    days = {day.table: day for day in stored_days(partitions, sizes, KEPT)}
    assert (days["messages"].bodies_go_at, days["messages"].records_go_at) == (midnight(6), midnight(29))
    assert (days["outcomes"].bodies_go_at, days["outcomes"].records_go_at) == (None, midnight(29))
    assert (days["attachments"].bodies_go_at, days["attachments"].records_go_at) == (None, midnight(6))
    goes = {(one.at, one.bytes) for one in going(list(days.values()))}
    assert goes == {(midnight(6), 400), (midnight(29), 600), (midnight(29), 1000), (midnight(6), 1000)}


def test_what_has_gone_does_not_go_again() -> None:
    partitions = {"messages": [partition("messages", 10, cleared=cleared(8, 30))]}
    (day,) = stored_days(partitions, {"messages_10": 500}, KEPT)
    assert day.bodies_go_at is None
    assert going([day]) == [Going(at=midnight(21), bytes=500)]


def test_what_is_pruned_is_of_days_before() -> None:
    partitions = {
        "messages": [
            partition("messages", 40, days=20, cleared=cleared(25, 25)),
            partition("messages", 2),
            partition("messages", 1, cleared=cleared(0, 0)),
            partition("messages", 0),
        ]
    }
    assert prunable(partitions, TODAY) == {"messages_40", "messages_2"}
    assert prunable(partitions, TODAY - timedelta(days=2)) == {"messages_40"}
    assert prunable(partitions, TODAY - timedelta(days=25)) == set()
