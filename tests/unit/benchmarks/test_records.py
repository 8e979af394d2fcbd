"""Figures, records, and the changes between two records."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from benchmarks import compare, records, report
from benchmarks.compare import FigureChange
from benchmarks.records import Better, Figure, Record, Repeat, Usage


def figure(*values: float, better: Better = Better.HIGHER, target: float | None = None) -> Figure:
    return Figure(name="delivered", unit="msg/s", better=better, values=values, target=target)


def record(
    *figures: Figure,
    commit: str = "a",
    connections: int = 40,
    repeats: tuple[Repeat, ...] = (),
    signature_us: tuple[float, ...] = (),
) -> Record:
    return Record(
        scenario="end-to-end",
        title="all of it",
        started_at="2026-01-01T00:00:00+00:00",
        took_s=1.0,
        commit=commit,
        machine={"cpus": 2},
        settings={"connections": connections},
        figures=figures,
        repeats=repeats,
        signature_us=signature_us,
    )


def test_a_figure_is_its_median_and_its_ends() -> None:
    one = figure(3.0, 1.0, 8.0)
    assert (one.low, one.median, one.high) == (1.0, 3.0, 8.0)


@pytest.mark.parametrize(
    ("better", "target", "passes"),
    [
        (Better.HIGHER, None, None),
        (Better.HIGHER, 3.0, True),
        (Better.HIGHER, 3.1, False),
        (Better.LOWER, 3.0, True),
        (Better.LOWER, 2.9, False),
    ],
)
def test_the_median_must_reach_the_target(better: Better, target: float | None, passes: bool | None) -> None:
    assert figure(1.0, 3.0, 8.0, better=better, target=target).passes is passes


@pytest.mark.parametrize(
    ("before", "after", "better", "expected"),
    [
        ((100, 101, 102), (110, 111, 112), Better.HIGHER, FigureChange.BETTER),
        ((110, 111, 112), (100, 101, 102), Better.HIGHER, FigureChange.WORSE),
        ((110, 111, 112), (100, 101, 102), Better.LOWER, FigureChange.BETTER),
        ((100, 101, 102), (110, 111, 112), Better.LOWER, FigureChange.WORSE),
        ((100, 105, 110), (108, 112, 118), Better.HIGHER, FigureChange.WITHIN_NOISE),  # the ranges overlap
        ((100, 101, 130), (131, 131, 131), Better.HIGHER, FigureChange.WITHIN_NOISE),  # no overlap, but a wide spread
        ((100, 101, 102), (100, 101, 102), Better.HIGHER, FigureChange.WITHIN_NOISE),
        ((100, 101), (200, 201, 202), Better.HIGHER, FigureChange.TOO_FEW),
        ((100, 101, 102), (200,), Better.HIGHER, FigureChange.TOO_FEW),
    ],
)
def test_what_counts_as_a_change(
    before: tuple[float, ...], after: tuple[float, ...], better: Better, expected: FigureChange
) -> None:
    assert compare.change(figure(*before, better=better), figure(*after, better=better)) is expected


def test_only_figures_of_both_are_compared() -> None:
    other = Figure(name="other", unit="ms", better=Better.LOWER, values=(1.0, 1.0, 1.0))
    (compared,) = compare.compare(record(figure(10, 10, 10)), record(figure(30, 30, 30), other))
    assert compared.change is FigureChange.BETTER
    assert compared.ratio == 3.0


def test_a_comparison_tells_what_else_differs() -> None:
    assert compare.differences(record(), record()) == []
    assert compare.differences(record(), record(commit="b", connections=80)) == [
        "settings: connections 40 → 80",
        "commit: a → b",
    ]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    usage = {"postgres": Usage(cpu_s=1.0, peak_resident_mb=2.0, peak_proportional_mb=1.0, processes=5)}
    written = record(figure(1, 2, 3), repeats=(Repeat(figures={"delivered": 1.0}, seconds=1.0, usage=usage),))
    path = tmp_path / "new" / "record.json"
    records.write(written, path)
    assert records.read(path) == written
    path.write_text("{}")
    with pytest.raises(msgspec.DecodeError):
        records.read(path)


SAMPLED = Repeat(
    figures={"delivered": 1.0},
    seconds=1.0,
    throughput=(records.Sample(0.5, 3000.0),),
    latencies_ms={"accept": (1.0, 2.5)},
)


def test_samples_are_kept_beside_the_summary(tmp_path: Path) -> None:
    written, path = record(figure(1, 2, 3), repeats=(SAMPLED,)), tmp_path / "a.json"
    records.write(written, path)
    assert sorted(tmp_path.iterdir()) == [path, records.samples_path(path)]
    assert records.read(path) == written
    records.samples_path(path).unlink()
    summary = records.read(path)
    assert (summary.figures, summary.repeats[0].figures) == (written.figures, SAMPLED.figures)
    assert (summary.repeats[0].throughput, summary.repeats[0].latencies_ms) == ((), {})


def test_samples_of_another_run_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    records.write(record(figure(1, 2, 3), repeats=(SAMPLED,)), path)
    summary = path.read_bytes()
    records.write(structs.replace(record(repeats=(SAMPLED, SAMPLED)), started_at="2026-01-02T00:00:00+00:00"), path)
    path.write_bytes(summary)
    assert records.read(path).repeats[0].throughput == ()


def test_lost_is_what_was_promised_and_not_found() -> None:
    assert Repeat(figures={}, seconds=1.0, promised=10, counted=8).lost == 2


def test_usage_sums_time_and_keeps_the_highest_memory() -> None:
    def repeat(cpu_s: float, memory_mb: float) -> Repeat:
        took = Usage(cpu_s=cpu_s, peak_resident_mb=memory_mb, peak_proportional_mb=memory_mb / 2, processes=1)
        return Repeat(figures={}, seconds=1.0, usage={"sink": took})

    (sink,) = report.usage(record(repeats=(repeat(1.0, 50.0), repeat(2.0, 40.0)))).values()
    assert (sink.cpu_s, sink.peak_resident_mb, sink.peak_proportional_mb) == (3.0, 50.0, 25.0)


def test_the_markdown_table_tells_passes_and_falls_short() -> None:
    lines = report.markdown([record(figure(1, 2, 3, target=2.0), figure(1, 2, 3, target=9.0))]).splitlines()
    assert lines[2] == "| end-to-end | delivered | 2.00 msg/s | 1.00 to 3.00 | 2.00 | passes |"
    assert lines[3].endswith("| 9.00 | falls short |")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((320.0, 322.0), (880.0, 940.0), ["the machine's speed: an RSA-2048 signature took 321 µs → 910 µs"]),
        ((320.0, 322.0), (330.0, 350.0), []),
        ((), (880.0, 940.0), []),
    ],
)
def test_a_machine_of_another_speed_is_told_of(
    before: tuple[float, ...], after: tuple[float, ...], told: list[str]
) -> None:
    one, other = record(figure(1.0), signature_us=before), record(figure(1.0), signature_us=after)
    assert compare.differences(one, other) == told


def test_the_speed_of_the_machine_is_told_over_all_records() -> None:
    (line,) = report.speed(record(signature_us=(400.0, 500.0)), record(), record(signature_us=(600.0, 450.0)))
    assert "400 to 600 µs" in line and "take 1.2 s of one core" in line
    assert report.speed(record()) == []
