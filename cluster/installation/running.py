"""The state of a running postray: the lock on its data directory, and data_dir/run.json.

The lock shows whether one is running (the kernel releases it when the process ends, in any way). The file has its
address and the processes it started, so that the next postray can end those that a killed one left behind.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil
from msgspec import Struct

from cluster.installation import run_folder
from cluster.installation.private_files import write_whole


class AlreadyRunning(Exception):
    """Another postray holds this data directory."""

    def __init__(self, data_dir: str) -> None:
        super().__init__(data_dir)
        self.data_dir = data_dir

    def __str__(self) -> str:
        return f"postray is already running on {self.data_dir} (postray status tells where)"


class ProcessMark(Struct, frozen=True, order=True):
    """Identifies a process, and not a later one with the same pid."""

    pid: int
    created: float


class Run(Struct, frozen=True, kw_only=True):
    """A running postray. It contains no secrets: not the journal's DSN, which may include a password."""

    pid: int
    url: str
    """The URL of the HTTP API."""
    page: str
    """The URL of the page of captured mail; empty when there is none."""
    tracking: str = ""
    """The URL that answers only recipients (``tracking.bind``); empty when there is none."""
    submission: str = ""
    """host:port that takes mail by SMTP; empty when there is none."""
    mail_in: str = ""
    """host:port that takes bounces, complaints and unsubscribes; empty when there is none."""
    sql: str = ""
    """The URL of the SQL door; empty when there is none."""
    metrics: str = ""
    """The URL that Prometheus reads."""
    console: str = ""
    """The URL of the console; empty when there is none."""
    processes: list[ProcessMark]
    waits_for: str = ""
    """While it stops: the hosts whose replies it waits for, as a sentence."""


class DataLock:
    """Holds a data directory for one postray at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "run.lock"
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Raises AlreadyRunning when another postray holds it."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise AlreadyRunning(str(self._path.parent)) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.close(self._descriptor)

    def is_free(self) -> bool:
        """Whether no process holds the lock."""
        try:
            with self:
                return True
        except AlreadyRunning:
            return False


def write_run(data_dir: Path, run: Run) -> None:
    """Publish the run atomically."""
    write_whole(data_dir / "run.json", msgspec.json.encode(run))


def read_run(data_dir: Path) -> Run | None:
    """The last postray of this directory, running or killed; None when there was none or it ended normally."""
    try:
        return msgspec.json.decode((data_dir / "run.json").read_bytes(), type=Run)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_run(data_dir: Path) -> None:
    (data_dir / "run.json").unlink(missing_ok=True)


def leftovers(data_dir: Path) -> list[ProcessMark]:
    """The processes that a killed postray of this directory left: those in run.json, and all that have a file of its
    run folder open. All processes of Ray have their logs open there, also those that started before or after run.json
    was written.

    Only for the holder of the lock: while a postray runs, these are its own processes.
    """
    former = read_run(data_dir)
    marks = set(former.processes) if former is not None else set()
    folder = run_folder.find(data_dir)
    if folder is not None:
        marks.update(_users_of(folder))
    return sorted(one for one in marks if one.pid != os.getpid())


def end_users_of(path: Path) -> list[int]:
    """End the processes of this user, other than this one, that have this file open; returns their pids."""
    return end([one for one in _users_of(path.resolve()) if one.pid != os.getpid()])


def _users_of(path: Path) -> Iterator[ProcessMark]:
    """The processes of this user that have a file open at the path or below it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.geteuid() and _has_open_below(process, path):
                yield mark(process)


def _has_open_below(process: psutil.Process, folder: Path) -> bool:
    return any(Path(file.path).is_relative_to(folder) for file in process.open_files())


def descendants() -> list[ProcessMark]:
    """Every process that this one started, and their descendants."""
    return [mark(process) for process in psutil.Process().children(recursive=True)]


def mark(process: psutil.Process) -> ProcessMark:
    return ProcessMark(process.pid, process.create_time())


def end(marks: list[ProcessMark], max_wait_s: float = 2.0) -> list[int]:
    """End these processes, if they are still the same; returns the pids of those that were running."""
    there = []
    for known in marks:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(known.pid)
            if process.create_time() == known.created and process.status() != psutil.STATUS_ZOMBIE:
                there.append(process)
    for process in there:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(there, timeout=max_wait_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=max_wait_s)
    return [process.pid for process in there]


def own_mark() -> ProcessMark:
    return mark(psutil.Process())
