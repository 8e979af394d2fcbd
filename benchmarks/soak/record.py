"""The record of a soak, and its verdict: which process grew between the settled minute and the end. Pure.

The verdict is on the memory that a process has allocated for itself. Shared memory (Postgres's buffers, libraries) has
a size given by settings or files; the resident and the proportional figures, kept as well, include it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from msgspec import Struct

from benchmarks.soak.observing import ObservedProcess, ProcessState

ALLOWED = 1.10
"""The allowed multiple of the values in the settled minute."""
SLACK_MB = 2.0
"""Not counted as growth of a small process: a few pages of its allocator."""
SLACK_DESCRIPTORS = 8
KEEPS_FILES_OPEN = "postgres "
"""The prefix of processes that open each table's files when they first use it, and keep them open up to a limit
(max_files_per_process): the checkpointer begins after a quarter of an hour, the background writer when the shared
buffers are full. Their descriptors are judged only within the sum of all processes."""
MOMENT_S = 60.0
"""A state is the median over this time: a single moment depends on what was in progress."""
ALL = "all together"


class Look(Struct, frozen=True):
    """One observation of all processes."""

    at_s: float
    """Seconds since the start of the load."""
    delivered: int
    """Messages at the sink since then."""
    held: dict[str, ProcessState]
    """By the process's key: its name, with its pid if several have the name."""


class ProcessGrowth(Struct, frozen=True, kw_only=True):
    """One process from the settled minute to the end; memory in MiB."""

    name: str
    settled: ProcessState
    end: ProcessState
    ratio: float
    """Own memory at the end divided by that of the settled minute; the verdict is on own memory."""
    slope: float
    """MiB a minute between the two."""
    grew: tuple[str, ...] = ()
    """What grew more than allowed: ``memory``, ``descriptors``."""


class SoakRecord(Struct, frozen=True, kw_only=True):
    """A complete soak."""

    scenario: str
    started_at: str
    """ISO-8601, UTC."""
    took_s: float
    commit: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    settled_s: float
    """Seconds after the start of the load; the end is compared with this moment."""
    promised: int
    delivered: int
    lost: int
    copies: int
    """Deliveries beyond the first of each message."""
    growth: tuple[ProcessGrowth, ...]
    looks: tuple[Look, ...]
    """Written to a file beside the record (``Looks``); empty in the record."""
    broken: tuple[str, ...] = ()
    """Failures; empty when all is well."""


class Looks(Struct, frozen=True, kw_only=True):
    """The raw samples of a soak."""

    looks: tuple[Look, ...]


def keyed(found: Mapping[ObservedProcess, ProcessState]) -> dict[str, ProcessState]:
    """By unique names."""
    count: dict[str, int] = defaultdict(int)
    for process in found:
        count[process.name] += 1
    return {
        process.name if count[process.name] == 1 else f"{process.name} #{process.pid}": held
        for process, held in sorted(found.items(), key=lambda item: (item[0].name, item[0].pid))
    }


def judge(looks: Sequence[Look], settled_s: float) -> tuple[ProcessGrowth, ...]:
    """The growth of each process that lived at both moments, and of the sum of all."""
    whole = [Look(look.at_s, look.delivered, look.held | {ALL: together(look.held.values())}) for look in looks]
    end_s = whole[-1].at_s
    before, after = (_around(whole, at_s) for at_s in (settled_s, end_s))
    names = [name for name in whole[-1].held if name in before and name in after]
    return tuple(_growth(name, before[name], after[name], whole, settled_s) for name in names)


def together(held: Iterable[ProcessState]) -> ProcessState:
    """The sum of all."""
    return _each(held, sum)


def _around(looks: Sequence[Look], at_s: float) -> dict[str, ProcessState]:
    near = [look for look in looks if abs(look.at_s - at_s) <= MOMENT_S / 2] or [
        min(looks, key=lambda look: abs(look.at_s - at_s))
    ]
    names = set.intersection(*(set(look.held) for look in near))
    return {name: _each([look.held[name] for look in near], median) for name in names}


def _each(held: Iterable[ProcessState], of: Callable[[list[float]], float]) -> ProcessState:
    """``of`` applied to each quantity."""
    ones = list(held)
    return ProcessState(
        resident=round(of([one.resident for one in ones]), 2),
        proportional=round(of([one.proportional for one in ones]), 2),
        own=round(of([one.own for one in ones]), 2),
        descriptors=round(of([one.descriptors for one in ones])),
        threads=round(of([one.threads for one in ones])),
    )


def _growth(
    name: str, settled: ProcessState, end: ProcessState, looks: Sequence[Look], settled_s: float
) -> ProcessGrowth:
    one, other = settled.own, end.own
    grew = []
    if other > max(one * ALLOWED, one + SLACK_MB):
        grew.append("memory")
    allowed = max(settled.descriptors * ALLOWED, settled.descriptors + SLACK_DESCRIPTORS)
    if end.descriptors > allowed and not name.startswith(KEEPS_FILES_OPEN):
        grew.append("descriptors")
    points = [(look.at_s, look.held[name].own) for look in looks if name in look.held]
    return ProcessGrowth(
        name=name,
        settled=settled,
        end=end,
        ratio=round(other / one, 3) if one else 1.0,
        slope=round(slope([point for point in points if point[0] >= settled_s]) * 60, 3),
        grew=tuple(grew),
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a line through points (Theil and Sen): the median of the slopes of pairs that are far apart."""
    half = len(points) // 2
    slopes = [
        (points[i + half][1] - points[i][1]) / (points[i + half][0] - points[i][0])
        for i in range(len(points) - half)
        if half
    ]
    return median(slopes) if slopes else 0.0


def broken(record: SoakRecord) -> list[str]:
    """Descriptions of the failures."""
    found = []
    if record.lost:
        found.append(f"{record.lost} of {record.promised} messages lost")
    if record.copies:
        found.append(f"{record.copies} messages delivered twice")
    for one in record.growth:
        if "memory" in one.grew:
            found.append(f"{one.name}: {one.ratio:.2f} times the memory of the settled minute")
        if "descriptors" in one.grew:
            found.append(f"{one.name}: descriptors {one.settled.descriptors} → {one.end.descriptors}")
    return found
