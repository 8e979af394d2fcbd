"""What every process of postray tells of itself: processor, memory, files, and how late its event loop comes round."""

import asyncio
import resource
from collections.abc import Callable

import psutil

from cluster.metrics import Gauge, Histogram, Seconds

LOOK_S = 0.5


class ProcessMetrics:
    """Of this process. ``clock``: monotonic seconds."""

    lag = Histogram(
        "postray_process_loop_lag_seconds",
        "How late the event loop came round, looked at twice a second.",
        (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15),
    )
    worst_lag = Gauge(
        "postray_process_loop_lag_worst_seconds",
        "The latest that the event loop came round in the last minute.",
        lambda process: process._worst_s(),
    )
    processor = Seconds(
        "postray_process_cpu_seconds_total", "Processor time, of user and system.", lambda process: _processor_s()
    )
    memory = Gauge(
        "postray_process_resident_memory_bytes",
        "Memory in use, what it shares with others included.",
        lambda process: process._process.memory_info().rss,
    )
    files = Gauge("postray_process_open_fds", "Open files and sockets.", lambda process: process._process.num_fds())
    most_files = Gauge("postray_process_max_fds", "Files and sockets that may be open.", lambda process: _most_files())
    started = Gauge(
        "postray_process_start_time_seconds",
        "When the process started, since the epoch.",
        lambda process: process._process.create_time(),
    )

    def __init__(self, clock: Callable[[], float], late: Callable[[float], None] = lambda late_s: None) -> None:
        """``late`` is told how late the event loop came round, at each look."""
        self._clock = clock
        self._late = late
        self._process = psutil.Process()
        self._this: tuple[float, float] = (clock(), 0.0)
        self._last_s = 0.0
        """The worst of the minute before ``_this``."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            due = self._clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.note(max(0.0, self._clock() - due))

    def note(self, late_s: float) -> None:
        """The loop came round so late."""
        self.lag.observe(late_s)
        self._late(late_s)
        since, worst = self._this
        if self._clock() - since >= 60.0:
            since, worst, self._last_s = self._clock(), 0.0, worst
        self._this = since, max(worst, late_s)

    def _worst_s(self) -> float:
        return max(self._this[1], self._last_s)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _most_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
