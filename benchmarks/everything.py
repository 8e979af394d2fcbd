"""``python -m benchmarks all``: every measuring scenario in turn, and the table of targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from benchmarks import records, report
from benchmarks.machine import YARDSTICK_US, signature_us
from benchmarks.measuring import FOLDER, SCENARIOS, Skipped, draw, measured
from benchmarks.records import Record
from benchmarks.runner import Repeats

QUICK: Mapping[str, Mapping[str, Any]] = {
    "sink": {"seconds": 2.0},
    "accept": {"seconds": 3.0},
    "latency": {"seconds": 5.0},
    "rtt": {"delay_ms": (50.0,), "seconds": 1.0},
    "attachments": {"per_request": 100},
    "backlog": {"messages": 100_000, "seconds": 5.0},
    "outage": {"messages": 20_000, "seconds": 20.0},
    "days": {"messages": 50_000, "seconds": 5.0},
    "attacks": {"seconds": 3.0},
    "nodes": {"most_nodes": 2, "rest_s": 3.0, "seconds": 8},
    "tracking": {"seconds": 2.0, "messages": 200},
    "webhooks": {"seconds": 4.0},
}
"""Options that differ from the defaults, so that the whole run takes less than ten minutes."""
AMOUNTS: Mapping[str, Mapping[str, int]] = {
    "deliver": {"messages": 6000},
    "end-to-end": {"messages": 10_000},
    "rtt-engine": {"messages": 6000},
    "skew": {"messages_to_one": 20_000, "messages_limited": 10_000},
    "large": {"messages": 1500},
    "attachments": {"messages": 200},
    "multi-recipient": {"messages": 1000},
    "templates": {"messages": 3000},
    "everything-on": {"messages": 3000},
    "webhooks": {"events": 50_000, "posts": 6000},
    "stages": {"messages": 3000},
    "growth": {"messages": 10_000},
    "nodes": {"rate": 150},
    "peers": {"messages": 4000, "postfix_messages": 500},
    "submission": {"messages": 4000, "postfix_messages": 2000},
}
"""For the same reason, on the machine of the targets; a slower one, by its yardstick, does less."""
LEAST = 0.25
"""The smallest share of these amounts, however slow the machine is."""
ONCE = Repeats(repeats=1, warm_up=0.0)
QUICK_REPEATS: Mapping[str, Repeats] = {
    **dict.fromkeys(
        (
            "deliver",
            "attachments",
            "multi-recipient",
            "growth",
            "skew",
            "backlog",
            "outage",
            "days",
            "attacks",
            "nodes",
        ),
        ONCE,
    ),
    **dict.fromkeys(("peers", "submission"), Repeats(repeats=2, warm_up=0.0)),
}
"""Scenarios with fewer repeats in a quick run, without warm-up: they take long, have no target, or warm up
themselves."""


@click.command("all")
@click.option("--quick", is_flag=True, help="Fewer messages and shorter loads: less than ten minutes.")
@click.option("--repeats", type=click.IntRange(1, 100), default=3, show_default=True, help="Of each scenario.")
@click.option("--only", type=click.Choice(list(SCENARIOS)), multiple=True, help="Only these.")
@click.option("--into", "folder", type=FOLDER, help="Write records and plots into this folder.")
def everything(quick: bool, repeats: int, only: tuple[str, ...], folder: Path | None) -> None:
    """Measure everything, and tell which targets are met.

    Exit 1 when a message was lost or a scenario could not be run; a target that is missed is told, and no error, and so
    is a scenario for which something is missing on this machine.
    """
    console = report.console()
    share = max(LEAST, min(1.0, YARDSTICK_US / signature_us())) if quick else 1.0
    if share < 1:
        console.print(
            f"The machine is slower than that of the targets: amounts are {share:.0%} of what is quick there."
        )
    found: list[Record] = []
    failed: dict[str, str] = {}
    skipped: list[str] = []
    for name, (kind, make) in SCENARIOS.items():
        if only and name not in only:
            continue
        scenario = make(kind(**(quick_options(name, share) if quick else {})))
        plan = QUICK_REPEATS.get(name, Repeats(repeats=repeats)) if quick else Repeats(repeats=repeats)
        try:
            record = measured(scenario, plan, console)
        except Skipped as error:
            skipped.append(error.message)
            continue
        except click.ClickException as error:
            failed[name] = error.message
            continue
        except Exception as error:
            # A defect of one scenario is reported, and does not lose the figures of the others.
            console.print_exception()
            failed[name] = repr(error)
            continue
        found.append(record)
        if folder is not None:
            records.write(record, folder / f"{name}.json")
            draw(record, folder)
    console.print(targets(found))
    for line in report.speed(*found):
        console.print(line)
    for message in skipped:
        console.print(f"[yellow]{message}[/]")
    for name, reason in failed.items():
        console.print(f"[red]{name} could not be measured: {reason}[/]")
    raise SystemExit(bool(failed) or any(record.broken for record in found))


def quick_options(name: str, share: float) -> dict[str, Any]:
    """The options of a quick run, with ``share`` of the amounts."""
    return {**QUICK.get(name, {}), **{field: round(share * n) for field, n in AMOUNTS.get(name, {}).items()}}


def targets(found: Sequence[Record]) -> Table:
    """Every figure that has a target."""
    table = Table("scenario", "what", "measured", "spread", "target", title="Targets", box=None, pad_edge=False)
    for record in found:
        for figure in record.figures:
            if figure.target is not None:
                measured_as = f"{report.number(figure.median)} {figure.unit}"
                table.add_row(record.scenario, figure.name, measured_as, report.spread(figure), report.standing(figure))
        for broken in record.broken:
            table.add_row(record.scenario, Text(broken, "red"))
    return table
