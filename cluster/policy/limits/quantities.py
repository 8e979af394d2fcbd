"""Durations and rates as people write them: "30s", "1h30m", "100/s", "5000/h", "1/10s".

This module owns both notations, reading and writing. The reader of shaping.toml and the output for operators use it.
"""

import re
from math import inf

from msgspec import Struct

_UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_RATE = re.compile(r"([0-9]+)/(.+)")

LONGEST_S = 366 * 86400.0
"""A duration beyond a year is a typing error."""
MOST = 1_000_000_000


class Rate(Struct, frozen=True):
    """At most ``count`` in ``per_s`` seconds; both are above zero."""

    count: int
    per_s: float

    @property
    def per_second(self) -> float:
        return self.count / self.per_s

    def __str__(self) -> str:
        for unit, seconds in _UNITS:
            if self.per_s == seconds:
                return f"{self.count}/{unit}"
        return f"{self.count}/{duration_text(self.per_s)}"


def duration(text: str) -> float:
    """The seconds of "500ms", "30s", "5m", "1h30m", "3d". Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f'{text!r} is not a duration such as "30s", "5m" or "1h30m"')
    units = dict(_UNITS)
    seconds = sum(float(number) * units[unit] for number, unit in _PART.findall(text))
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"{text!r} must be above zero, and at most a year")
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest way to write a duration, to the millisecond: 5400 is "1h30m"."""
    if seconds == inf:
        return "ever"
    left = round(seconds * 1000)
    parts = []
    for unit, size in _UNITS:
        whole, left = divmod(left, round(size * 1000))
        if whole:
            parts.append(f"{whole}{unit}")
    return "".join(parts) or "0s"


def rate(text: str) -> Rate:
    """The rate of "100/s", "5000/h", "1/10s". Raises ValueError."""
    match = _RATE.fullmatch(text)
    if not match:
        raise ValueError(f'{text!r} is not a rate such as "100/s", "5000/h" or "1/10s"')
    count = int(match[1])
    if not 0 < count <= MOST:
        raise ValueError(f"{text!r} must be above zero, and at most {MOST}")
    per = match[2]
    return Rate(count, dict(_UNITS).get(per) or duration(per))
