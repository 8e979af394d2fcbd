"""What a soak leaves behind, and its judgement: who grew between the settled minute and the end. Pure.

Judged is the memory that a process has allocated for itself. What it shares (Postgres's buffers, libraries) has a size
that settings or files give; it shows in the resident and the proportional figures, which are kept beside.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from msgspec import Struct

from benchmarks.soak.looking import Held, Process

ALLOWED = 1.10
"""Times what a process held in the settled minute."""
SLACK_MB = 2.0
"""What does not count as growth of a small process: a few pages of its allocator."""
SLACK_DESCRIPTORS = 8
KEEPS_FILES_OPEN = "postgres "
"""How the processes are named that open each table's files when they first touch it, and keep them open up to a bound
of their own (max_files_per_process): the checkpointer begins after a quarter of an hour, the background writer when the
shared buffers are full. Their descriptors are judged within those of all together."""
MOMENT_S = 60.0
"""A state is the median of the looks of so long: a moment alone says as much of what was under way just then."""
ALL = "all together"


class Look(Struct, frozen=True):
    """One look at all processes."""

    at_s: float
    """Since the load began."""
    delivered: int
    """At the sink, since then."""
    held: dict[str, Held]
    """By the process's key: its name, and its pid where several have the name."""


class Growth(Struct, frozen=True, kw_only=True):
    """One process from the settled minute to the end; memory in MiB."""

    name: str
    settled: Held
    end: Held
    ratio: float
    """Of what is judged: its own memory."""
    slope: float
    """MiB a minute between the two."""
    grew: tuple[str, ...] = ()
    """What of it grew more than is allowed: ``memory``, ``descriptors``."""


class Record(Struct, frozen=True, kw_only=True):
    """A soak, whole."""

    scenario: str
    started_at: str
    """ISO-8601, UTC."""
    took_s: float
    commit: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    settled_s: float
    """Seconds after the load's begin, with which the end is compared."""
    promised: int
    delivered: int
    lost: int
    copies: int
    """Delivered beyond the first of each."""
    growth: tuple[Growth, ...]
    looks: tuple[Look, ...]
    """Kept in a file beside the record (``Looks``), where it has none."""
    broken: tuple[str, ...] = ()
    """What must not be. Empty when all is well."""


class Looks(Struct, frozen=True, kw_only=True):
    """The raw samples of a soak."""

    looks: tuple[Look, ...]


def keyed(found: Mapping[Process, Held]) -> dict[str, Held]:
    """By names that tell processes apart."""
    count: dict[str, int] = defaultdict(int)
    for process in found:
        count[process.name] += 1
    return {
        process.name if count[process.name] == 1 else f"{process.name} #{process.pid}": held
        for process, held in sorted(found.items(), key=lambda item: (item[0].name, item[0].pid))
    }


def judge(looks: Sequence[Look], settled_s: float) -> tuple[Growth, ...]:
    """Of each process that lived at both moments, and of all together."""
    whole = [Look(look.at_s, look.delivered, look.held | {ALL: together(look.held.values())}) for look in looks]
    end_s = whole[-1].at_s
    before, after = (_around(whole, at_s) for at_s in (settled_s, end_s))
    names = [name for name in whole[-1].held if name in before and name in after]
    return tuple(_growth(name, before[name], after[name], whole, settled_s) for name in names)


def together(held: Iterable[Held]) -> Held:
    """The sum of all."""
    return _each(held, sum)


def _around(looks: Sequence[Look], at_s: float) -> dict[str, Held]:
    near = [look for look in looks if abs(look.at_s - at_s) <= MOMENT_S / 2] or [
        min(looks, key=lambda look: abs(look.at_s - at_s))
    ]
    names = set.intersection(*(set(look.held) for look in near))
    return {name: _each([look.held[name] for look in near], median) for name in names}


def _each(held: Iterable[Held], of: Callable[[list[float]], float]) -> Held:
    """Each quantity by itself."""
    ones = list(held)
    return Held(
        resident=round(of([one.resident for one in ones]), 2),
        proportional=round(of([one.proportional for one in ones]), 2),
        own=round(of([one.own for one in ones]), 2),
        descriptors=round(of([one.descriptors for one in ones])),
        threads=round(of([one.threads for one in ones])),
    )


def _growth(name: str, settled: Held, end: Held, looks: Sequence[Look], settled_s: float) -> Growth:
    one, other = settled.own, end.own
    grew = []
    if other > max(one * ALLOWED, one + SLACK_MB):
        grew.append("memory")
    allowed = max(settled.descriptors * ALLOWED, settled.descriptors + SLACK_DESCRIPTORS)
    if end.descriptors > allowed and not name.startswith(KEEPS_FILES_OPEN):
        grew.append("descriptors")
    points = [(look.at_s, look.held[name].own) for look in looks if name in look.held]
    return Growth(
        name=name,
        settled=settled,
        end=end,
        ratio=round(other / one, 3) if one else 1.0,
        slope=round(slope([point for point in points if point[0] >= settled_s]) * 60, 3),
        grew=tuple(grew),
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of a line through points (Theil and Sen): the median of the slopes of pairs, here of those far apart."""
    half = len(points) // 2
    slopes = [
        (points[i + half][1] - points[i][1]) / (points[i + half][0] - points[i][0])
        for i in range(len(points) - half)
        if half
    ]
    return median(slopes) if slopes else 0.0


def broken(record: Record) -> list[str]:
    """What must not be, in words."""
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
