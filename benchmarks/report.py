"""Reports of records: tables on a console and in Markdown."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import YARDSTICK_US
from benchmarks.records import Figure, Record, Usage

PROMISED = 3000
"""Messages a second, of the target that most depends on signatures (``blast.END_TO_END``)."""
NARROW = 80
WIDE = 120
"""Columns where the output is no terminal, which would be taken for a narrow one."""


def console() -> Console:
    found = Console(highlight=False)
    return found if found.is_terminal or found.width > NARROW else Console(highlight=False, width=WIDE)


def number(value: float) -> str:
    """Three significant digits, thousands divided."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def spread(figure: Figure) -> str:
    if len(figure.values) == 1:
        return "one repeat"
    return f"{number(figure.low)} to {number(figure.high)}"


def standing(figure: Figure) -> Text:
    """Whether the target is met."""
    if figure.passes is None:
        return Text("")
    sign = "≥" if figure.better == "higher" else "≤"
    told = f"{sign} {number(figure.target or 0)}: "
    return Text(told + "passes", "green") if figure.passes else Text(told + "falls short", "red")


def show(console: Console, record: Record) -> None:
    """A record as tables."""
    table = Table("what", "median", "unit", "spread", "target", box=None, pad_edge=False)
    for figure in record.figures:
        table.add_row(figure.name, number(figure.median), figure.unit, spread(figure), standing(figure))
    console.print(table)
    counted, copies = sum(r.counted for r in record.repeats), sum(r.copies for r in record.repeats)
    if counted:
        console.print(f"{counted:,} messages counted by their ids, {copies} more than once")
    if parts := usage(record):
        console.print(_usage_table(parts))
    for note in (*record.notes, *speed(record)):
        console.print(f"[dim]{note}[/]")
    for broken in record.broken:
        console.print(f"[red]{broken}[/]")


def speed(*records: Record) -> list[str]:
    """A note on the machine's speed; empty if no record has it."""
    took = [us for record in records for us in record.signature_us]
    if not took:
        return []
    cores = PROMISED * min(took) / 1e6
    return [
        f"The machine: an RSA-2048 signature by OpenSSL took {min(took):.0f} to {max(took):.0f} µs; the targets were "
        f"set where it took {YARDSTICK_US:.0f}. Made so, those of {PROMISED:,} messages take {cores:.1f} s of one core."
    ]


def usage(record: Record) -> dict[str, Usage]:
    """What each part took: CPU over all repeats together, memory at its highest."""
    found: dict[str, Usage] = {}
    for repeat in record.repeats:
        for part, took in repeat.usage.items():
            known = found.get(part)
            found[part] = took if known is None else _together(known, took)
    return found


def _together(one: Usage, other: Usage) -> Usage:
    return Usage(
        cpu_s=one.cpu_s + other.cpu_s,
        peak_resident_mb=max(one.peak_resident_mb, other.peak_resident_mb),
        peak_proportional_mb=max(one.peak_proportional_mb, other.peak_proportional_mb),
        processes=max(one.processes, other.processes),
    )


def _usage_table(parts: dict[str, Usage]) -> Table:
    table = Table("part", "CPU s", "of all", "resident MiB", "proportional MiB", box=None, pad_edge=False)
    whole = sum(part.cpu_s for part in parts.values()) or 1.0
    for name, part in sorted(parts.items(), key=lambda item: -item[1].cpu_s):
        cells = (f"{part.cpu_s:.1f}", f"{part.cpu_s / whole:.0%}")
        table.add_row(name, *cells, f"{part.peak_resident_mb:.0f}", f"{part.peak_proportional_mb:.0f}")
    return table


def markdown(records: Iterable[Record]) -> str:
    """The figures of runs as a table in Markdown."""
    lines = ["| scenario | what | median | spread | target | |", "|---|---|---|---|---|---|"]
    for record in records:
        for figure in record.figures:
            target = "" if figure.target is None else number(figure.target)
            verdict = {None: "", True: "passes", False: "falls short"}[figure.passes]
            cells: Sequence[str] = (
                record.scenario,
                figure.name,
                f"{number(figure.median)} {figure.unit}",
                spread(figure),
                target,
                verdict,
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
