"""``python -m benchmarks SCENARIO``: each scenario a command."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from msgspec import structs
from rich.console import Console

from benchmarks.chaos import report, scenario
from benchmarks.chaos.faults import DEALT, OF_NODES
from benchmarks.counts.command import counts
from benchmarks.estimates.command import estimates
from benchmarks.everything import everything
from benchmarks.measuring import SCENARIOS, command, compare, plot, table
from benchmarks.postray import PostrayDidNotStart
from benchmarks.records import write_apart
from benchmarks.redis_server import is_installed
from benchmarks.simulate.command import simulate
from benchmarks.soak.command import soak
from cluster.commands.output import FiniteRange

LONGEST_S = 3600.0
MOST_RATE = 2000.0
MOST_NODES = 8
SECONDS = FiniteRange(5, LONGEST_S)
RATE = FiniteRange(1, MOST_RATE)
PATIENCE = FiniteRange(1, LONGEST_S)
FILE = click.Path(dir_okay=False, path_type=Path)
KEEP = click.option(
    "--keep", is_flag=True, help="Leave the scratch directory with its logs, also where every promise was kept."
)


@click.group()
def main() -> None:
    """Measure and try postray: real processes, on loopback, bounded in time."""


@main.command()
@click.option("--seconds", type=SECONDS, default=120, show_default=True, help="Of storm.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same schedule of faults.")
@click.option("--rate", type=RATE, default=100, show_default=True, help="Messages a second.")
@click.option(
    "--nodes",
    type=click.IntRange(0, MOST_NODES),
    default=0,
    help="A cluster of so many Ray nodes of this machine, which come and go as well.",
)
@click.option("--patience", type=PATIENCE, default=120, show_default=True, help="Seconds for coming to rest.")
@click.option(
    "--redis",
    "remembers",
    is_flag=True,
    help="The head has a redis-server: it goes away and comes back. Otherwise all ends with it once.",
)
@click.option(
    "--only", "kinds", type=click.Choice([kind.value for kind in DEALT]), multiple=True, help="Only these faults."
)
@click.option(
    "--without", type=click.Choice([kind.value for kind in DEALT]), multiple=True, help="All faults but these."
)
@click.option("--json", "json_path", type=FILE, help="Write the record there, its faults beside it.")
@click.option("--told", "told_page", type=FILE, help="Write there the page on which the flight recorder tells of it.")
@KEEP
def chaos(
    seconds: float,
    seed: int,
    rate: float,
    nodes: int,
    remembers: bool,
    patience: float,
    kinds: tuple[str, ...],
    without: tuple[str, ...],
    json_path: Path | None,
    told_page: Path | None,
    keep: bool,
) -> None:
    """Kill everything, again and again, under load; then prove that every promise was kept.

    Exit 1 when a message was lost, is stuck or was sent after its cancel, when journal, ClickHouse and sink disagree,
    or when there are more duplicates than replies that can have been lost. With --nodes also when delivery was not back
    to its rate within 15 s of a change.
    """
    if OF_NODES.intersection(kinds) and not nodes:
        raise click.UsageError("faults of nodes need --nodes")
    if remembers and not (nodes and is_installed()):
        raise click.UsageError("--redis needs --nodes, and redis-server")
    options = scenario.ChaosOptions(
        seed=seed,
        seconds=seconds,
        rate=rate,
        nodes=nodes,
        remembers=remembers,
        max_wait_s=patience,
        kinds=tuple(kind for kind in DEALT if kind in (kinds or DEALT) and kind not in without),
        told_page=told_page.absolute() if told_page is not None else None,
        keep=keep,
    )
    _run(options, json_path)


@main.command()
@click.option("--seconds", type=SECONDS, default=3600, show_default=True, help="Of mail, while nodes change.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same mail.")
@click.option("--rate", type=RATE, default=100, show_default=True, help="Messages a second.")
@click.option("--nodes", type=click.IntRange(2, MOST_NODES), default=3, show_default=True, help="Of the cluster.")
@click.option("--patience", type=PATIENCE, default=120, show_default=True, help="Seconds for coming to rest.")
@click.option("--json", "json_path", type=FILE, help="Write the record there, its changes beside it.")
@KEEP
def rolling(
    seconds: float, seed: int, rate: float, nodes: int, patience: float, json_path: Path | None, keep: bool
) -> None:
    """Change the release of a cluster node by node, there and back, while mail flows.

    The other release is a copy of this one with a field more in what actors tell each other and in what the journal
    keeps. Exit 1 as for chaos, and when 1 of 100 copies came more than 5 s after it was accepted or due.
    """
    options = scenario.ChaosOptions(
        seed=seed, seconds=seconds, rate=rate, nodes=nodes, max_wait_s=patience, is_rolling=True, keep=keep
    )
    _run(options, json_path)


def _run(options: scenario.ChaosOptions, json_path: Path | None) -> None:
    """Run, show and record it, and exit."""
    console = Console(highlight=False)
    try:
        record = asyncio.run(scenario.run(options, console))
    except asyncio.CancelledError:
        console.print("interrupted; everything that was started has ended")
        sys.exit(130)
    except PostrayDidNotStart as error:
        raise click.ClickException(f"postray did not start: {error}") from error
    report.show(console, record)
    if json_path is not None:
        bare = structs.replace(record, schedule=[], done=[])
        write_apart(bare, report.FaultRecords(schedule=record.schedule, done=record.done), json_path)
    sys.exit(bool(record.broken))


@main.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def chaos_table(records: tuple[Path, ...]) -> None:
    """The records of chaos runs (--json) as a table in Markdown."""
    decode = msgspec.json.Decoder(report.ChaosRecord).decode
    click.echo(report.table([decode(path.read_bytes()) for path in records]))


for _name in SCENARIOS:
    main.add_command(command(_name))
for _command in (everything, compare, plot, table, counts, soak, estimates, simulate):
    main.add_command(_command)

if __name__ == "__main__":
    main()
