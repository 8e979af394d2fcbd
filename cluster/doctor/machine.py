"""Checks of the machine: clock, disk, limits of open files, memory."""

import contextlib
import ctypes
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from cluster.doctor.findings import Finding, Installation, problem
from cluster.doctor.judging import machine as judging
from cluster.doctor.reading import read_journal
from cluster.journal.journal import Unavailable

WRITES = 15
WRITTEN = b"\0" * 8192
"""A page of Postgres."""
LONGEST_WRITES_S = 5.0
"""After this, no more writes are tried."""

TIME_ERROR = 5
"""What adjtimex returns of a clock that no time service keeps."""
TIMEX_BYTES = 256
"""More than the structure that adjtimex fills has; its first field is what to change: nothing."""
GROUP = Path("/sys/fs/cgroup")


def clock(installation: Installation) -> Iterator[Finding]:
    """Whether the clock is right, as far as that can be known here."""
    ahead_s, within_s = None, 0.0
    if installation.has_journal:
        try:
            before = datetime.now(UTC)
            facts = read_journal(installation, lambda journal: journal.server.facts())
            after = datetime.now(UTC)
        except Unavailable:
            pass  # another check reports this
        else:
            within_s = (after - before).total_seconds() / 2
            ahead_s = (before + (after - before) / 2 - facts.now).total_seconds()
    yield from judging.of_clock(judging.Clock(_is_kept(), ahead_s, within_s))


def _is_kept() -> bool | None:
    """Whether the kernel says that a time service keeps the clock; None where there is no such kernel."""
    adjust = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjust is None:
        return None
    state = adjust(ctypes.create_string_buffer(TIMEX_BYTES))
    return None if state < 0 else bool(state != TIME_ERROR)


def disk(installation: Installation) -> Iterator[Finding]:
    """Whether the file system of data_dir has room, and keeps what is written."""
    place = installation.data_dir
    found = os.statvfs(place)
    facts = judging.Disk(
        free=shutil.disk_usage(place).free, inodes=found.f_favail if found.f_files else None, kind=_kind(place)
    )
    yield from judging.of_disk(facts, str(place), installation.settings.http.min_free_disk_mb * 1024**2)


def _kind(place: Path) -> str:
    """The kind of the file system that a folder is in; "" where the system does not say."""
    mounted = [one for one in psutil.disk_partitions(all=True) if place.is_relative_to(one.mountpoint)]
    return max(mounted, key=lambda one: len(one.mountpoint)).fstype if mounted else ""


def disk_speed(installation: Installation) -> Iterator[Finding]:
    """How long it takes until a write is on the disk. The file has no name, so nothing is left of it."""
    try:
        yield judging.of_disk_speed(_writes(installation.data_dir), str(installation.data_dir))
    except OSError as error:
        yield problem(f"{installation.data_dir} cannot be written to: {error.strerror}")


def _writes(place: Path) -> list[float]:
    """Raises OSError."""
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=place, buffering=0) as file:
        while len(taken) < WRITES and sum(taken) < LONGEST_WRITES_S:
            began = time.perf_counter()
            file.write(WRITTEN)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return taken


def open_files(installation: Installation) -> Iterator[Finding]:
    """The limit of open files: of the running postray, else of what is started here."""
    run, settings = installation.run, installation.settings
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if run is not None and hasattr(resource, "prlimit"):
        # The command that started it may have ended, or be another user's; then ours are the limits of the next one.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            limit = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)[1]
    most = limit if limit != resource.RLIM_INFINITY else 2**31
    submission = settings.submission.max_connections if settings.submission.bind or settings.submission.tls_bind else 0
    yield judging.of_open_files(most, settings.http.max_connections + submission)


def memory(installation: Installation) -> Iterator[Finding]:
    """How much memory there is, and how much of it is in use."""
    found = psutil.virtual_memory()
    total, used = found.total, found.total - found.available
    limit = _group_limit()
    if limit is not None and limit < total:
        total, used = limit, min(limit, _group_used())
    yield judging.of_memory(judging.Memory(total, used))


def _group_limit() -> int | None:
    """The limit of our control group, in bytes; None without one."""
    try:
        text = (_group() / "memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if text == "max" else int(text)


def _group_used() -> int:
    """What the control group uses and cannot give back: without its cache of files."""
    used = int((_group() / "memory.current").read_text(encoding="ascii"))
    lines = (line.split() for line in (_group() / "memory.stat").read_text(encoding="ascii").splitlines())
    return used - int(dict(lines).get("inactive_file", 0))


def _group() -> Path:
    """Our control group's folder. Raises OSError where there is none (of version 2)."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::/"):
            return GROUP / line.removeprefix("0::/")
    raise FileNotFoundError(GROUP)
