"""Series, and the stretches of them that are not as usual. Pure: no mail, no time but places.

What is usual is taken from the series itself: what it was for a while before, or its median. Counts scatter by the root
of what is expected, so what is within a few roots of it is never a stretch.
"""

from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from statistics import median

Stretch = tuple[int, int]
"""The first and the last place of it."""

ROOTS = 4.0
"""So many roots from what is expected are no scatter: of a million places, some 60 are farther."""
FALLEN = 0.5
"""A series falls where it is below this part of what it was, …"""
BACK = 0.75
"""… and is back with this part."""
LEAST_FALL = 20.0
"""Where fewer are expected in a window, nothing can be said."""


def joined(marks: Sequence[bool], apart: int = 0) -> list[Stretch]:
    """The stretches of marked places; those with at most ``apart`` others between them are one."""
    found: list[Stretch] = []
    for place, mark in enumerate(marks):
        if not mark:
            continue
        if found and place - found[-1][1] - 1 <= apart:
            found[-1] = (found[-1][0], place)
        else:
            found.append((place, place))
    return found


def around(values: Sequence[float], width: int) -> list[float]:
    """The sums of windows of ``width`` places, with each place in the middle of its own."""
    before, sums = (width - 1) // 2, [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    last = len(values)
    return [sums[min(last, place - before + width)] - sums[max(0, place - before)] for place in range(last)]


def falls(values: Sequence[float], *, window: int, memory: int) -> list[Stretch]:
    """Where a series of counts fell. What it was is the median of the ``memory`` windows before, those of falls left
    out, of at least half as many. A fall that the series does not come back from ends with it."""
    found: list[Stretch] = []
    usual: list[float] = []
    expected = 0.0
    began: int | None = None
    for place in range(0, len(values) - window + 1):
        now = sum(values[place : place + window])
        if began is None:
            expected = median(usual[-memory:]) if len(usual) >= memory // 2 else 0.0
            if _is_fallen(now, expected):
                began = place
            else:
                usual.append(now)
        elif now >= BACK * expected:
            found.append(_without_edges(values, began, place - 1, expected / window))
            began = None
    if began is not None:
        found.append(_without_edges(values, began, len(values) - 1, expected / window))
    return found


def _is_fallen(now: float, expected: float) -> bool:
    return expected >= LEAST_FALL and now < FALLEN * expected and expected - now > ROOTS * sqrt(expected)


def _without_edges(values: Sequence[float], first: int, last: int, usual: float) -> Stretch:
    """Without the places at its beginning at which the series was still as usual: its first window was half of them."""
    while first < last and values[first] >= usual * BACK:
        first += 1
    return first, last


def bursts(
    counts: Sequence[int], of: Sequence[int], *, window: int, least: int, share: float, apart: int
) -> list[Stretch]:
    """Where ``counts``, which are a part of the counts ``of``, are more than usual: at least ``least`` and ``share`` of
    those in a window, and more than the scatter around the median. Where they are half of ``of`` or more, that is never
    usual."""
    found = around(counts, window)
    whole = around(of, window)
    usual = median(found) if found else 0.0
    marks = [
        count > 0
        and near >= least
        and near >= share * total
        and (near > usual + ROOTS * sqrt(usual) or near >= 0.5 * total)
        for count, near, total in zip(counts, found, whole, strict=True)
    ]
    return joined(marks, apart)


def rises(sums: Sequence[float], counts: Sequence[int], *, window: int, times: float, more: float) -> list[Stretch]:
    """Where what one costs, the mean of ``sums`` over ``counts`` in a window, is ``times`` its median and ``more``
    above it. Windows of fewer than three say nothing."""
    totals, numbers = around(sums, window), around(counts, window)
    means = [total / number if number >= 3 else None for total, number in zip(totals, numbers, strict=True)]
    known = [mean for mean in means if mean is not None]
    if not known:
        return []
    usual = median(known)
    marks = [
        mean is not None and mean > usual * times and mean > usual + more and count > 0
        for mean, count in zip(means, counts, strict=True)
    ]
    return joined(marks, window)


def averaged(values: Sequence[float], most: int) -> list[float]:
    """At most so many averages of neighbours."""
    return [sum(part) / len(part) for part in _parts(values, most)]


def summed(values: Sequence[float], most: int) -> list[float]:
    """At most so many sums of neighbours."""
    return [sum(part) for part in _parts(values, most)]


def _parts(values: Sequence[float], most: int) -> Iterator[Sequence[float]]:
    width = max(1, ceil(len(values) / most))
    return (values[first : first + width] for first in range(0, len(values), width))
