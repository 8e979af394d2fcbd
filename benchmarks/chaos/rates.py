"""How soon delivery is back to its rate after a change of nodes, by what the sink accepted and when. Pure.

The load is steady, so the rate is the mean of the storm. It is back with the first window of ``WINDOW_S``, from the
change on, in which at least ``BACK`` of that arrived. Time in which Postgres was away or the host refused or was slow
does not count, since then no actor could deliver anything.
"""

from bisect import bisect_left
from collections.abc import Sequence

from benchmarks.chaos.records import Change, Recovery, Span

WINDOW_S = 3.0
STEP_S = 0.25
BACK = 0.8
BACK_WITHIN_S = 15.0


def recoveries(
    changes: Sequence[Change], arrivals: Sequence[float], away: Sequence[Span], storm: Span
) -> list[Recovery]:
    """When it was back after each of the changes. ``arrivals``: when the sink accepted something; ``away``: when
    nothing could be delivered. All in seconds since the epoch."""
    times = sorted(arrivals)
    began, ended = storm
    away = _merged(away)
    usual = (bisect_left(times, ended) - bisect_left(times, began)) / max(_counting(began, ended, away), 1.0) * WINDOW_S
    ends = [*(later.at for later in changes[1:]), ended][: len(changes)]
    return [_recovery(change, until, times, usual, away, began) for change, until in zip(changes, ends, strict=True)]


def late(found: Sequence[Recovery]) -> list[str]:
    """The changes after which it was not back in time, though there was time enough before the next one."""
    return [
        f"{one.kind} at {one.at_s:.0f} s: delivery was back to its rate after {one.back_s:.1f} s"
        if one.back_s is not None
        else f"{one.kind} at {one.at_s:.0f} s: delivery was not back to its rate after {one.watched_s:.1f} s"
        for one in found
        if (one.watched_s if one.back_s is None else one.back_s) > BACK_WITHIN_S
    ]


def _recovery(
    change: Change, until: float, times: Sequence[float], usual: float, away: Sequence[Span], began: float
) -> Recovery:
    back = next((at for at in _steps(change.at, until) if _within(times, at) >= BACK * usual), None)
    return Recovery(
        kind=change.kind,
        at_s=round(change.at - began, 1),
        back_s=None if back is None else round(_counting(change.at, back, away), 1),
        watched_s=round(_counting(change.at, max(change.at, until - WINDOW_S), away), 1),
    )


def _steps(began: float, ended: float) -> list[float]:
    """The beginnings of all windows in a span."""
    return [began + i * STEP_S for i in range(max(0, int((ended - WINDOW_S - began) / STEP_S) + 1))]


def _within(times: Sequence[float], at: float) -> int:
    return bisect_left(times, at + WINDOW_S) - bisect_left(times, at)


def _counting(since: float, until: float, away: Sequence[Span]) -> float:
    """The seconds in between that count."""
    return until - since - sum(max(0.0, min(until, ended) - max(since, began)) for began, ended in away)


def _merged(spans: Sequence[Span]) -> list[Span]:
    """The same times in spans that do not overlap."""
    merged: list[Span] = []
    for began, ended in sorted(spans):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((began, ended))
    return merged
