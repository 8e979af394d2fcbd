"""The range of a report, in periods of UTC. Pure."""

from datetime import UTC, datetime, timedelta
from enum import Enum

from msgspec import Struct

from analytics.charts.series import Moment


class Period(Enum):
    """How long a period is; the value says it in words."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Range(Struct, frozen=True):
    """From ``since`` until before ``until``; both have a time zone."""

    since: datetime
    until: datetime

    @property
    def period(self) -> Period:
        """So that a chart has between a few and about a hundred periods."""
        days = (self.until - self.since) / timedelta(days=1)
        if days <= 3:
            return Period.HOUR
        if days <= 93:
            return Period.DAY
        return Period.WEEK if days <= 731 else Period.MONTH

    def starts(self) -> list[datetime]:
        """The beginnings of the periods, UTC. The first may lie before ``since``."""
        at = _floor(self.since.astimezone(UTC), self.period)
        found = []
        while at < self.until:
            found.append(at)
            at = _next(at, self.period)
        return found

    def moments(self) -> list[Moment]:
        return [_moment(at, self.period) for at in self.starts()]


def _floor(at: datetime, period: Period) -> datetime:
    if period is Period.HOUR:
        return at.replace(minute=0, second=0, microsecond=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.DAY:
        return day
    return day - timedelta(days=day.weekday()) if period is Period.WEEK else day.replace(day=1)


def _next(at: datetime, period: Period) -> datetime:
    if period is Period.MONTH:
        return (at + timedelta(days=31)).replace(day=1)
    return at + {Period.HOUR: timedelta(hours=1), Period.DAY: timedelta(days=1), Period.WEEK: timedelta(days=7)}[period]


def _moment(at: datetime, period: Period) -> Moment:
    day = f"{at.day} {at:%b}"
    match period:
        case Period.HOUR:
            return Moment(f"{at:%H:%M}" if at.hour else day, f"{at:%Y-%m-%d %H:%M}")
        case Period.DAY:
            return Moment(day, f"{at:%Y-%m-%d}")
        case Period.WEEK:
            return Moment(day, f"{at:%Y-%m-%d}, week")
        case Period.MONTH:
            return Moment(f"{at:%b %y}", f"{at:%Y-%m}")
