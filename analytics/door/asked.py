"""SQL that an operator asks in the console: the question goes to the recorder, which has the door. The answer has a
bounded length."""

from typing import Literal

from cluster.policy.forms import Form

Shape = Literal["rows", "csv"]
ROWS = "JSONCompactStringsEachRowWithNamesAndTypes"
"""A line with the names of the columns, one with their types, and one for each row: all values as texts."""
FORMATS: dict[Shape, str] = {"rows": ROWS, "csv": "CSVWithNames"}
HEAD_LINES = 2
"""Of ``ROWS``."""
WRITTEN: dict[Shape, dict[str, str]] = {
    "rows": {"date_time_output_format": "simple", "output_format_pretty_grid_charset": "UTF-8"},
    "csv": {},
}
"""Settings in place of those of a query: how times and NULL are written, where a page reads them."""


class SqlWanted(Form, frozen=True, kw_only=True):
    """A query, and how much of its answer is wanted. ``most_rows`` is for the shape ``rows``."""

    query: str
    shape: Shape
    most_bytes: int
    most_rows: int = 0


class SqlAnswer(Form, frozen=True, kw_only=True):
    """As much of an answer as was wanted: of ``rows`` whole lines, of ``csv`` all or nothing."""

    data: bytes
    is_whole: bool
    took_s: float
    read_rows: int = 0
    """Rows of tables; 0 where it is not known."""
