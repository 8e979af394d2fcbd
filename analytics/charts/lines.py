"""Curves over time: counts and amounts on a linear scale, durations on a logarithmic one."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from analytics.charts.scale import amount, amounts, counts, durations, exact, lasting, on_log, short
from analytics.charts.series import Moment, Series, check
from analytics.charts.svg import element, frame, key, percent, together, tooltip


def lines(title: str, moments: Sequence[Moment], series: Sequence[Series]) -> Markup:
    """A curve of counts for each series; a moment without a value interrupts it. Raises ValueError
    (``series.check``)."""
    return _linear(title, moments, series, counts, short, lambda value: f"{value:,.0f}")


def amount_lines(title: str, moments: Sequence[Moment], series: Sequence[Series]) -> Markup:
    """The same of amounts, which need not be whole; none is negative."""
    return _linear(title, moments, series, amounts, amount, exact)


def duration_lines(title: str, moments: Sequence[Moment], series: Sequence[Series]) -> Markup:
    """The same of seconds, on a logarithmic scale."""
    check(moments, series)
    values = _values(series)
    marks = durations(min(values, default=1), max(values, default=1))
    least, most = marks[0], marks[-1]
    ticks = [(on_log(mark, least, most), lasting(mark)) for mark in marks]
    return _chart(title, moments, series, ticks, lambda value: on_log(value, least, most), lasting)


def _linear(
    title: str,
    moments: Sequence[Moment],
    series: Sequence[Series],
    marks_to: Callable[[float], Sequence[float]],
    name: Callable[[float], str],
    say: Callable[[float], str],
) -> Markup:
    check(moments, series)
    marks = marks_to(max(_values(series), default=0))
    top = marks[-1]
    ticks = [(mark / top, name(mark)) for mark in marks]
    return _chart(title, moments, series, ticks, lambda value: value / top, say)


def _values(series: Sequence[Series]) -> list[float]:
    return [value for one in series for value in one.values if value is not None]


def _chart(
    title: str,
    moments: Sequence[Moment],
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str]],
    place: Callable[[float], float],
    say: Callable[[float], str],
) -> Markup:
    count = len(moments)
    curves = []
    for one in series:
        for run in _runs([None if value is None else place(value) for value in one.values]):
            points = [f"{1000 * (i + 0.5) / count:.1f} {1000 * (1 - share):.1f}" for i, share in run]
            # A curve of one point is a dot: a line of no length with round ends.
            drawn = f"M{'L'.join(points)}" if len(points) > 1 else f"M{points[0]}h0"
            curves.append(element("path", class_=f"{'line' if len(points) > 1 else 'line dot'} {key(one)}", d=drawn))
    # Its own coordinates stretch with the page; the strokes do not (style.css).
    plot = element(
        "svg", together(curves), viewBox="0 0 1000 1000", preserveAspectRatio="none", width="100%", height="100%"
    )
    tips = together(
        element(
            "rect",
            tooltip(moment, series, i, say),
            class_="tip",
            x=percent(i / count),
            width=percent(1 / count),
            y="0",
            height="100%",
        )
        for i, moment in enumerate(moments)
    )
    return frame(title, moments, ticks, plot + tips)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The values between gaps, with their places."""
    runs: list[list[tuple[int, float]]] = []
    is_open = False
    for i, value in enumerate(values):
        if value is None:
            is_open = False
            continue
        if not is_open:
            runs.append([])
        runs[-1].append((i, value))
        is_open = True
    return runs
