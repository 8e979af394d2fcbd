"""What a node tells of the embedded Postgres that runs on it: processor, memory and files of all its processes."""

import time
from collections.abc import Callable
from math import nan
from pathlib import Path

import psutil
from msgspec import Struct

from cluster.metrics import Gauge, Seconds

FRESH_S = 5.0
"""What was seen is told again for so long: a look at thirty processes takes some milliseconds."""


class _Seen(Struct, frozen=True, kw_only=True):
    processes: float = nan
    cpu_s: float = nan
    memory_bytes: float = nan
    files: float = nan


class PostgresMetrics:
    """``directory``: of the embedded server. All is NaN where it does not run on this machine."""

    processes = Gauge(
        "postray_postgres_processes",
        "Processes of the embedded Postgres; NaN where it does not run on this node.",
        lambda postgres: postgres._seen().processes,
    )
    processor = Seconds(
        "postray_postgres_cpu_seconds_total",
        "Processor time of the embedded Postgres, of processes that have ended too.",
        lambda postgres: postgres._seen().cpu_s,
    )
    memory = Gauge(
        "postray_postgres_resident_memory_bytes",
        "Memory of the embedded Postgres; what its processes share counts once.",
        lambda postgres: postgres._seen().memory_bytes,
    )
    files = Gauge(
        "postray_postgres_open_fds",
        "Open files and sockets of the embedded Postgres.",
        lambda postgres: postgres._seen().files,
    )

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid_file = directory / "postmaster.pid"
        self._clock = clock
        self._last = _Seen()
        self._looked_at = clock() - FRESH_S

    def _seen(self) -> _Seen:
        if self._clock() - self._looked_at >= FRESH_S:
            self._last, self._looked_at = self._look(), self._clock()
        return self._last

    def _look(self) -> _Seen:
        try:
            postmaster = psutil.Process(int(self._pid_file.read_text(encoding="ascii").split("\n", 1)[0]))
            if "postgres" not in postmaster.name():
                return _Seen()  # of a server that was killed; its number went to another process
            own = postmaster.cpu_times()
            processes = [postmaster, *postmaster.children()]
        except (OSError, ValueError, psutil.Error):
            return _Seen()
        # Those that have ended count with the process that has started them.
        cpu_s, shared, apart, files, count = own.children_user + own.children_system, 0, 0, 0, 0
        for process in processes:
            try:
                took, memory, open_files = process.cpu_times(), process.memory_info(), process.num_fds()
            except psutil.Error:
                continue  # it has just ended
            cpu_s += took.user + took.system
            shared = max(shared, memory.shared)
            apart += memory.rss - memory.shared
            files += open_files
            count += 1
        return _Seen(processes=count, cpu_s=cpu_s, memory_bytes=shared + apart, files=files)
