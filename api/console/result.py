"""What a query of an operator has answered, as a table and as charts. Pure.

A chart is drawn where the result has a column of times, or one of names, and columns of numbers: curves over the times,
or bars by name. A column of names between times and one of numbers makes a curve of each name.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
from markupsafe import Markup
from msgspec import Struct

from analytics.charts.horizontal import MOST_ROWS, Part, Row, horizontal_bars
from analytics.charts.lines import amount_lines
from analytics.charts.scale import exact
from analytics.charts.series import MOST_POINTS, Moment, Series, Tone
from analytics.charts.svg import legend
from analytics.door.asked import HEAD_LINES
from api.console.history import Curve
from api.console.tables import Cell, Table
from api.console.words import number

MOST_CURVES = 6
MOST_CHARTS = 4
"""Of bars: one for each column of numbers."""
SHOWN_ROWS, SHOWN_COLUMNS = 200, 30
LONGEST_CELL = 300
"""Characters of a value that are shown; the CSV has all."""

_NUMBER = re.compile(r"(?:U?Int\d+|Float\d+|BFloat16|Decimal(?:\d+)?(?:\(.*\))?)")
_TIME = re.compile(r"(?:Date(?:32)?|DateTime(?:64)?(?:\(.*\))?)")
_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)", re.DOTALL)
_NULL = "ᴺᵁᴸᴸ"
"""As ClickHouse writes it in place of a value."""
_TONES = (Tone.BLUE, Tone.AMBER, Tone.GREEN, Tone.RED, Tone.VIOLET, Tone.GREY)

SEVERAL = "a time is in several rows: group by it, with at most one column of names beside it"

Values = Sequence[str | None]


class Column(Struct, frozen=True):
    """A column; ``type`` as ClickHouse names it, without what may be NULL."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        return _NUMBER.fullmatch(self.type) is not None

    @property
    def is_time(self) -> bool:
        return _TIME.fullmatch(self.type) is not None


class NotRead(Exception):
    """An answer that is not of the form ``asked.ROWS``; says what it has instead."""


class Result(Struct, frozen=True):
    """Columns, and the values of each row as texts; None is NULL. ``totals``: a row of WITH TOTALS, which no chart
    has."""

    columns: Sequence[Column]
    rows: Sequence[Values]
    totals: Sequence[Values] = ()


class Charts(Struct, frozen=True):
    """Charts, and why there are no others; "" where all is drawn."""

    curves: Sequence[Curve] = ()
    missing: str = ""


def result_of(data: bytes) -> Result:
    """Reads ``asked.ROWS``. Bytes that are no text are replaced. Raises NotRead."""
    lines = data.decode(errors="replace").removesuffix("\n").split("\n")
    told: list[list[str]] = []
    for line in filter(None, lines):
        try:
            told.append(msgspec.json.decode(line, type=list[str]))
        except msgspec.DecodeError:
            raise NotRead(line) from None
        if len(told[-1]) != len(told[0]):
            raise NotRead(line)
    if len(told) < HEAD_LINES:  # as much as was wanted ended before them
        return Result([], [])
    names, types, *rows = told
    may_be_null = [kind.startswith(("Nullable(", "LowCardinality(Nullable(")) for kind in types]
    values = [
        [None if is_null and value == _NULL else value for value, is_null in zip(row, may_be_null, strict=True)]
        for row in rows
    ]
    # Totals, which not every version of ClickHouse writes in this form, come behind an empty line.
    count = lines.index("") - HEAD_LINES if "" in lines[HEAD_LINES:] else len(values)
    columns = [Column(name, _plain(kind)) for name, kind in zip(names, types, strict=True)]
    return Result(columns, values[:count], values[count:])


def _plain(kind: str) -> str:
    while (inside := _WRAPPED.fullmatch(kind)) is not None:
        kind = inside[1]
    return kind


def table_of(result: Result, *, is_whole: bool) -> Table:
    """The first rows and columns."""
    shown = result.columns[:SHOWN_COLUMNS]
    rows = result.rows[:SHOWN_ROWS]
    title = f"{number(len(result.rows))} row{'' if len(result.rows) == 1 else 's'}"
    if not is_whole:
        title = f"The first {number(len(rows))} rows"
    elif len(rows) < len(result.rows):
        title += f", the first {number(len(rows))} of them"
    if len(shown) < len(result.columns):
        title += f"; {len(shown)} of {len(result.columns)} columns"
    if result.totals:
        title += "; the last row is the totals"
    return Table(
        title=title,
        columns=[_cut(column.name) for column in shown],
        rows=[
            [Cell("NULL" if value is None else _cut(value)) for value in row[:SHOWN_COLUMNS]]
            for row in (*rows, *result.totals)
            if shown
        ],
        none="The result has no rows." if is_whole else "The first row is too long to be shown.",
    )


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_CELL else f"{value[:LONGEST_CELL]}…"


def charts_of(result: Result) -> Charts:
    """The charts of a result."""
    numbers = [i for i, column in enumerate(result.columns) if column.is_number]
    times = [i for i, column in enumerate(result.columns) if column.is_time]
    names = [i for i, column in enumerate(result.columns) if not column.is_number and not column.is_time]
    if len(result.rows) < 2 or not numbers or not (times or names):
        return Charts()
    values = {i: [_amount(row[i]) for row in result.rows] for i in numbers}
    drawable = [i for i in numbers if all(one is None or one >= 0 for one in values[i])]
    negative = f"{', '.join(result.columns[i].name for i in numbers if i not in drawable)}: below 0, which is not drawn"
    left_out = "" if len(drawable) == len(numbers) else negative
    if not drawable:
        return Charts(missing=left_out)
    if times:
        over_time = _over_time(result, times[0], names, {i: values[i] for i in drawable})
        return Charts(over_time.curves, "; ".join(filter(None, (over_time.missing, left_out))))
    more = "" if len(result.rows) <= MOST_ROWS else f"the charts have the first {MOST_ROWS} rows"
    curves = [_bars(result, names[0], i, values[i]) for i in drawable[:MOST_CHARTS]]
    return Charts(curves, "; ".join(filter(None, (more, left_out))))


def _amount(value: str | None) -> float | None:
    try:
        found = math.nan if value is None else float(value)
    except ValueError:  # a setting of the query has it written otherwise
        return None
    return found if math.isfinite(found) else None


def _bars(result: Result, name: int, column: int, values: Sequence[float | None]) -> Curve:
    rows = [
        Row(name=_named(row[name]), parts=[Part(Tone.BLUE, value or 0)], said="none" if value is None else exact(value))
        for row, value in zip(result.rows[:MOST_ROWS], values, strict=False)
    ]
    title = _cut(result.columns[column].name)
    return Curve(title=title, legend=Markup(), chart=horizontal_bars(title, rows))


def _named(value: str | None) -> str:
    return "NULL" if value is None else value or "(empty)"


def _over_time(result: Result, time: int, names: Sequence[int], values: Mapping[int, Sequence[float | None]]) -> Charts:
    at = [_time(row[time]) for row in result.rows]
    moments = _steps(sorted({one for one in at if one is not None}))
    if len(moments) > MOST_POINTS:
        return Charts(missing=f"more than {MOST_POINTS} times are not drawn: group by longer steps of time")
    if len(moments) < 2:
        return Charts()
    by_name = len(names) == 1 and len(values) == 1
    column = next(iter(values))
    found: list[tuple[str, dict[datetime, float | None]]] = []
    if by_name:
        points: dict[str, dict[datetime, float | None]] = {}
        for row, moment, value in zip(result.rows, at, values[column], strict=True):
            if moment is not None:
                of_name = points.setdefault(_named(row[names[0]]), {})
                if moment in of_name:
                    return Charts(missing=SEVERAL)
                of_name[moment] = value
        largest = sorted(points, key=lambda name: -sum(value or 0.0 for value in points[name].values()))
        found = [(name, points[name]) for name in largest[:MOST_CURVES]]
        title, count = result.columns[column].name, len(points)
    else:
        known = [one for one in at if one is not None]
        if len(set(known)) < len(known):
            return Charts(missing=SEVERAL)
        for i in list(values)[:MOST_CURVES]:
            drawn = {moment: value for moment, value in zip(at, values[i], strict=True) if moment is not None}
            found.append((result.columns[i].name, drawn))
        title, count = ", ".join(name for name, _ in found), len(values)
    series = [
        Series(name=_cut(name), tone=tone, values=[drawn.get(moment) for moment in moments])
        for (name, drawn), tone in zip(found, _TONES, strict=False)
    ]
    chart = amount_lines(_cut(title), [_moment(moment, moments) for moment in moments], series)
    kind = "largest" if by_name else "first"
    missing = f"{len(found)} curves of {count} are drawn, the {kind}" if len(found) < count else ""
    return Charts([Curve(title=_cut(title), legend=legend(series), chart=chart)], missing)


def _time(value: str | None) -> datetime | None:
    """Times as they are told, whatever their zone."""
    try:
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)
    except ValueError:  # a setting of the query has it written otherwise
        return None


def _steps(times: Sequence[datetime]) -> list[datetime]:
    """The times, with those between them that have no row, where they are the same step apart."""
    if len(times) < 3:
        return list(times)
    step = min(later - earlier for earlier, later in pairwise(times))
    count = (times[-1] - times[0]) // step + 1
    if count > MOST_POINTS or any((one - times[0]) % step for one in times):
        return list(times)
    return [times[0] + step * i for i in range(count)]


def _moment(at: datetime, all_: Sequence[datetime]) -> Moment:
    span = all_[-1] - all_[0]
    if all(one.time() == datetime.min.time() for one in all_):
        short = f"{at:%m-%d}" if span < timedelta(days=365) else f"{at:%Y-%m-%d}"
    else:
        short = f"{at:%H:%M}" if span < timedelta(days=1) else f"{at:%m-%d %H:%M}"
    return Moment(short, f"{at:%Y-%m-%d %H:%M:%S}")
