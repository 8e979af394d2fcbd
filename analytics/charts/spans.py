"""Stretches of time, a row for each kind of them: what happened beside what."""

from collections.abc import Sequence

from markupsafe import Markup
from msgspec import Struct

from analytics.charts.series import Moment, Tone
from analytics.charts.svg import axis, element, percent, together

ROW_PX, BAR_PX, NAME_PX = 34, 12, 14
NARROWEST = 0.004
"""The share of the width that a bar has at least: a moment is to be seen, too."""
MOST_ROWS, MOST_BARS = 40, 2000


class Bar(Struct, frozen=True, kw_only=True):
    """From ``begin`` to ``end``, as shares of the whole time. ``said`` is shown where the pointer rests."""

    begin: float
    end: float
    tone: Tone
    said: str


class Lane(Struct, frozen=True, kw_only=True):
    """A row."""

    name: str
    bars: Sequence[Bar]


def spans(title: str, moments: Sequence[Moment], lanes: Sequence[Lane]) -> Markup:
    """A row for each lane, over the axis of ``moments``. Raises ValueError for more than MOST_ROWS or MOST_BARS."""
    if len(lanes) > MOST_ROWS or sum(len(lane.bars) for lane in lanes) > MOST_BARS:
        raise ValueError(f"{len(lanes)} rows; a chart has at most {MOST_ROWS}, with {MOST_BARS} bars in all")
    return element(
        "svg",
        together(_lane(lane, i * ROW_PX) for i, lane in enumerate(lanes)),
        together(axis(moments)),
        class_="chart over-time",
        height=ROW_PX * len(lanes),
        role="img",
        aria_label=title,
    )


def _lane(lane: Lane, top: int) -> Markup:
    below = top + NAME_PX + 6
    return element(
        "g",
        element("text", lane.name, class_="name", x="0", y=top + NAME_PX),
        element("line", class_="grid", x1="0", x2="100%", y1=below + BAR_PX / 2, y2=below + BAR_PX / 2),
        together(_bar(bar, below) for bar in lane.bars),
    )


def _bar(bar: Bar, top: int) -> Markup:
    width = max(NARROWEST, bar.end - bar.begin)
    return element(
        "rect",
        element("title", bar.said),
        class_=f"bar {bar.tone.value}",
        x=percent(min(bar.begin, 1 - width)),
        width=percent(width),
        y=top,
        height=BAR_PX,
    )
