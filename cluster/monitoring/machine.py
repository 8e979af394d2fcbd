"""What a node tells of its machine: the disk of the data directory, and memory."""

from math import nan
from pathlib import Path

import psutil

from cluster.metrics import Gauge


class MachineMetrics:
    """``data_dir``: a folder on the disk in question. ``kept_free_bytes``: the setting http.min_free_disk_mb."""

    free = Gauge(
        "postray_disk_free_bytes",
        "Free space on the disk of data_dir; NaN when it cannot be told.",
        lambda machine: machine._disk("free"),
    )
    size = Gauge(
        "postray_disk_size_bytes",
        "Size of the disk of data_dir; NaN when it cannot be told.",
        lambda machine: machine._disk("total"),
    )
    kept_free = Gauge(
        "postray_disk_kept_free_bytes",
        "With less free space on the embedded journal's disk, mail is refused (http.min_free_disk_mb).",
        lambda machine: machine._kept_free_bytes,
    )
    available = Gauge(
        "postray_machine_memory_available_bytes",
        "Memory that the machine can still give.",
        lambda machine: psutil.virtual_memory().available,
    )
    memory = Gauge(
        "postray_machine_memory_bytes", "Memory of the machine.", lambda machine: psutil.virtual_memory().total
    )

    def __init__(self, data_dir: Path, kept_free_bytes: int) -> None:
        self._data_dir = data_dir
        self._kept_free_bytes = kept_free_bytes

    def _disk(self, what: str) -> float:
        try:
            found: float = getattr(psutil.disk_usage(str(self._data_dir)), what)
        except OSError:
            return nan
        return found
