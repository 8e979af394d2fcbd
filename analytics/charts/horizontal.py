"""Horizontal bars: names, the largest first."""

from collections.abc import Sequence

from markupsafe import Markup
from msgspec import Struct

from analytics.charts.series import Tone
from analytics.charts.svg import element, percent, together

ROW_PX, BAR_PX, NAME_PX = 44, 14, 14
LONGEST = 0.64
"""The share of the width that the longest bar fills. The rest is for what is said beside it."""
MOST_LETTERS = 42
"""Of a name: as many are legible on a page of 360 px."""
MOST_ROWS = 50


class Part(Struct, frozen=True):
    """A part of a bar."""

    tone: Tone
    value: float


class Row(Struct, frozen=True, kw_only=True):
    """A bar. ``said`` stands beside it."""

    name: str
    parts: Sequence[Part]
    said: str


def horizontal_bars(title: str, rows: Sequence[Row]) -> Markup:
    """A bar for each row, all on one scale. Raises ValueError for more than MOST_ROWS."""
    if len(rows) > MOST_ROWS:
        raise ValueError(f"{len(rows)} rows; a chart has at most {MOST_ROWS}")
    most = max((sum(part.value for part in row.parts) for row in rows), default=0) or 1
    return element(
        "svg",
        together(_row(row, i, most) for i, row in enumerate(rows)),
        class_="chart horizontal",
        height=ROW_PX * len(rows),
        role="img",
        aria_label=title,
    )


def shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1].rstrip()}…"


def _row(row: Row, i: int, most: float) -> Markup:
    top, along = i * ROW_PX, 0.0
    drawn: list[Markup] = []
    for part in row.parts:
        share = LONGEST * part.value / most
        if share > 0:
            drawn.append(
                element(
                    "rect",
                    class_=f"bar {part.tone.value}",
                    x=percent(along),
                    width=percent(share),
                    y=top + NAME_PX + 6,
                    height=BAR_PX,
                )
            )
        along += share
    beside = top + NAME_PX + 6 + BAR_PX - 3
    return element(
        "g",
        element("title", f"{row.name}: {row.said}"),
        element("text", shortened(row.name), class_="name", x="0", y=top + NAME_PX),
        together(drawn),
        element("text", row.said, class_="axis", x=percent(along), dx="8", y=beside),
    )
