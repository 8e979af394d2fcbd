"""Counting events by quarter of an hour, for statistics: which quarters are to be counted, and counting them.

The recorder calls ``note`` before each insert and ``step`` between inserts, in its thread. ``uncounted`` may be read
from any thread. The metrics are in ``metrics``; ``statistics`` reads the counts.

A quarter that an insert touches is noted on disk as dirty before the insert. It is counted as a whole once it is over
and nothing was added for a while; its rows count only once the quarter is noted as counted. So at any moment, also
after a crash between any two statements, a quarter is either dirty, and then its events are counted by each question,
or its tally is what counting its events would give.

A question may run while this goes on: it reads the rows that counted when it began. When the quarter is counted again,
ClickHouse may remove them, but that is ``SETTLED_S`` after the insert, and no question takes so long.

What is older than ClickHouse keeps events for is not counted again: its events are gone, or a part of them.

Of a quarter that is not over, slices of some seconds are counted in the same way (``slices``), so that a question
counts few events. Which of their rows count is known in memory alone.

A recipient's first open of a message is a unique one. An open that comes late, and lies before those that are stored,
makes their quarters and slices dirty too.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from itertools import count, takewhile
from typing import Any

from msgspec import Struct

from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.metrics import METRICS, NAMES, QUARTER, QUARTER_S, counts_sql, sums_sql, when_sql
from analytics.rows import COLUMNS, Table
from analytics.slices import RECENT_S, SLICE_S, Slices, start_of

log = logging.getLogger(__name__)

SETTLED_S = 60.0
"""A quarter is counted so long after its end, and after the last insert into it."""
STEP_S = 0.1
"""A step that took less makes the next one longer; one that took twice as long makes it shorter. Inserts and questions
wait for it."""
REST = 20.0
"""After a step there is none for so many times as long as it took, so that counting takes at most 5 % of a core."""
AFTER_FAILURE_S = 30.0
LONGEST_SPAN_S = 32 * 86_400
FIRST_VERSION = 1 << 63
"""Above all that former releases made, which were nanoseconds since the epoch of Unix."""
OF_A_LIFE = 1 << 42
"""Versions that a recorder's life may make: they begin with the milliseconds since the epoch of Unix."""
MOST_LIVES = FIRST_VERSION // OF_A_LIFE
_END = 1 << 32
"""What lies outside of ClickHouse's type DateTime is in no statistics."""

QUARTERS = Table(
    "quarters",
    {
        "quarter": "DateTime('UTC')",
        "version": "UInt64",
        "tally": "UInt64",
        "is_dirty": "Bool",
        "is_filled": "Bool",
    },
)
LOAD = """
SELECT toUnixTimestamp(quarter), argMax(tally, version), argMax(is_dirty, version), argMax(is_filled, version),
    max(version)
FROM quarters GROUP BY quarter
"""
FILL = """
INSERT INTO firsts (message_id, recipient_hash, event, tenant_id, first_at)
SELECT message_id, sipHash64(recipient) AS recipient_hash, event, tenant_id, min(at)
FROM events PREWHERE {when} WHERE event IN ('open', 'click')
GROUP BY message_id, recipient_hash, event, tenant_id
"""
TALLY = """
INSERT INTO tallies (tenant_id, kind, name, quarter, part, tally, {metrics})
SELECT tenant_id, name.1, name.2, quarter, {part}, {{tally:UInt64}}, {sums}
FROM ({counts})
GROUP BY tenant_id, name, quarter
"""
SLICE = f"toDateTime(intDiv(toUnixTimestamp(at), {SLICE_S}) * {SLICE_S}, 'UTC')"
TALLY_SLICES = """
INSERT INTO slices (tenant_id, kind, name, slice, tally, {metrics})
SELECT tenant_id, name.1, name.2, slice, {{tally:UInt64}}, {sums}
FROM ({counts})
GROUP BY tenant_id, name, slice
"""
OLD_SLICES = "SELECT DISTINCT toYYYYMMDD(slice) FROM slices WHERE slice < toDateTime({before:Int64}, 'UTC')"
DROP_SLICES = "ALTER TABLE slices DROP PARTITION {day:d}"
DAY_S = 86_400
LATER = """
SELECT DISTINCT toUnixTimestamp(first)
FROM
(
    SELECT min(first_at) AS first FROM firsts
    WHERE message_id IN splitByChar(',', {message_ids:String})
    GROUP BY message_id, recipient_hash, event, tenant_id
)
WHERE first >= fromUnixTimestamp64Milli({after:Int64})
"""

_OF_EACH_KIND = (f"arrayMap(name -> ('{kind}', name), {names})" for kind, names in NAMES.items())
ALL_NAMES = f"arrayConcat({', '.join(_OF_EACH_KIND)})"
"""The names of all kinds."""

Run = tuple[int, int]
"""Quarters without a gap: the first second, and the one after the last; seconds since the epoch."""


class Uncounted(Struct, frozen=True):
    """What ``tallies`` does not tell."""

    quarters: tuple[Run, ...] = ()
    """That are not counted, in order."""
    slices: tuple[tuple[int, int], ...] = ()
    """Of these: the beginning of each slice that is counted, in order, and its tally."""
    is_filled: bool = True
    """Whether ``firsts`` has all opens and clicks."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """Whose events must be counted, in order."""
        runs: list[Run] = []
        counted = deque(start for start, _ in self.slices)
        for start, end in self.quarters:
            while counted and counted[0] < end:
                if start < counted[0]:
                    runs.append((start, counted[0]))
                start = counted.popleft() + SLICE_S
            if start < end:
                runs.append((start, end))
        return tuple(runs)

    def within(self, start: int, end: int) -> "Uncounted":
        """What of it lies between two beginnings of quarters."""
        cut = ((max(start, first), min(end, last)) for first, last in self.quarters)
        return Uncounted(
            tuple([(first, last) for first, last in cut if first < last]),
            tuple([(slice_, tally) for slice_, tally in self.slices if start <= slice_ < end]),
            self.is_filled,
        )


class Tallies:
    """The state of the quarters, as in the table ``quarters``, and the work on it. Methods raise
    ClickHouseUnavailable."""

    def __init__(
        self,
        client: ClickHouse,
        clock: Callable[[], float] = time.time,
        *,
        events_kept_s: float = math.inf,
        epoch: int = 0,
    ) -> None:
        """``clock``: seconds since the epoch. ``events_kept_s``: the age of events from which some may be gone.
        ``epoch``: that of the recorder's life (cluster/journal/fence.py). Its versions are above those of all older
        ones, so what one of these writes late has no effect. Reads the state."""
        self._client = client
        self._clock = clock
        self._events_kept_s = events_kept_s
        self._tallies: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._unfilled: set[int] = set()
        self._touched: dict[int, float] = {}
        """When there was an insert into a dirty quarter."""
        self._version = 0
        self._first_version = FIRST_VERSION + epoch % MOST_LIVES * OF_A_LIFE
        self._slices = Slices()
        self._slices_dropped_at = 0
        """Of which time the last slices were when old ones were dropped."""
        self._part: tuple[int, int, int] | None = None
        """The quarter that is being counted in parts, its tally, and where the next part begins."""
        self._span_s = QUARTER_S
        self._next_step = 0.0
        for quarter, tally, is_dirty, is_filled, version in client.rows(LOAD):
            self._tallies[quarter] = tally
            self._version = max(self._version, version)
            if is_dirty:
                self._dirty.add(quarter)
            if not is_filled:
                self._unfilled.add(quarter)
        self._latest = max(self._tallies, default=0)
        now = self._clock()
        for quarter in self._dirty:
            if quarter + QUARTER_S > now - RECENT_S:
                self._slices.touch(range(quarter, quarter + QUARTER_S, SLICE_S), now)
        self.uncounted = self._seen()
        if epoch and self._dirty:
            # In this life's version: an older one may be about to note them as counted.
            self._write({quarter: (self._tallies[quarter], True) for quarter in self._dirty})

    @property
    def is_due(self) -> bool:
        """Whether there may be something to count now."""
        return bool(self._dirty or self._unfilled) and self._clock() >= self._next_step

    def note(self, columns: Sequence[Sequence[Any]]) -> None:
        """Note that these columns of ``events`` are about to be inserted."""
        if not columns:
            return
        seconds = {at // 1000 for at in set(columns[_AT])}
        touched = {second for second in seconds if 0 <= second < _END}
        if touched and min(touched) < max(self._latest, self._slices.end):
            touched |= self._later(columns)
        quarters = {second // QUARTER_S * QUARTER_S for second in touched}
        now = self._clock()
        self._touched |= dict.fromkeys(quarters, now)
        if self._part is not None and self._part[0] in quarters:
            self._part = None
        was_counted = self._slices.touch(set(map(start_of, touched)), now)
        if new := quarters - self._dirty:
            self._write({quarter: (self._tallies.get(quarter, 0), True) for quarter in new})
        elif was_counted:
            self.uncounted = self._seen()

    def step(self) -> None:
        """Count something, for a moment."""
        began = self._clock()
        try:
            worked = self._work(began)
        except ClickHouseUnavailable:
            self._span_s = max(self._span_s // 4, 1)
            self._next_step = self._clock() + AFTER_FAILURE_S
            raise
        took = self._clock() - began
        self._next_step = began + took * REST if worked else began + SETTLED_S / 10
        if took > STEP_S * 2:
            self._span_s = max(self._span_s // 2, 1)
        elif worked and took < STEP_S:
            self._span_s = min(self._span_s * 2, LONGEST_SPAN_S)

    def count_some(self, longest_s: int) -> bool:
        """Count up to so many seconds of events that are due, at once; returns whether there were any."""
        self._span_s = longest_s
        return self._work(self._clock())

    def _work(self, now: float) -> bool:
        if self._unfilled:
            return self._fill()
        oldest = now - self._events_kept_s
        if gone := {quarter for quarter in self._dirty if quarter < oldest and self._tallies[quarter]}:
            if self._part is not None and self._part[0] in gone:
                self._part = None
            self._write({quarter: (self._tallies[quarter], False) for quarter in gone})
            return True
        due = self._due(now)
        if (slices := self._slices.due(now, max(self._span_s // SLICE_S, 1), due)) is not None:
            self._tally_slices(slices)
            return True
        return self._tally(due)

    def _later(self, columns: Sequence[Sequence[Any]]) -> set[int]:
        """The seconds whose unique opens and clicks are no longer the first after an insert of these columns."""
        engaged = [
            (message_id, at)
            for message_id, at, event in zip(columns[_MESSAGE_ID], columns[_AT], columns[_EVENT], strict=True)
            if event in ("open", "click")
        ]
        if not engaged:
            return set()
        message_ids = ",".join(dict.fromkeys(message_id for message_id, _ in engaged))
        found = self._client.rows(LATER, message_ids=message_ids, after=min(at for _, at in engaged))
        return {second for (second,) in found}

    def _fill(self) -> bool:
        run = _first_run(self._unfilled, self._span_s)
        self._client.command(FILL.format(when=when_sql([run])))
        of_run = range(run[0], run[1], QUARTER_S)
        self._unfilled.difference_update(of_run)
        try:
            self._write({quarter: (self._tallies[quarter], quarter in self._dirty) for quarter in of_run})
        except ClickHouseUnavailable:
            self._unfilled.update(of_run)
            raise
        return True

    def _due(self, now: float) -> set[int]:
        """The quarters that are to be counted now."""
        return {
            quarter
            for quarter in self._dirty
            if quarter + QUARTER_S + SETTLED_S <= now and self._touched.get(quarter, 0.0) + SETTLED_S <= now
        }

    def _tally(self, due: Set[int]) -> bool:
        if self._part is None and not due:
            return False
        if self._part is None and self._span_s >= QUARTER_S:
            last = max(due)  # the newest are asked for most
            back = takewhile(due.__contains__, count(last, -QUARTER_S))
            quarters = [quarter for quarter, _ in zip(back, range(self._span_s // QUARTER_S), strict=False)]
            tally = self._count((quarters[-1], last + QUARTER_S))
            self._write(dict.fromkeys(quarters, (tally, False)))
            return True
        quarter, tally, start = self._part or (max(due), self._new_version(), max(due))
        end = min(start + self._span_s, quarter + QUARTER_S)
        self._count((start, end), tally)
        if end < quarter + QUARTER_S:
            self._part = (quarter, tally, end)
        else:
            self._part = None
            self._write({quarter: (tally, False)})
        return True

    def _tally_slices(self, slices: range) -> None:
        tally = self._new_version()
        run = (slices.start, slices.stop)
        statement = TALLY_SLICES.format(
            metrics=", ".join(METRICS),
            sums=sums_sql(),
            counts=counts_sql({"tenant_id": "tenant_id", "slice": SLICE}, ALL_NAMES, when_sql([run])),
        )
        self._client.command(statement, tally=tally)
        self._slices.counted(slices, tally)
        self.uncounted = self._seen()
        if slices.start >= self._slices_dropped_at + DAY_S:
            for (day,) in self._client.rows(OLD_SLICES, before=slices.start - DAY_S):
                self._client.command(DROP_SLICES.format(day=day))
            self._slices_dropped_at = slices.start

    def _count(self, run: Run, tally: int | None = None) -> int:
        """Count the events of a run of quarters, or of a part of one. Returns the number of the tally."""
        tally = tally if tally is not None else self._new_version()
        statement = TALLY.format(
            metrics=", ".join(METRICS),
            part="quarter" if run[0] % QUARTER_S == 0 else f"toDateTime({run[0]}, 'UTC')",
            sums=sums_sql(),
            counts=counts_sql({"tenant_id": "tenant_id", "quarter": QUARTER}, ALL_NAMES, when_sql([run])),
        )
        self._client.command(statement, tally=tally)
        return tally

    def _write(self, changes: dict[int, tuple[int, bool]]) -> None:
        """Note the tally of each quarter, and whether it is dirty."""
        version = self._new_version()
        rows = [
            (quarter, version, tally, is_dirty, quarter not in self._unfilled)
            for quarter, (tally, is_dirty) in changes.items()
        ]
        self._client.insert([list(column) for column in zip(*rows, strict=True)], QUARTERS)
        self._latest = max(self._latest, *changes)
        for quarter, (tally, is_dirty) in changes.items():
            self._tallies[quarter] = tally
            if is_dirty:
                self._dirty.add(quarter)
            else:
                self._dirty.discard(quarter)
                self._touched.pop(quarter, None)
                self._slices.forget(quarter, quarter + QUARTER_S)
        self.uncounted = self._seen()

    def _new_version(self) -> int:
        """Greater than all before, also when the clock was set back, and than all of older lives."""
        self._version = max(self._version + 1, self._first_version + time.time_ns() // 1_000_000)
        return self._version

    def _seen(self) -> Uncounted:
        slices = tuple(sorted(self._slices.tallies.items()))
        return Uncounted(tuple(_runs(self._dirty)), slices, is_filled=not self._unfilled)


_AT, _EVENT, _MESSAGE_ID = (list(COLUMNS).index(name) for name in ("at", "event", "message_id"))


def _runs(quarters: set[int]) -> list[Run]:
    runs: list[Run] = []
    for quarter in sorted(quarters):
        if runs and runs[-1][1] == quarter:
            runs[-1] = (runs[-1][0], quarter + QUARTER_S)
        else:
            runs.append((quarter, quarter + QUARTER_S))
    return runs


def _first_run(quarters: set[int], longest_s: int) -> Run:
    """The earliest run, at most so long, and at least a quarter."""
    first, end = _runs(quarters)[0]
    return first, min(end, first + max(longest_s // QUARTER_S, 1) * QUARTER_S)
