"""From moments to figures: percentiles, and throughput over time. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.records import Sample

BIN_S = 0.5
KEPT = 2000


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least ``part`` of all do not exceed (nearest rank). Raises ValueError for no
    values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-len(ordered) * part // 1) - 1))]


def throughput(moments: Iterable[float], began: float) -> tuple[Sample, ...]:
    """Events a second in bins, from ``began``. The last bin is left out, as it is incomplete."""
    bins = Counter(int((moment - began) / BIN_S) for moment in moments if moment >= began)
    last = max(bins, default=0)
    return tuple(Sample(round(i * BIN_S, 2), bins[i] / BIN_S) for i in range(last))


def thinned(values: Sequence[float]) -> tuple[float, ...]:
    """Sorted, and evenly thinned to ``KEPT`` values; the smallest and the largest remain."""
    ordered = sorted(values)
    if len(ordered) <= KEPT:
        return tuple(round(value, 3) for value in ordered)
    step = (len(ordered) - 1) / (KEPT - 1)
    return tuple(round(ordered[round(i * step)], 3) for i in range(KEPT))
