"""Axes: the marks of a scale, and numbers in short form."""

import math
import sys

_STEPS = (1, 2, 5, 10)
_DURATIONS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
"""Seconds that people know by name, about equally far apart on a logarithmic scale."""
_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def counts(most: float, about: int = 4) -> list[float]:
    """Marks from 0 to at least ``most``, whole numbers, the last being the end of the scale."""
    if most <= 1:
        return [0.0, 1.0]
    step = max(1.0, _step(most / about))
    return [step * i for i in range(math.ceil(most / step) + 1)]


def amounts(most: float, about: int = 4) -> list[float]:
    """Marks from 0 to at least ``most``, the last being the end of the scale; parts of one among them."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / about
    if not sys.float_info.min <= rough < sys.float_info.max / 100:  # steps of it would be 0, or infinite
        return [0.0, most]
    step = _step(rough, 1e-9)
    return [step * i for i in range(math.ceil(most / step * (1 - 1e-9)) + 1)]


def _step(rough: float, slack: float = 0.0) -> float:
    """The least of 1, 2 and 5 by a power of ten that is at least ``rough`` less this part of it."""
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(step * magnitude for step in _STEPS if step * magnitude >= rough * (1 - slack))


def durations(least: float, most: float) -> list[float]:
    """Marks of a logarithmic scale of seconds around both ends; at least two."""
    below = max((i for i, mark in enumerate(_DURATIONS) if mark <= least), default=0)
    above = next((i for i, mark in enumerate(_DURATIONS) if mark >= most), len(_DURATIONS) - 1)
    if above == below:
        below, above = (below - 1, above) if below else (below, above + 1)
    return list(_DURATIONS[below : above + 1])


def on_log(value: float, least: float, most: float) -> float:
    """Where a value is on a logarithmic scale, from 0 to 1."""
    value = min(max(value, least), most)
    return math.log(value / least) / math.log(most / least)


def short(value: float) -> str:
    """A count in few letters: 950, 1.2k, 35M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.3g}{unit}" if scaled < 1000 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def amount(value: float) -> str:
    """An amount in few letters: 0.025, 12.5, 950, 1.2k."""
    return f"{value:.3g}" if abs(value) < 1000 else short(value)


def exact(value: float) -> str:
    """An amount as it is told beside a chart: 1,234,567; 0.0254321."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"


def lasting(seconds: float) -> str:
    """A duration in its largest unit: 0.35 s, 12 s, 2.5 min, 3 h, 1.5 d."""
    for size, unit in _UNITS:
        if seconds >= size * 0.9995:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
