"""A soak as a table on a console, and as pictures of each process's values over time."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.soak.record import ALL, ProcessGrowth, SoakRecord

DRAWN = 14
"""Processes in a picture, the largest ones; the lines of small ones overlap."""


def show(console: Console, record: SoakRecord) -> None:
    minute, end = record.settled_s / 60, record.looks[-1].at_s / 60 if record.looks else 0.0
    table = Table(box=None, pad_edge=False)
    table.add_column("process", no_wrap=True)
    for title in (
        *(f"MiB, minute {minute:.0f}", f"{end:.0f}", "times", "MiB/min"),
        *("resident", "proportional", "descriptors", "threads"),
    ):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for one in sorted(record.growth, key=lambda one: (one.name == ALL, -one.end.own)):
        table.add_row(*_cells(one))
    console.print(table)
    console.print(
        f"{record.promised:,} messages promised, {record.delivered:,} delivered, {record.lost} lost, "
        f"{record.copies} more than once"
    )
    console.print(
        "[dim]Judged is what a process has allocated. Resident: with libraries and Postgres's shared buffers.[/]"
    )
    for broken in record.broken:
        console.print(f"[red]{broken}[/]")
    if not record.broken:
        console.print("[green]flat[/]")


def _cells(one: ProcessGrowth) -> tuple[str | Text, ...]:
    settled, end = one.settled, one.end
    return (
        one.name,
        *(f"{size:,.1f}" for size in (settled.own, end.own)),
        f"{one.ratio:.2f}",
        f"{one.slope:+.2f}",
        f"{settled.resident:,.0f} → {end.resident:,.0f}",
        f"{settled.proportional:,.0f} → {end.proportional:,.0f}",
        f"{settled.descriptors} → {end.descriptors}",
        f"{settled.threads} → {end.threads}",
        Text(f"{' and '.join(one.grew)} grew", "red") if one.grew else Text("flat", "green"),
    )


def draw(record: SoakRecord, folder: Path) -> list[Path]:
    """Draw own memory and descriptors over time; returns the paths of the pictures."""
    import matplotlib  # loaded only when needed

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for quantity, label in (("own", "MiB of own memory"), ("descriptors", "descriptors")):
        largest = sorted(
            (one.name for one in record.growth if one.name != ALL),
            key=lambda name: -max(getattr(look.held[name], quantity) for look in record.looks if name in look.held),
        )[:DRAWN]
        figure, axes = pyplot.subplots(figsize=(9.0, 5.0), dpi=120, layout="constrained")
        for name in largest:
            points = [
                (look.at_s / 60, getattr(look.held[name], quantity)) for look in record.looks if name in look.held
            ]
            axes.plot([at for at, _ in points], [value for _, value in points], label=name, linewidth=1.0)
        axes.axvline(record.settled_s / 60, color="grey", linewidth=0.6, linestyle=":")
        axes.set_title(f"soak  {record.started_at}  {record.commit[:10]}", fontsize=9)
        axes.set_xlabel("minutes")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        path = folder / f"soak-{quantity}.png"
        figure.savefig(path)
        pyplot.close(figure)
        drawn.append(path)
    return drawn
