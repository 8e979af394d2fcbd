"""How it went, as curves: a site, or the whole, from the samples of the flight recorder. Pure."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from markupsafe import Markup
from msgspec import Struct

from analytics.charts.lines import duration_lines, lines
from analytics.charts.series import Moment, Series, Tone
from analytics.charts.svg import legend
from analytics.history import History, SitePoint, WholePoint
from cluster.policy.limits.binding import Bound

P = TypeVar("P", SitePoint, WholePoint)
BINDS_SHOWN = 8


class Curve(Struct, frozen=True, kw_only=True):
    """A chart with its title and the names of its colours."""

    title: str
    legend: Markup
    chart: Markup


def whole_curves(history: History) -> list[Curve]:
    """The whole; none while there is no sample."""
    if not history.whole:
        return []
    moments, points = _steps(history, history.whole)
    return [
        _lines(
            "Taken and accepted, a second",
            moments,
            points,
            ("taken from clients", Tone.BLUE, lambda point: point.taken_per_s),
            ("accepted by hosts", Tone.GREEN, lambda point: point.accepted_per_s),
            ("deferred", Tone.AMBER, lambda point: point.deferred_per_s),
            ("bounced", Tone.RED, lambda point: point.bounced_per_s),
        ),
        _lines(
            "Longest wait of due mail in the journal",
            moments,
            points,
            ("longest wait", Tone.VIOLET, lambda point: max(point.overdue_s, 0.1)),
            is_duration=True,
        ),
    ]


def site_curves(history: History) -> list[Curve]:
    """A site; none while there is no sample of it."""
    if not history.sites:
        return []
    moments, points = _steps(history, history.sites)
    return [
        _lines(
            "What hosts answered, a second",
            moments,
            points,
            ("accepted", Tone.GREEN, lambda point: point.accepted_per_s),
            ("deferred", Tone.AMBER, lambda point: point.deferred_per_s),
            ("bounced", Tone.RED, lambda point: point.bounced_per_s),
        ),
        _lines(
            "What waited, and what was being sent",
            moments,
            points,
            ("waiting", Tone.AMBER, lambda point: point.queued + point.parked),
            ("being sent", Tone.BLUE, lambda point: point.in_flight),
            ("connections", Tone.GREY, lambda point: point.connections),
        ),
    ]


def what_bound(history: History) -> list[tuple[str, str]]:
    """What held a site back, and in which part of the samples, the longest first."""
    samples = sum(point.samples for point in history.sites)
    parts: dict[str, float] = {}
    for point in history.sites:
        for name, part in point.binds.items():
            parts[name] = parts.get(name, 0.0) + part * point.samples
    longest = sorted(parts.items(), key=lambda one: -one[1])[:BINDS_SHOWN]
    return [(Bound.read(name).words or name, f"{part / samples:.0%}") for name, part in longest if samples]


def _steps(history: History, points: Sequence[P]) -> tuple[list[Moment], list[P | None]]:
    """All steps of the time that was asked for; None where there is no sample."""
    by_time = {point.at: point for point in points}
    step = timedelta(seconds=history.step_s)
    count = max(1, -(-int((history.until - history.since).total_seconds()) // history.step_s))
    times = [history.since + step * i for i in range(count)]
    return [_moment(at) for at in times], [by_time.get(at) for at in times]


def _moment(at: datetime) -> Moment:
    at = at.astimezone(UTC)
    return Moment(f"{at:%H:%M}", f"{at:%Y-%m-%d %H:%M:%S} UTC")


def _lines(
    title: str,
    moments: Sequence[Moment],
    points: Sequence[P | None],
    *curves: tuple[str, Tone, Callable[[P], float]],
    is_duration: bool = False,
) -> Curve:
    series = [
        Series(name=name, tone=tone, values=[None if point is None else value(point) for point in points])
        for name, tone, value in curves
    ]
    draw = duration_lines if is_duration else lines
    return Curve(title=title, legend=legend(series), chart=draw(title, moments, series))
