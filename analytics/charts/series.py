"""What a chart over time is given."""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

MOST_POINTS = 400
"""The most points of a series: more are no picture, and a page would grow without bound."""


class Tone(Enum):
    """A colour of ``style.css``; the value is its class."""

    BLUE = "blue"
    AMBER = "amber"
    RED = "red"
    GREY = "grey"
    VIOLET = "violet"
    GREEN = "green"


class Series(Struct, frozen=True, kw_only=True):
    """``values``: one for each point in time; None: there is none. ``is_dashed``: of lines."""

    name: str
    tone: Tone
    values: Sequence[float | None]
    is_dashed: bool = False


class Moment(Struct, frozen=True):
    """A point in time: a short name for the axis, and the whole one."""

    short: str
    name: str


def check(moments: Sequence[Moment], series: Sequence[Series]) -> None:
    """Raises ValueError when there are too many points, or a series is of another length."""
    if len(moments) > MOST_POINTS:
        raise ValueError(f"{len(moments)} points; a chart has at most {MOST_POINTS}")
    for one in series:
        if len(one.values) != len(moments):
            raise ValueError(f"{one.name} has {len(one.values)} values for {len(moments)} points")
