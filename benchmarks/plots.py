"""Records as PNG files: throughput over time, latencies, CPU by part."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.records import Record
from benchmarks.report import usage

SIZE_INCHES = (8.0, 4.5)
DPI = 120
LEAST_CPU_S = 0.05
"""Parts below this are left out."""


def draw_all(record: Record, folder: Path) -> list[Path]:
    """Draw every picture for which the record has data; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, has, draw in (
        ("throughput", any(repeat.throughput for repeat in record.repeats), throughput),
        ("latency", any(repeat.latencies_ms for repeat in record.repeats), latencies),
        ("cpu", any(repeat.usage for repeat in record.repeats), cpu),
    ):
        if has:
            figure, axes = pyplot.subplots(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
            draw(axes, record)
            axes.set_title(f"{record.scenario}: {record.title}\n{record.started_at}  {record.commit[:10]}", fontsize=9)
            path = folder / f"{record.scenario}-{name}.png"
            figure.savefig(path)
            pyplot.close(figure)
            drawn.append(path)
    return drawn


def throughput(axes: Axes, record: Record) -> None:
    """One line per repeat."""
    for i, repeat in enumerate(record.repeats, 1):
        axes.plot([s.at_s for s in repeat.throughput], [s.rate for s in repeat.throughput], label=f"repeat {i}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("messages/s at the sink")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


def latencies(axes: Axes, record: Record) -> None:
    """The cumulative distribution: one curve for each thing timed, over all repeats."""
    names = sorted({name for repeat in record.repeats for name in repeat.latencies_ms})
    for name in names:
        values = sorted(value for repeat in record.repeats for value in repeat.latencies_ms.get(name, ()))
        shares = [(i + 1) / len(values) for i in range(len(values))]
        axes.plot(values, shares, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("share")
    for part in (0.5, 0.99):
        axes.axhline(part, color="grey", linewidth=0.6, linestyle=":")
    axes.grid(alpha=0.3)
    axes.legend()


def cpu(axes: Axes, record: Record) -> None:
    """CPU seconds by part, the largest on top."""
    took = sorted(((part.cpu_s, name) for name, part in usage(record).items() if part.cpu_s >= LEAST_CPU_S))
    axes.barh([name for _, name in took], [seconds for seconds, _ in took])
    axes.set_xlabel("CPU seconds over all repeats")
    axes.grid(alpha=0.3, axis="x")
