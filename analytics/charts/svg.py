"""Markup of charts: elements, the frame with its axes, the legend. All text is escaped here."""

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

from analytics.charts.series import Moment, Series
from cluster.printable import printable

HEIGHT_PX = 220
"""Of the plot of a chart over time, without its axis."""
LABELS, MORE_LABELS = 5, 10
"""About as many times are named on a narrow and on a wide page."""


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """An element. Underscores of attribute names become hyphens (``class_`` is class); children that are not Markup
    are text."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(_text(value)))}"' for key, value in attributes.items()
    )
    inside = "".join(child if isinstance(child, Markup) else escape(printable(child)) for child in children)
    return Markup(f"<{name}{given}>{inside}</{name}>")


def percent(share: float) -> str:
    """A share of the width or height, from 0 to 1."""
    return f"{_text(100 * share)}%"


def together(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def frame(
    title: str,
    moments: Sequence[Moment],
    ticks: Sequence[tuple[float, str]],
    plot: Markup,
) -> Markup:
    """A chart over time. ``ticks``: of the vertical axis, from 0 (below) to 1, with their names."""
    lines = [
        part
        for share, name in ticks
        for part in (
            element("line", class_="grid", x1="0", x2="100%", y1=percent(1 - share), y2=percent(1 - share)),
            element("text", name, class_="axis", x="-8", y=percent(1 - share), dy="4", text_anchor="end"),
        )
    ]
    return element(
        "svg",
        together(lines),
        plot,
        together(axis(moments)),
        class_="chart over-time",
        height=HEIGHT_PX,
        role="img",
        aria_label=title,
    )


def axis(moments: Sequence[Moment]) -> list[Markup]:
    """The names of times below a chart."""
    count = len(moments)
    step = max(1, -(-count // LABELS))
    between = step // 2 if step % 2 == 0 and count // step < MORE_LABELS else step
    return [
        element(
            "text",
            moment.short,
            class_="axis" if i % step == 0 else "axis more",
            x=percent((i + 0.5) / count),
            y="100%",
            dy="18",
            text_anchor="middle",
        )
        for i, moment in enumerate(moments)
        if i % between == 0
    ]


def tooltip(moment: Moment, series: Sequence[Series], i: int, say: Callable[[float], str]) -> Markup:
    """What a browser shows where the pointer rests."""
    said = [f"{one.name}: {say(value)}" for one in series if (value := one.values[i]) is not None]
    return element("title", "; ".join([moment.name, *said]))


def legend(series: Sequence[Series]) -> Markup:
    """The names of the colours, as a list of HTML."""
    return element(
        "ul",
        together(
            element("li", element("span", class_=f"{key(one)} swatch", aria_hidden="true"), one.name) for one in series
        ),
        class_="legend",
    )


def key(series: Series) -> str:
    """The classes of a series."""
    return f"{series.tone.value} dashed" if series.is_dashed else series.tone.value


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
