"""Stacked bars over time."""

from collections.abc import Sequence

from markupsafe import Markup

from analytics.charts.scale import counts, short
from analytics.charts.series import Moment, Series, check
from analytics.charts.svg import element, frame, key, percent, together, tooltip

BAR = 0.8
"""The share of its place that a bar fills."""


def bars(title: str, moments: Sequence[Moment], series: Sequence[Series]) -> Markup:
    """A bar for each moment, of all series above each other, the first at the bottom. Values count something: none is
    negative. Raises ValueError (``series.check``)."""
    check(moments, series)
    sums = [sum(one.values[i] or 0 for one in series) for i in range(len(moments))]
    marks = counts(max(sums, default=0))
    top = marks[-1]
    return frame(
        title,
        moments,
        [(mark / top, short(mark)) for mark in marks],
        together(_bar(moment, series, i, len(moments), top) for i, moment in enumerate(moments)),
    )


def _bar(moment: Moment, series: Sequence[Series], i: int, count: int, top: float) -> Markup:
    below, parts = 0.0, []
    for one in series:
        value = one.values[i]
        if not value:
            continue
        below += value
        parts.append(
            element(
                "rect",
                class_=f"bar {key(one)}",
                x=percent((i + (1 - BAR) / 2) / count),
                width=percent(BAR / count),
                y=percent(1 - below / top),
                height=percent(value / top),
            )
        )
    return element("g", tooltip(moment, series, i, lambda value: f"{value:,.0f}"), together(parts))
