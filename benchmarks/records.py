"""What a measurement leaves behind: figures with their spread, one record a scenario, kept as JSON.

A record is kept as two files: the summary, which is small and readable, and beside it the raw samples
(``NAME.samples.json``, which git ignores). The summary alone is enough for tables and comparisons; the samples are
needed to draw throughput and latencies.

A figure is one quantity over the repeats of a run. It is reported as the median with the minimum and the maximum:
three or five repeats are too few for a standard deviation, and the worst value must not be hidden.
"""

from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct, structs

SAMPLES = ".samples.json"
"""The suffix of the files of raw samples; .gitignore has it."""


class Better(StrEnum):
    """Which way a figure improves."""

    HIGHER = "higher"
    LOWER = "lower"


class Figure(Struct, frozen=True, kw_only=True):
    """One quantity, a value a repeat."""

    name: str
    unit: str
    better: Better
    values: tuple[float, ...]
    target: float | None = None
    """What the figure must reach (or stay under); None without a target."""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    @property
    def passes(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.target is None:
            return None
        return self.median >= self.target if self.better is Better.HIGHER else self.median <= self.target


class Usage(Struct, frozen=True, kw_only=True):
    """What one part took during one repeat."""

    cpu_s: float
    peak_resident_mb: float
    """Of its largest process."""
    peak_proportional_mb: float
    """Of its largest process, shared pages counted in shares."""
    processes: int


class Sample(Struct, frozen=True, array_like=True):
    """A moment of a repeat: seconds from its start, and messages a second then."""

    at_s: float
    rate: float


class Repeat(Struct, frozen=True, kw_only=True):
    """One repeat of a scenario, as it was measured."""

    figures: dict[str, float]
    seconds: float
    promised: int = 0
    """Messages for which the sender has an answer that counts (a 202, a 250)."""
    counted: int = 0
    """Of these, found by their unique ids where they must be: at the sink, or in the journal."""
    copies: int = 0
    """Found beyond the first of each."""
    usage: dict[str, Usage] = {}
    """By part: an actor, Postgres, Ray, the sink, the harness itself."""
    throughput: tuple[Sample, ...] = ()
    latencies_ms: dict[str, tuple[float, ...]] = {}
    """By what was timed; a sample in order of size, where there are many."""

    @property
    def lost(self) -> int:
        return self.promised - self.counted


class Record(Struct, frozen=True, kw_only=True):
    """A run of a scenario, whole."""

    scenario: str
    title: str
    started_at: str
    """ISO-8601, UTC."""
    took_s: float
    commit: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    figures: tuple[Figure, ...]
    repeats: tuple[Repeat, ...]
    signature_us: tuple[float, ...] = ()
    """The machine's speed before and after (``machine.signature_us``); empty in older records."""
    notes: tuple[str, ...] = ()
    """What a reader must know to understand the figures."""
    broken: tuple[str, ...] = ()
    """Messages lost, and whatever else makes the figures worthless. Empty when all is well."""


class RepeatSamples(Struct, frozen=True, kw_only=True):
    """The raw samples of one repeat."""

    throughput: tuple[Sample, ...]
    latencies_ms: dict[str, tuple[float, ...]]


class Samples(Struct, frozen=True, kw_only=True):
    """The raw samples of a record, a member for each repeat."""

    started_at: str
    """That of the record which they belong to."""
    repeats: tuple[RepeatSamples, ...]


def samples_path(path: Path) -> Path:
    """Where the raw samples of the record at ``path`` are kept."""
    return path.with_suffix(SAMPLES)


def write(record: Record, path: Path) -> None:
    """The summary goes to ``path``, the samples beside it."""
    samples = Samples(
        started_at=record.started_at,
        repeats=tuple(RepeatSamples(throughput=r.throughput, latencies_ms=r.latencies_ms) for r in record.repeats),
    )
    bare = tuple(structs.replace(repeat, throughput=(), latencies_ms={}) for repeat in record.repeats)
    write_apart(structs.replace(record, repeats=bare), samples, path)


def write_apart(summary: Struct, samples: Struct, path: Path) -> None:
    """Two files of JSON: ``summary`` indented, ``samples`` compact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
    samples_path(path).write_bytes(msgspec.json.encode(samples) + b"\n")


def read(path: Path) -> Record:
    """A record, with its samples where they lie beside it and are of the same run. Raises OSError,
    msgspec.DecodeError."""
    record = msgspec.json.decode(path.read_bytes(), type=Record)
    beside = samples_path(path)
    if not beside.exists():
        return record
    samples = msgspec.json.decode(beside.read_bytes(), type=Samples)
    if samples.started_at != record.started_at:
        return record
    pairs = zip(record.repeats, samples.repeats, strict=True)
    whole = tuple(structs.replace(r, throughput=s.throughput, latencies_ms=s.latencies_ms) for r, s in pairs)
    return structs.replace(record, repeats=whole)
