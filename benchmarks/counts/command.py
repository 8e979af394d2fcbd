"""``python -m benchmarks counts``: the cost of a message in counts, with the bounds that the tests enforce."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import uvloop
from rich.table import Table
from rich.text import Text

from benchmarks import report
from benchmarks.blocking import cancel_once_on_signals
from benchmarks.counts.bounds import BROKEN, Bound, BoundVerdict, Judged, judge, read, tightened
from benchmarks.counts.telling import Counts

BOUNDS = Path(__file__).parents[2] / "tests/integration/counts/bounds.toml"
"""In a checkout; an installed package has none."""
FILE = click.Path(dir_okay=False, path_type=Path)
KNOWN = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--bounds", "path", type=KNOWN, help="TOML file of bounds; that of the checkout's test where it is.")
@click.option("--tighten", is_flag=True, help="Lower the bounds in that file to just above what is counted now.")
@click.option("--json", "json_path", type=FILE, help="Write the counts there.")
def counts(path: Path | None, tighten: bool, json_path: Path | None) -> None:
    """What a message costs in statements, round trips, bytes, flights and calls: the same on every machine.

    3,066 messages go from HTTP through the product's own parts, in one process and without Ray, over a real Postgres
    to a mail host that takes them. Exit 1 when a count breaks its bound: above it, or so far below that the bound must
    be tightened.
    """
    path = path or (BOUNDS if BOUNDS.exists() else None)
    text = path.read_text(encoding="utf-8") if path is not None else ""
    found = _counted()
    if json_path is not None:
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    if tighten and path is not None:
        text = tightened(text, found)
        path.write_text(text, encoding="utf-8")
    judged = judge(found, read(text))
    console = report.console()
    console.print(table(judged))
    if broken := [one for one in judged if one.verdict in BROKEN]:
        for one in broken:
            console.print(told(one), style="red", soft_wrap=True)
        console.print(f"{len(broken)} counts break their bounds: see {path}", soft_wrap=True)
    sys.exit(bool(broken))


def _counted() -> Counts:
    """Raises ClickException when counting fails."""
    # Imported here: it loads the whole product, which no other command of the harness needs.
    from benchmarks.counts.counting import Stuck, count

    async def until_asked() -> Counts:
        cancel_once_on_signals()
        return await count()

    try:
        return uvloop.run(until_asked())
    except Stuck as stuck:
        raise click.ClickException(f"nothing moves: {stuck}") from stuck
    except asyncio.CancelledError:
        report.console().print("interrupted; everything that was started has ended")
        sys.exit(130)


def table(judged: Sequence[Judged]) -> Table:
    found = Table("count", "value", "at least", "at most", "", box=None, pad_edge=False)
    for one in judged:
        value = "" if one.count is None else report.number(one.count)
        colour = "red" if one.verdict in BROKEN else "green"
        found.add_row(one.name, value, *_sides(one.bound), Text(one.verdict, colour))
    return found


def _sides(bound: Bound | None) -> Sequence[str]:
    return (report.number(bound.floor), report.number(bound.at_most)) if bound is not None else ("", "")


def told(judged: Judged) -> str:
    """A description of a count that breaks its bound."""
    assert judged.bound is not None
    if judged.verdict is BoundVerdict.GONE or judged.count is None:
        return f"{judged.name}: {judged.verdict} ({judged.bound.why})"
    sides = " to ".join(_sides(judged.bound))
    return f"{judged.name}: {report.number(judged.count)} is {judged.verdict}, {sides} ({judged.bound.why})"
