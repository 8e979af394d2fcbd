"""Dates and times as clients write them (ISO 8601). Pure."""

import re
from datetime import UTC, date, datetime

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day(text: str) -> date:
    """A date written as YYYY-MM-DD, and in no other way. Raises ValueError."""
    if _DAY.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not YYYY-MM-DD")
    return date.fromisoformat(text)


def is_day(text: str) -> bool:
    """Whether the text is written as a date is, and has no time."""
    return len(text) <= len("2026-04-01")


def moment(text: str) -> datetime:
    """A time in UTC, which it is also without a zone; a date is its first moment. Raises ValueError and
    OverflowError."""
    if is_day(text):
        found = day(text)
        return datetime(found.year, found.month, found.day, tzinfo=UTC)
    return zoned(datetime.fromisoformat(text)).astimezone(UTC)


def zoned(at: datetime) -> datetime:
    """A time with its zone: UTC where it has none."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
