"""The days, weeks and months of a range of dates, in a time zone. Pure."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from analytics.metrics import QUARTER_S
from analytics.statistics import LAST

AggregatedBy = Literal["day", "week", "month"]
EARLIEST, LATEST = date(1970, 1, 1), date(2105, 12, 31)
"""The days of ClickHouse's type DateTime."""
MOST_PERIODS = 1000
_DAY = timedelta(days=1)

T = TypeVar("T")


class Periods(Struct, frozen=True):
    """The periods in order. The first and the last may lie in the range in part: then only that part is counted."""

    dates: tuple[str, ...]
    """The first day of each: YYYY-MM-DD. Weeks begin on Monday."""
    starts: tuple[int, ...]
    """Where each begins; seconds since the epoch."""
    end: int
    """Where the last ends."""
    last: str
    """The last day of the range."""

    def each(self, found: Mapping[int, T], none: T) -> Iterator[tuple[str, T]]:
        """The date of each period with what begins at its start. ``none``: of a period that has nothing."""
        for number, (day, start) in enumerate(zip(self.dates, self.starts, strict=True)):
            # A zone that crosses the date line leaves a day out: that is empty, and the next begins at the same time.
            is_empty = number + 1 < len(self.starts) and self.starts[number + 1] == start
            yield day, none if is_empty else found.get(start, none)

    def part(self, first: int, end: int) -> "Periods":
        """The periods from one number up to another."""
        starts = self.starts[first:end]
        return Periods(
            self.dates[first:end], starts, self.starts[end] if end < len(self.starts) else self.end, self.last
        )


def periods(first: date, last: date, by: AggregatedBy, zone: ZoneInfo) -> Periods:
    """The periods from ``first`` to ``last``, both among them. Raises ValueError when there are too many."""
    dates: list[date] = []
    starts: list[int] = []
    day = first
    while day <= last:
        if len(dates) == MOST_PERIODS:
            raise ValueError(f"more than {MOST_PERIODS} periods")
        dates.append(_begin(day, by))
        starts.append(_moment(day, zone))
        day = _next(day, by)
    return Periods(tuple(map(str, dates)), tuple(starts), _moment(last + _DAY, zone), str(last))


def whole(first: date, last: date, zone: ZoneInfo) -> Periods:
    """The range as one period."""
    return Periods((str(first),), (_moment(first, zone),), _moment(last + _DAY, zone), str(last))


def _begin(day: date, by: AggregatedBy) -> date:
    if by == "day":
        return day
    return day.replace(day=1) if by == "month" else day - timedelta(days=day.weekday())


def _next(day: date, by: AggregatedBy) -> date:
    begin = _begin(day, by)
    if by == "day":
        return begin + _DAY
    return (begin + 31 * _DAY).replace(day=1) if by == "month" else begin + 7 * _DAY


def _moment(day: date, zone: ZoneInfo) -> int:
    """When a day begins. Since 1972 that is at a quarter of an hour in every zone; before, it is rounded up."""
    moment = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    return min(max(-(-moment // QUARTER_S) * QUARTER_S, 0), LAST)
