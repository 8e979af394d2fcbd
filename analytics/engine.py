"""The embedded engine (chDB): opening it, or the driver, so that the process stays small. Called by ``client``.

The engine's defaults assume a dedicated machine, and its library is half a gigabyte. What is not needed is not loaded,
or its memory is released.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
from clickhouse_connect.driver import options

from analytics.pages import page_out

LIBRARY = "_chdb.abi3.so"

OPTIONS = {
    # By default each cache may grow to 5 GB, and the engine to 90 % of memory.
    "max_server_memory_usage": str(2 * 1024**3),
    "mark_cache_size": str(16 * 1024**2),
    "index_mark_cache_size": str(8 * 1024**2),
    "primary_index_cache_size": str(32 * 1024**2),
    "query_condition_cache_size": str(4 * 1024**2),
    # By default it measures its own memory so often that this takes 0.3 % of a core.
    "memory_worker_period_ms": "1000",
}
FIRST = {"priority": "1"}
"""Settings of the recorder's connection: while one of its statements runs, queries of a larger number wait at their
next block (``door.embedded.YIELDING``)."""
DATA_FRAMES = ("numpy", "pandas", "pyarrow")
"""Libraries that the driver and chDB import, if installed, in case a caller asks for data frames: about 80 MB."""

LOCK = "status"
"""The file in the engine's folder that it holds locked."""
BACKUPS = "backups"
"""The folder, in the engine's, that its BACKUP writes to and its RESTORE reads."""


def _options(path: Path) -> dict[str, str]:
    return OPTIONS | {"backups.allowed_path": os.path.join(os.path.realpath(path), BACKUPS)}


def open_engine(path: Path) -> Any:
    """A clickhouse-connect client over the engine in this directory; call it within ``without_data_frames``."""
    return clickhouse_connect.get_client(interface="chdb", path=str(path), chdb_options=_options(path), settings=FIRST)


def connect(path: Path | None) -> Any:
    """A further connection of the engine that this process runs in this directory, with settings of its own; for one
    thread at a time. None: of an engine in memory, where the process runs no other. Raises RuntimeError."""
    with without_data_frames():
        import chdb

        return chdb.connect(f"{os.path.realpath(path)}?{urlencode(_options(path))}" if path else ":memory:")


def give_back() -> None:
    """Release the pages that were used for loading the engine and migrating its schema."""
    page_out(LIBRARY)


@contextmanager
def without_data_frames() -> Iterator[None]:
    """Within this context, importing the data frame libraries fails as if they were not installed; those that are
    loaded already stay.

    chDB looks for them when it is opened, the driver at its first insert unless it was asked before; both keep the
    result.
    """
    hidden = [name for name in DATA_FRAMES if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is the import system's word for absent
    try:
        for known_as in ("np", "pd", "arrow"):
            getattr(options, known_as)
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
