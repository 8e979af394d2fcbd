"""The page of a report: one file that needs nothing else, no script, and no host."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from analytics import charts
from analytics.report.periods import Range
from analytics.report.sections import Section
from cluster.printable import printable

OPEN_ROWS = 12
"""A table of more rows is folded."""


def page(range: Range, title: str, tiles: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The HTML. ``title``: whose mail it is about, or what. Without sections it says that there is nothing."""
    return _template().render(
        since=_time(range.since), until=_time(range.until), title=title, tiles=tiles, sections=sections
    )


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    style = Path(charts.__file__).with_name("style.css").read_text(encoding="ascii")
    environment.globals |= {"chart_style": Markup(style), "open_rows": OPEN_ROWS}
    return environment.get_template("page.html")


def _visible(value: Any) -> Any:
    """Texts without control characters and characters that turn the direction of a line."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
