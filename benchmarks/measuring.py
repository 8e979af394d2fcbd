"""The commands of the measuring scenarios, and ``compare``. Each option is a field of the scenario's options."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console

from benchmarks import compare as comparison
from benchmarks import records, report
from benchmarks.load import NotAccepted
from benchmarks.postfix import PostfixDidNotStart
from benchmarks.postray import PostrayDidNotStart
from benchmarks.runner import Missing, Repeats, Scenario, run
from benchmarks.scenarios import (
    accept,
    attacks,
    backlog,
    beside_webhook,
    blast,
    console,
    days,
    deliver,
    everything_on,
    growth,
    images,
    latency,
    nodes,
    outage,
    peers,
    reads,
    rtt,
    sink_alone,
    skew,
    stages,
    statistics,
    submission,
    templates,
    tracking,
    watched,
    webhooks,
)
from benchmarks.tuning import options

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

Make = Callable[[Any], Scenario]

SCENARIOS: Mapping[str, tuple[type[Struct], Make]] = {
    "sink": (sink_alone.Options, sink_alone.SinkAlone),
    "accept": (accept.Options, accept.Accept),
    "deliver": (deliver.DeliverOptions, deliver.Deliver),
    blast.END_TO_END.name: (blast.Options, lambda told: blast.Blast(blast.END_TO_END, told)),
    "latency": (latency.Options, latency.Latency),
    "rtt": (rtt.Options, rtt.Rtt),
    blast.FAR.name: (blast.FarOptions, lambda told: blast.Blast(blast.FAR, told)),
    "skew": (skew.SkewOptions, skew.Skew),
    blast.LARGE.name: (blast.LargeOptions, lambda told: blast.Blast(blast.LARGE, told)),
    blast.ATTACHMENTS.name: (blast.AttachmentsOptions, lambda told: blast.Blast(blast.ATTACHMENTS, told)),
    blast.MULTI_RECIPIENT.name: (blast.MultiRecipientOptions, lambda told: blast.Blast(blast.MULTI_RECIPIENT, told)),
    "templates": (templates.TemplatesOptions, templates.Templates),
    "beside-webhook": (beside_webhook.BesideWebhookOptions, beside_webhook.BesideWebhook),
    "everything-on": (everything_on.EverythingOnOptions, everything_on.EverythingOn),
    "stages": (stages.Options, stages.Stages),
    "reads": (reads.Options, reads.Reads),
    "statistics": (statistics.Options, statistics.StatisticsQueries),
    "images": (images.Options, images.Images),
    "tracking": (tracking.Options, tracking.Tracking),
    "webhooks": (webhooks.Options, webhooks.Webhooks),
    "watched": (watched.WatchedOptions, watched.Watched),
    "console": (console.ConsoleOptions, console.ConsolePages),
    "growth": (growth.GrowthOptions, growth.Growth),
    "backlog": (backlog.BacklogOptions, backlog.Backlog),
    "outage": (outage.Options, outage.Outage),
    "days": (days.Options, days.Days),
    "nodes": (nodes.Options, nodes.Nodes),
    "peers": (peers.Options, peers.Peers),
    "submission": (submission.Options, submission.Submission),
    "attacks": (attacks.Options, attacks.Attacks),
}


class Skipped(click.ClickException):
    """A scenario that cannot be measured on this machine, through no fault of postray."""


def measured(scenario: Scenario, repeats: Repeats, console: Console) -> records.Record:
    """Run a scenario and print the result. Raises ClickException when it could not be run, and its subclass Skipped
    when something is missing on this machine."""
    try:
        record = uvloop.run(run(scenario, repeats, console))
    except asyncio.CancelledError:
        console.print("interrupted; everything that was started has ended")
        sys.exit(130)
    except Missing as missing:
        raise Skipped(f"{scenario.name} is skipped: {missing}") from missing
    except PostfixDidNotStart as error:
        raise click.ClickException(f"Postfix did not start: {error}") from error
    except PostrayDidNotStart as error:
        raise click.ClickException(f"postray did not start: {error}") from error
    except NotAccepted as refused:
        raise click.ClickException(f"the load was refused: {refused}") from refused
    except deliver.FillingTooSlow as slow:
        raise click.ClickException(f"the journal could not be filled within {slow.lead_s:.0f} s") from slow
    report.show(console, record)
    return record


def command(name: str) -> click.Command:
    """The command of a scenario."""
    kind, make = SCENARIOS[name]

    @options(kind)
    @options(Repeats)
    @click.option("--json", "json_path", type=FILE, help="Write the record there, its samples beside it.")
    @click.option("--plots", type=FOLDER, help="Draw PNG files into this folder.")
    def measure(json_path: Path | None, plots: Path | None, **told: Any) -> None:
        repeats = msgspec.convert({field: told.pop(field) for field in Repeats.__struct_fields__}, Repeats)
        scenario = make(msgspec.convert(told, kind))
        record = measured(scenario, repeats, report.console())
        if json_path is not None:
            records.write(record, json_path)
        if plots is not None:
            draw(record, plots)
        sys.exit(bool(record.broken))

    return click.command(name, help=f"{make(kind()).title}. {' '.join(make(kind()).notes)}")(measure)


def draw(record: records.Record, folder: Path) -> None:
    from benchmarks.plots import draw_all  # the drawing library is loaded only when needed

    draw_all(record, folder)


RECORD = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("compare")
@click.argument("before", type=RECORD)
@click.argument("after", type=RECORD)
def compare(before: Path, after: Path) -> None:
    """What changed between two records of a scenario, and whether by more than the noise. Exit 1 when anything got
    worse."""
    one, other = _read(before), _read(after)
    if one.scenario != other.scenario:
        raise click.ClickException(f"{one.scenario} and {other.scenario} cannot be compared")
    compared = comparison.compare(one, other)
    comparison.show(report.console(), one, other, compared)
    sys.exit(any(found.change is comparison.FigureChange.WORSE for found in compared))


@click.command("plot")
@click.argument("paths", nargs=-1, required=True, type=RECORD)
@click.option("--into", "folder", type=FOLDER, default=Path("."), help="The folder for the PNG files.")
def plot(paths: tuple[Path, ...], folder: Path) -> None:
    """Draw records (--json). Without its samples, only the CPU of a record is drawn."""
    for path in paths:
        if not records.samples_path(path).exists():
            click.echo(f"{path}: no samples beside it ({records.samples_path(path).name}): only the CPU is drawn")
        draw(_read(path), folder)


@click.command("table")
@click.argument("paths", nargs=-1, required=True, type=RECORD)
def table(paths: tuple[Path, ...]) -> None:
    """The figures of records (--json) as a table in Markdown."""
    click.echo(report.markdown(map(_read, paths)))


def _read(path: Path) -> records.Record:
    try:
        return records.read(path)
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{path} is no record of a measurement: {error}") from error
