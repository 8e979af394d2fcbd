"""Counting quarters of an hour that are not over yet, slice by slice, so that a question reads few events even while
thousands a second arrive. Pure: which slices are counted, and which are due. ``tallies`` counts them.

A slice is counted a moment after its end and after the last insert into it. Its tally holds until an insert touches it
again, or until its whole quarter is counted. All this is in memory: a process that starts knows of no slice, and counts
those of the last quarters again, under new numbers.
"""

from collections.abc import Iterable, Set
from itertools import count, takewhile

from analytics.metrics import QUARTER_S

SLICE_S = 10
"""A divisor of a quarter of an hour."""
AT_REST_S = 10.0
"""A slice is counted so long after its end, and after the last insert into it. No question takes longer (``MOST_S`` in
``statistics``): the rows that it reads are still there when the slice is counted again."""

RECENT_S = 3600
"""Older ones are not counted: their quarters will be, soon."""


class Slices:
    """The slices of the last quarters: by the second in which each begins, since the epoch."""

    def __init__(self) -> None:
        self._dirty: dict[int, float] = {}
        """When there was an insert into it."""
        self._tallies: dict[int, int] = {}

    @property
    def tallies(self) -> dict[int, int]:
        """The tally of each slice that is counted."""
        return self._tallies

    @property
    def end(self) -> int:
        """The end of the last slice that is counted; 0 where none is."""
        return max(self._tallies) + SLICE_S if self._tallies else 0

    def touch(self, starts: Iterable[int], now: float) -> bool:
        """There is an insert into these, of which only those of about now are counted; returns whether any of them was
        counted."""
        was_counted = False
        for start in starts:
            was_counted |= self._tallies.pop(start, None) is not None
            if now - RECENT_S <= start <= now:
                self._dirty[start] = now
        return was_counted

    def due(self, now: float, most: int, quarters: Set[int] = frozenset()) -> range | None:
        """The latest slices that are to be counted now, at most so many of one quarter, without a gap; none of
        ``quarters``, which are counted themselves."""
        at_rest = {start for start, touched in self._dirty.items() if _is_at_rest(start, touched, now)}
        due = {start for start in at_rest if start // QUARTER_S * QUARTER_S not in quarters}
        if not due:
            return None
        last = max(due)
        earliest = last // QUARTER_S * QUARTER_S
        back = takewhile(
            lambda start: start >= earliest and (start in due or self._is_empty(start)), count(last, -SLICE_S)
        )
        first = min(start for start, _ in zip(back, range(most), strict=False))
        return range(first, last + SLICE_S, SLICE_S)

    def _is_empty(self, start: int) -> bool:
        """There was no insert into it: it is counted with the next one, so that few runs are left between slices."""
        return start not in self._dirty and start not in self._tallies

    def counted(self, starts: Iterable[int], tally: int) -> None:
        """These are counted; there was no insert into them meanwhile."""
        for start in starts:
            self._dirty.pop(start, None)
            self._tallies[start] = tally

    def forget(self, quarter: int, end: int) -> None:
        """The slices from here to there do not matter any more."""
        for known in (self._dirty, self._tallies):
            for start in [start for start in known if quarter <= start < end]:
                del known[start]


def start_of(at_s: int) -> int:
    """Where the slice of a moment begins."""
    return at_s // SLICE_S * SLICE_S


def _is_at_rest(start: int, touched: float, now: float) -> bool:
    return start + SLICE_S + AT_REST_S <= now and touched + AT_REST_S <= now
