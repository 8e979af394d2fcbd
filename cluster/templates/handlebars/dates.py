"""``formatDate``: a date as text, by the tokens of moment.js, which SendGrid's are. Names are English (en-US).

A date is a number of seconds since 1970 (of milliseconds from 100,000,000,000 on, which is 1973 in milliseconds and the
year 5138 in seconds), or a text in ISO 8601. Without a zone of its own it is UTC. It is shown in UTC unless a zone is
given.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import Value, printed

FIRST_MILLISECONDS = 100_000_000_000
"""Numbers from here on are milliseconds."""

_CHARACTERS_A_STEP = 16
"""Of a format: about what a token takes."""
_LONGEST_DATE = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

_SECONDS = re.compile(r"-?[0-9]{9,15}(\.[0-9]{1,9})?", re.ASCII).fullmatch
_YEAR = re.compile(r"[0-9]{4}", re.ASCII).fullmatch
_YEAR_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII).fullmatch
_SPACED_ZONE = re.compile(r" (?=(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})$)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)([0-9]{1,2})(?::?([0-9]{2}))?", re.ASCII).fullmatch


def format_date(value: Value, form: Value, zone: Value, budget: Budget) -> str:
    """The date as ``form`` has it, in ``zone``: an offset such as ``-0800`` or ``+05:30``, hours as a number, or a name
    such as ``America/New_York``. No date is no text. What is no date prints as it is, and a zone that does not exist
    counts as UTC. Raises TooMuch."""
    text = printed(value, budget)
    date = _date(value, text)
    if date is None:
        return text
    try:
        date = date.astimezone(_zone(zone))
    except OverflowError:  # the first or last day of the calendar, in another zone
        return text
    layout = printed(form, budget) or "YYYY-MM-DDTHH:mm:ssZ"
    budget.step(len(layout) // _CHARACTERS_A_STEP)
    return _laid_out(date, layout)


def _date(value: Value, text: str) -> datetime | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _since_1970(value)
    if not isinstance(value, str) or len(text) > _LONGEST_DATE:
        return None
    text = text.strip()
    if _SECONDS(text):
        return _since_1970(float(text))
    if _YEAR(text):
        text += "-01-01"
    elif _YEAR_MONTH(text):
        text += "-01"
    text = _SPACED_ZONE.sub("", text)
    if text.endswith(("UTC", "GMT")):
        text = text[:-3] + "Z"
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _since_1970(number: int | float) -> datetime | None:
    try:
        seconds = number / 1_000 if abs(number) >= FIRST_MILLISECONDS else number
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # beyond the calendar; NaN
        return None


def _zone(zone: Value) -> tzinfo:
    if zone is None or zone is UNDEFINED or isinstance(zone, bool):
        return UTC
    if isinstance(zone, (int, float)):  # moment's utcOffset: hours below 16, else minutes
        return _fixed(zone * 60 if abs(zone) < 16 else zone)
    if not isinstance(zone, str) or len(zone) > _LONGEST_DATE:
        return UTC
    zone = zone.strip()
    if offset := _OFFSET(zone):
        sign, hours, minutes = offset.groups()
        return _fixed((int(hours) * 60 + int(minutes or 0)) * (-1 if sign == "-" else 1))
    name = _zone_names().get(zone.lower())
    return ZoneInfo(name) if name else UTC


def _fixed(minutes: int | float) -> tzinfo:
    return timezone(timedelta(minutes=int(minutes))) if minutes and abs(minutes) < 24 * 60 else UTC


@cache
def _zone_names() -> dict[str, str]:
    """The names of zones by their small letters, as in the tz database. Only these reach the file system."""
    return {name.lower(): name for name in files("tzdata").joinpath("zones").read_text("ascii").split()}


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _weekday(date: datetime) -> int:
    """0 is Sunday."""
    return date.isoweekday() % 7


def _week(date: datetime) -> tuple[int, int]:
    """Year and week as the United States count: weeks begin on Sundays, the first has January 1."""
    left = 6 - _weekday(date)
    if date.month == 12 and date.day + left > 31:
        return date.year + 1, 1
    return date.year, (date.timetuple().tm_yday + left - 1) // 7 + 1


def _half(date: datetime) -> str:
    return "AM" if date.hour < 12 else "PM"


def _hour_12(date: datetime) -> int:
    return date.hour % 12 or 12


def _offset(date: datetime, separator: str) -> str:
    minutes = round((date.utcoffset() or timedelta()).total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{separator}{abs(minutes) % 60:02d}"


def _abbreviation(date: datetime) -> str:
    """A fixed offset has no name: it stands for itself."""
    return _offset(date, ":") if isinstance(date.tzinfo, timezone) and date.tzinfo != UTC else date.tzname() or ""


def _milliseconds(date: datetime) -> int:
    return (date - _EPOCH) // timedelta(milliseconds=1)


_TOKENS: dict[str, Callable[[datetime], str]] = {
    "YYYYYY": lambda d: f"+{d.year:06d}",
    "YYYYY": lambda d: f"{d.year:05d}",
    "YYYY": lambda d: f"{d.year:04d}",
    "YY": lambda d: f"{d.year % 100:02d}",
    "Y": lambda d: f"{d.year:04d}",
    "Q": lambda d: str((d.month + 2) // 3),
    "Qo": lambda d: _ordinal((d.month + 2) // 3),
    "MMMM": lambda d: _MONTHS[d.month - 1],
    "MMM": lambda d: _MONTHS[d.month - 1][:3],
    "MM": lambda d: f"{d.month:02d}",
    "Mo": lambda d: _ordinal(d.month),
    "M": lambda d: str(d.month),
    "DDDD": lambda d: f"{d.timetuple().tm_yday:03d}",
    "DDDo": lambda d: _ordinal(d.timetuple().tm_yday),
    "DDD": lambda d: str(d.timetuple().tm_yday),
    "DD": lambda d: f"{d.day:02d}",
    "Do": lambda d: _ordinal(d.day),
    "D": lambda d: str(d.day),
    "dddd": lambda d: _DAYS[_weekday(d)],
    "ddd": lambda d: _DAYS[_weekday(d)][:3],
    "dd": lambda d: _DAYS[_weekday(d)][:2],
    "do": lambda d: _ordinal(_weekday(d)),
    "d": lambda d: str(_weekday(d)),
    "e": lambda d: str(_weekday(d)),
    "E": lambda d: str(d.isoweekday()),
    "ww": lambda d: f"{_week(d)[1]:02d}",
    "wo": lambda d: _ordinal(_week(d)[1]),
    "w": lambda d: str(_week(d)[1]),
    "WW": lambda d: f"{d.isocalendar().week:02d}",
    "Wo": lambda d: _ordinal(d.isocalendar().week),
    "W": lambda d: str(d.isocalendar().week),
    "gggg": lambda d: f"{_week(d)[0]:04d}",
    "gg": lambda d: f"{_week(d)[0] % 100:02d}",
    "GGGG": lambda d: f"{d.isocalendar().year:04d}",
    "GG": lambda d: f"{d.isocalendar().year % 100:02d}",
    "A": _half,
    "a": lambda d: _half(d).lower(),
    "HH": lambda d: f"{d.hour:02d}",
    "H": lambda d: str(d.hour),
    "hh": lambda d: f"{_hour_12(d):02d}",
    "h": lambda d: str(_hour_12(d)),
    "kk": lambda d: f"{d.hour or 24:02d}",
    "k": lambda d: str(d.hour or 24),
    "mm": lambda d: f"{d.minute:02d}",
    "m": lambda d: str(d.minute),
    "ss": lambda d: f"{d.second:02d}",
    "s": lambda d: str(d.second),
    "Hmm": lambda d: f"{d.hour}{d.minute:02d}",
    "Hmmss": lambda d: f"{d.hour}{d.minute:02d}{d.second:02d}",
    "hmm": lambda d: f"{_hour_12(d)}{d.minute:02d}",
    "hmmss": lambda d: f"{_hour_12(d)}{d.minute:02d}{d.second:02d}",
    "ZZ": lambda d: _offset(d, ""),
    "Z": lambda d: _offset(d, ":"),
    "zz": _abbreviation,
    "z": _abbreviation,
    "X": lambda d: str(_milliseconds(d) // 1_000),
    "x": lambda d: str(_milliseconds(d)),
}
_SHORTHAND = {
    "LTS": "h:mm:ss A",
    "LT": "h:mm A",
    "LLLL": "dddd, MMMM D, YYYY h:mm A",
    "LLL": "MMMM D, YYYY h:mm A",
    "LL": "MMMM D, YYYY",
    "L": "MM/DD/YYYY",
    "llll": "ddd, MMM D, YYYY h:mm A",
    "lll": "MMM D, YYYY h:mm A",
    "ll": "MMM D, YYYY",
    "l": "M/D/YYYY",
}
_LONGEST_FIRST = "|".join(sorted((*_TOKENS, *_SHORTHAND), key=len, reverse=True))
_TOKEN = re.compile(rf"\[(?P<quoted>[^\[\]]*+)\]|\\(?P<kept>{_LONGEST_FIRST})|(?P<fraction>S{{1,9}})|{_LONGEST_FIRST}")


def _laid_out(date: datetime, layout: str) -> str:
    def text(found: re.Match[str]) -> str:
        token = found[0]
        if value := _TOKENS.get(token):
            return value(date)
        if inner := _SHORTHAND.get(token):
            return _laid_out(date, inner)
        if found["fraction"]:
            return f"{date.microsecond * 1_000:09d}"[: len(token)]
        return found["kept"] or found["quoted"] or ""

    return _TOKEN.sub(text, layout)
