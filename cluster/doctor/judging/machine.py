"""What the facts of a machine mean: clock, disk, limits, memory."""

from collections.abc import Iterator, Sequence
from statistics import median

from msgspec import Struct

from cluster.doctor.findings import Finding, ok, problem, warning
from cluster.sizes import GB, size_text

LOW_DISK_BYTES = 5 * GB
LOW_INODES = 100_000
FORGETFUL = ("tmpfs", "ramfs")
"""File systems whose files are gone after a reboot."""
SLOW_FSYNC_S = 0.02
"""An accepted request waits for one such write, and a commit of many requests is one: 50 commits a second."""
VERY_SLOW_FSYNC_S = 0.2
CLOCK_WARNING_S = 2.0
CLOCK_PROBLEM_S = 60.0
"""Leases and due times are in the time of Postgres; what is a minute off is due a minute late or early."""
LITTLE_MEMORY_BYTES = 2 * GB
RAY_ENDS_AT = 0.95
"""Share of used memory above which Ray ends processes."""
MEMORY_USED = 0.85
OTHER_FILES = 1000
"""Files of a process beside its connections."""
FEWEST_FILES = 4096


class Clock(Struct, frozen=True):
    """``is_kept``: whether the kernel says that a time service keeps the clock; None where it does not say.
    ``ahead_s``: how far it is ahead of that of Postgres; None where that was not asked. ``within_s``: how exactly."""

    is_kept: bool | None
    ahead_s: float | None = None
    within_s: float = 0.0


class Disk(Struct, frozen=True):
    """The file system of data_dir. ``inodes``: files that may still be made; None where it sets no limit."""

    free: int
    inodes: int | None
    kind: str


class Memory(Struct, frozen=True):
    """``total``: of the machine, or of the control group that limits us."""

    total: int
    used: int


def of_clock(clock: Clock) -> Iterator[Finding]:
    off = 0.0 if clock.ahead_s is None else max(0.0, abs(clock.ahead_s) - clock.within_s)
    if clock.ahead_s is not None and off > CLOCK_WARNING_S:
        say = problem if off > CLOCK_PROBLEM_S else warning
        way = "ahead of" if clock.ahead_s > 0 else "behind"
        yield say(
            f"this clock is {off:.0f} s {way} that of Postgres: run a time service, such as chrony, on both machines"
        )
    elif clock.ahead_s is not None:
        yield ok("this clock and that of Postgres agree")
    if clock.is_kept is False:
        yield warning("no time service keeps this clock, says the kernel: run one, such as chrony or systemd-timesyncd")
    elif clock.is_kept:
        yield ok("a time service keeps this clock")
    elif clock.ahead_s is None:
        yield ok("this system does not say whether a time service keeps its clock")


def of_disk(disk: Disk, place: str, min_free: int) -> Iterator[Finding]:
    """``min_free``: bytes below which mail is refused."""
    free = size_text(disk.free)
    if disk.free < min_free:
        kept = f"the {size_text(min_free)} of http.min_free_disk_mb"
        yield problem(f"{free} free at {place}, less than {kept}: mail is refused; make room")
    elif disk.free < max(LOW_DISK_BYTES, 2 * min_free):
        yield warning(f"{free} free at {place}: below {size_text(min_free)} mail is refused; make room")
    else:
        yield ok(f"{free} free at {place}")
    if disk.inodes is not None and disk.inodes < LOW_INODES:
        yield warning(
            f"only {disk.inodes} more files can be made at {place}: remove files, or make the file system anew"
        )
    if disk.kind in FORGETFUL:
        yield problem(
            f"{place} is in memory ({disk.kind}), and gone after a reboot: set data_dir to a folder on a disk"
        )


def of_disk_speed(writes_s: Sequence[float], place: str) -> Finding:
    """``writes_s``: how long each of some small writes took until it was on the disk."""
    middle = median(writes_s)
    told = f"a write is on the disk of {place} after {middle * 1000:.1f} ms"
    if middle < SLOW_FSYNC_S:
        return ok(told)
    rate = 1 / middle
    say = problem if middle >= VERY_SLOW_FSYNC_S else warning
    return say(
        f"{told}, so there are {rate:.0f} commits a second, and accepting mail waits for each: use a "
        "faster disk, such as an SSD on the machine"
    )


def of_open_files(limit: int, connections: int) -> Finding:
    """``limit``: files that a process may open. ``connections``: those that one process is set to take."""
    if limit < FEWEST_FILES:
        return problem(f"a process may open only {limit} files: LimitNOFILE=65536 in the unit, or ulimit -n 65536")
    if limit < connections + OTHER_FILES:
        return warning(
            f"a process may open {limit} files, so it takes fewer than the {connections} connections of the settings: "
            "LimitNOFILE=65536 in the unit, or ulimit -n 65536"
        )
    return ok(f"a process may open {limit} files")


def of_memory(memory: Memory) -> Finding:
    share = memory.used / memory.total
    told = f"{size_text(memory.used)} of {size_text(memory.total)} of memory are in use"
    if share >= RAY_ENDS_AT:
        return problem(f"{told}: Ray ends processes above {RAY_ENDS_AT:.0%}; end other programs, or add memory")
    if memory.total < LITTLE_MEMORY_BYTES:
        return warning(
            f"{size_text(memory.total)} of memory is little: give postray {size_text(LITTLE_MEMORY_BYTES)} or more"
        )
    if share >= MEMORY_USED:
        return warning(f"{told}: above {RAY_ENDS_AT:.0%} Ray ends processes; end other programs, or add memory")
    return ok(told)
