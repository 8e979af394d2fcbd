"""Small charts of one line, for the terminal."""

from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"
NONE = " "


def sparkline(values: Sequence[float | None]) -> str:
    """A bar for each value, from 0 to the greatest of them; None leaves a gap."""
    most = max((value for value in values if value is not None), default=0.0)
    return "".join(NONE if value is None else _bar(value, most) for value in values)


def _bar(value: float, most: float) -> str:
    if value <= 0 or most <= 0:
        return BARS[0]
    return BARS[min(len(BARS) - 1, 1 + int(value / most * (len(BARS) - 1.001)))]


def squeezed(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most ``width`` values: of neighbours that become one, the greatest, so that no peak is lost."""
    if len(values) <= width:
        return list(values)
    edges = [number * len(values) // width for number in range(width + 1)]
    return [
        max((value for value in values[first:end] if value is not None), default=None) for first, end in pairwise(edges)
    ]
