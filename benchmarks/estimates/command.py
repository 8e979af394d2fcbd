"""``python -m benchmarks estimates``."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import report as console_of
from benchmarks.estimates.record import TARGET, EstimatesRecord
from benchmarks.estimates.scenario import EstimatesOptions, run
from benchmarks.postray import PostrayDidNotStart

QUICK = EstimatesOptions(size=0.4, longest=70.0)


@click.command()
@click.option("--quick", is_flag=True, help="Less mail: about a minute and a half.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the record there.")
def estimates(quick: bool, json_path: Path | None) -> None:
    """Send batches in varied circumstances, and compare what was told of their ends with their ends.

    Exit 1 when fewer than 9 of 10 ranges had the end in them, or something was told of which nothing can be said.
    """
    console = console_of.console()
    try:
        record = uvloop.run(run(QUICK if quick else EstimatesOptions(), console))
    except asyncio.CancelledError:
        console.print("interrupted; everything that was started has ended")
        sys.exit(130)
    except PostrayDidNotStart as error:
        raise click.ClickException(f"postray did not start: {error}") from error
    show(console, record)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    right, _, told = record.nulls_right.partition(" of ")
    sys.exit(0 if record.share >= TARGET and right == told else 1)


def show(console: Console, record: EstimatesRecord) -> None:
    """Print the result."""
    table = Table("batch", "messages", "ended after s", "within", box=None, pad_edge=False)
    for one in record.cases:
        ended = "" if one.ended_s is None else f"{one.ended_s:.0f}"
        table.add_row(one.case.name, str(one.case.count), ended, record.by_case[one.case.name])
    console.print(table)
    console.print(
        f"within: {record.within}; half of the ranges are narrower than {record.median_width:g} of the time left"
    )
    console.print(f"nothing said where nothing can be: {record.nulls_right}")
    for reason, count in record.nulls.items():
        console.print(f"not told {count} times: {reason}", markup=False, soft_wrap=True)
