"""Two records of a scenario beside each other: what changed, and whether by more than the noise. Pure but for ``show``.

The noise is what the repeats of either record differ by among themselves. A change counts when the spreads do not
overlap, and the medians differ by more than either spread is wide: two runs of the same code should show no change.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import mean

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.records import Better, Figure, Record
from benchmarks.report import number, spread

FEWEST = 3
"""Repeats on either side: with fewer the noise is not known."""
TOLD = 1.1
"""A difference in machine speed beyond this factor is reported."""
COLOURS = {"better": "green", "worse": "red"}


class FigureChange(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    WITHIN_NOISE = "within the noise"
    TOO_FEW = "too few repeats to say"


class Compared(Struct, frozen=True, kw_only=True):
    """One figure in both records."""

    before: Figure
    after: Figure
    change: FigureChange

    @property
    def ratio(self) -> float | None:
        return self.after.median / self.before.median if self.before.median else None


def compare(before: Record, after: Record) -> list[Compared]:
    """Every figure that both have, in the order of the second."""
    known = {figure.name: figure for figure in before.figures}
    return [
        Compared(before=known[figure.name], after=figure, change=change(known[figure.name], figure))
        for figure in after.figures
        if figure.name in known
    ]


def change(before: Figure, after: Figure) -> FigureChange:
    """Whether the figure changed by more than the noise, as the module defines it."""
    if min(len(before.values), len(after.values)) < FEWEST:
        return FigureChange.TOO_FEW
    overlap = before.low <= after.high and after.low <= before.high
    widest = max(before.high - before.low, after.high - after.low)
    if overlap or abs(after.median - before.median) <= widest:
        return FigureChange.WITHIN_NOISE
    rose = after.median > before.median
    return FigureChange.BETTER if rose == (after.better is Better.HIGHER) else FigureChange.WORSE


def differences(before: Record, after: Record) -> list[str]:
    """Differences in machine, settings and commit, which a reader of the comparison must know."""
    found = []
    if before.machine != after.machine:
        found.append(f"machine: {_pairs(before.machine, after.machine)}")
    if before.signature_us and after.signature_us:
        one, other = mean(before.signature_us), mean(after.signature_us)
        if max(one, other) > TOLD * min(one, other):
            found.append(f"the machine's speed: an RSA-2048 signature took {one:.0f} µs → {other:.0f} µs")
    if before.settings != after.settings:
        found.append(f"settings: {_pairs(before.settings, after.settings)}")
    if before.commit != after.commit:
        found.append(f"commit: {before.commit[:10] or 'unknown'} → {after.commit[:10] or 'unknown'}")
    return found


def _pairs(before: dict[str, object], after: dict[str, object]) -> str:
    names: Iterable[str] = sorted(before.keys() | after.keys())
    return ", ".join(f"{n} {before.get(n)} → {after.get(n)}" for n in names if before.get(n) != after.get(n))


def show(console: Console, before: Record, after: Record, compared: Sequence[Compared]) -> None:
    table = Table("what", "unit", "before", "spread", "after", "spread", "ratio", "", box=None, pad_edge=False)
    for one in compared:
        table.add_row(
            one.after.name,
            one.after.unit,
            number(one.before.median),
            spread(one.before),
            number(one.after.median),
            spread(one.after),
            "" if one.ratio is None else f"{one.ratio:.2f}",
            Text(one.change, COLOURS.get(one.change, "")),
        )
    console.print(table)
    for difference in differences(before, after):
        console.print(difference, markup=False)
