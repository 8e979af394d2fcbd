"""The report of a storm: the schedule, the table of results, and the JSON record."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.chaos.faults import ChaosFault, FaultKind
from benchmarks.chaos.records import Done, Recovery
from benchmarks.chaos.rolling import Rolled
from benchmarks.chaos.told import ToldStorm
from benchmarks.chaos.verdict import ChaosVerdict

COUNTED = ("promised", "delivered", "bounced", "failed", "cancelled", "duplicated")
LISTED = (
    *("promised", "submitted", "resubmitted", "unanswered", "found", "recipients", *COUNTED[1:-1]),
    *("set_aside", "suppressed", "unsubscribes", "fetches", "heard", "reports", "returned", "complaints"),
    *("of_past_days", "rewrites"),
)
BROKEN = (
    "lost",
    "stuck",
    "cancelled_but_sent",
    "unsubscribed_but_sent",
    "disagreements",
    "unheard",
    "lacking",
    "late",
    "problems",
    "inexcusable",
)
SHOWN = 10
"""The number shown of each kind of broken promise; a record has all."""


class ChaosRecord(Struct, frozen=True, kw_only=True):
    """A complete run."""

    scenario: str = "chaos"
    seed: int
    seconds: float
    rate: float
    started_at: str
    """ISO-8601, UTC."""
    phases_s: dict[str, float]
    """How long each phase took."""
    machine: dict[str, Any]
    commit: str = ""
    """Empty in older records."""
    schedule: list[ChaosFault]
    """This and ``done`` are written to a file beside the record (``FaultRecords``); in the record both are empty."""
    done: list[Done]
    kills: dict[str, int]
    """Kills by kind that found a process."""
    nodes: int = 0
    """The nodes of its cluster; 0 where it was one machine, as in older records."""
    remembers: bool = False
    """Whether its head had a Redis."""
    recoveries: list[Recovery] = []
    """How soon delivery was back to its rate after each change of nodes."""
    rolled: Rolled | None = None
    """Of a rolling change."""
    told: ToldStorm | None = None
    """How much of it the flight recorder tells afterwards. None in older records, and of rolling changes."""
    verdict: ChaosVerdict
    broken: list[str]
    """Empty when every promise was kept."""


class FaultRecords(Struct, frozen=True, kw_only=True):
    """The scheduled faults of a run, and the faults as performed."""

    schedule: list[ChaosFault]
    done: list[Done]


def kills(done: Sequence[Done], of_poison: int) -> dict[str, int]:
    """How many kills of each kind found a process; ``of_poison``: kills of actors that composed a poison message."""
    counts = Counter(d.kind.value for d in done if d.kind.startswith("kill") and d.pids)
    return dict(sorted((counts + Counter({FaultKind.POISON.value: of_poison})).items()))


def show_schedule(console: Console, faults: Sequence[ChaosFault]) -> None:
    """Print the schedule."""
    table = Table("at s", "for s", "fault", box=None, pad_edge=False)
    for fault in faults:
        table.add_row(f"{fault.at_s:.1f}", f"{fault.duration_s:.1f}" if fault.duration_s else "", fault.kind.value)
    console.print(table)


def show(console: Console, record: ChaosRecord) -> None:
    """Print the result."""
    verdict = record.verdict
    table = Table("", "count", "may be", box=None, pad_edge=False)
    for name in LISTED:
        table.add_row(name.replace("_", " "), str(getattr(verdict, name)), "")
    table.add_row("copies at the sink", str(verdict.copies), "")
    for name in BROKEN:
        found = len(getattr(verdict, name))
        table.add_row(name.replace("_", " "), Text(str(found), "red" if found else "green"), "0")
    table.add_row("duplicated", str(verdict.duplicated), "")
    beyond = verdict.surplus > verdict.bound
    table.add_row("copies too many", Text(str(verdict.surplus), "red" if beyond else "green"), f"≤ {verdict.bound}")
    table.add_row("kills", str(sum(record.kills.values())), "")
    console.print(table)
    if verdict.reasons:
        console.print("unanswered: " + ", ".join(f"{reason} ({n})" for reason, n in verdict.reasons.items()))
    if record.recoveries:
        _show_recoveries(console, record.recoveries)
    if (told := record.told) is not None:
        console.print(f"the flight recorder tells {told.words} faults ({told.by_chance:g} would be by chance)")
        console.print("told: " + ", ".join(f"{kind} {told.by_kind[kind]}" for kind in told.by_kind), soft_wrap=True)
        if told.untold:
            console.print("untold: " + ", ".join(told.untold), soft_wrap=True)
    if (rolled := record.rolled) is not None:
        late = rolled.lateness
        console.print(f"{rolled.changes} changes of release")
        console.print(f"{rolled.written_by_later} of {rolled.requests} requests were accepted by the later release")
        console.print(
            f"{late.copies} copies: half came within {late.p50_s:.2f} s of being accepted or due, 99 of 100 within "
            f"{late.p99_s:.2f} s, all within {late.most_s:.2f} s"
        )
    console.print("kills: " + ", ".join(f"{kind} {count}" for kind, count in record.kills.items()))
    for name in BROKEN:
        for line in getattr(verdict, name)[:SHOWN]:
            console.print(f"{name.replace('_', ' ')}: {line}", markup=False, soft_wrap=True)
    if record.broken:
        console.print(f"[red]broken promises[/]: {'; '.join(record.broken)}")
    else:
        console.print("[green]every promise was kept[/]")


def _show_recoveries(console: Console, recoveries: Sequence[Recovery]) -> None:
    table = Table("at s", "change of nodes", "delivery back to its rate after s", box=None, pad_edge=False)
    for one in recoveries:
        back = f"{one.back_s:.1f}" if one.back_s is not None else f"not within {one.watched_s:.1f}"
        table.add_row(f"{one.at_s:.1f}", one.kind.value, back)
    console.print(table)


def table(records: Sequence[ChaosRecord]) -> str:
    """Runs as a table in Markdown, one line each."""
    heads = ("seed", "seconds", "kills", *COUNTED, *BROKEN, "surplus", "bound", "kept")
    lines = ["| " + " | ".join(head.replace("_", " ") for head in heads) + " |", "|" + "---|" * len(heads)]
    for record in records:
        verdict = record.verdict
        cells: list[Any] = [record.seed, f"{record.seconds:g}", sum(record.kills.values())]
        cells += [getattr(verdict, name) for name in COUNTED]
        cells += [len(getattr(verdict, name)) for name in BROKEN]
        cells += [verdict.surplus, verdict.bound, "no" if record.broken else "yes"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
