"""``python -m benchmarks soak``: whether any process grows under a steady load."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop
from msgspec import structs

from benchmarks import report as console_of
from benchmarks.load import NotAccepted
from benchmarks.postray import PostrayDidNotStart
from benchmarks.records import write_apart
from benchmarks.soak import report
from benchmarks.soak.record import Looks
from benchmarks.soak.scenario import SoakOptions, run
from benchmarks.tuning import options

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@options(SoakOptions)
@click.option("--json", "json_path", type=FILE, help="Write the record there, its looks beside it.")
@click.option("--plots", type=FOLDER, help="Draw PNG files into this folder.")
def soak(json_path: Path | None, plots: Path | None, **told: Any) -> None:
    """Send single messages at a steady rate, and see whether any process grows.

    Each process is looked at every ten seconds. Exit 1 when one holds, at the end, more than 1.1 times the memory of
    its own or the descriptors that it held in its tenth minute (of a run under twenty, in the middle), or when a
    message was lost or came twice.
    """
    console = console_of.console()
    try:
        record = uvloop.run(run(msgspec.convert(told, SoakOptions), console))
    except asyncio.CancelledError:
        console.print("interrupted; everything that was started has ended")
        sys.exit(130)
    except PostrayDidNotStart as error:
        raise click.ClickException(f"postray did not start: {error}") from error
    except NotAccepted as refused:
        raise click.ClickException(f"the load was refused: {refused}") from refused
    report.show(console, record)
    if json_path is not None:
        write_apart(structs.replace(record, looks=()), Looks(looks=record.looks), json_path)
    if plots is not None:
        report.draw(record, plots)
    sys.exit(bool(record.broken))
