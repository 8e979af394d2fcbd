"""The memory, descriptors and threads of every process of a running postray, by a name that describes the process.

It observes from outside, like ``benchmarks/usage.py``, but each process separately: a soak asks which of them grows.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import psutil
from msgspec import Struct

from benchmarks.postray import PostrayProcess

KIB = 1024
_POSTGRES = re.compile(r"^postgres: (?:\w+ \w+ \[local\] .*|(?P<task>[a-z ]+?)\s*(?:\d+)?)$")


class ProcessState(Struct, frozen=True, array_like=True):
    """The state of one process at one moment; memory in MiB."""

    resident: float
    proportional: float
    """Shared pages counted proportionally."""
    own: float
    """Anonymous memory, which it has allocated: neither files, which are shared or can be dropped, nor shared
    buffers."""
    descriptors: int
    threads: int


class ObservedProcess(Struct, frozen=True):
    """One process, in one life."""

    name: str
    pid: int
    created: float


def look(postray: PostrayProcess, applications: Mapping[int, str]) -> dict[ObservedProcess, ProcessState]:
    """Every process of ``postray``. ``applications``: the application names of Postgres's sessions by pid."""
    found = {}
    for part, pids in postray.parts().items():
        for pid in pids:
            try:
                process = psutil.Process(pid)
                name = _name(part, process, applications)
                found[ObservedProcess(name, pid, process.create_time())] = _held(process)
            except psutil.Error:
                continue  # it has ended meanwhile
    return found


def _held(process: psutil.Process) -> ProcessState:
    with process.oneshot():
        memory = _rollup(process.pid)
        return ProcessState(
            resident=round(memory["Rss"] / KIB, 2),
            proportional=round(memory["Pss"] / KIB, 2),
            own=round(memory["Anonymous"] / KIB, 2),
            descriptors=process.num_fds(),
            threads=process.num_threads(),
        )


def _rollup(pid: int) -> Mapping[str, int]:
    """The sums over all of its memory maps, in KiB (proc(5)). Raises psutil.Error when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    return {name: int(size.split()[0]) for name, _, size in (line.partition(":") for line in lines)}


def _name(part: str, process: psutil.Process, applications: Mapping[int, str]) -> str:
    if part == "ray":
        return f"ray {_program(process.cmdline())}"
    if part != "postgres":
        return part
    if process.pid in applications:
        return f"postgres for {applications[process.pid]}"
    matched = _POSTGRES.match(" ".join(process.cmdline()).strip())
    return f"postgres {(matched and matched['task']) or 'server'}".strip()


def _program(words: list[str]) -> str:
    """gcs_server, raylet, log_monitor, agent …: the first word of Ray's command lines that names a program."""
    for word in words:
        name = word.rpartition("/")[2]
        if word.startswith("ray::"):
            return word
        if not name.startswith(("python", "-")):
            return name.removesuffix(".py")
    return words[0] if words else "ended"
