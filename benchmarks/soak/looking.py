"""What every process of a running postray holds now: memory, descriptors and threads, by a name that says what it does.

Looks from outside, as ``benchmarks/usage.py`` does, but at each process by itself: a soak asks which of them grows.
"""

import re
from collections.abc import Mapping

import psutil
from msgspec import Struct

from benchmarks.postray import Postray

MIB = 2**20
_POSTGRES = re.compile(r"^postgres: (?:\w+ \w+ \[local\] .*|(?P<task>[a-z ]+?)\s*(?:\d+)?)$")


class Held(Struct, frozen=True, array_like=True):
    """What one process held at one moment; memory in MiB."""

    resident: float
    proportional: float
    """Shared pages counted in shares."""
    private: float
    """What would be free if it ended: the memory that is its own."""
    descriptors: int
    threads: int


class Process(Struct, frozen=True):
    """One process in one life."""

    name: str
    pid: int
    created: float


def look(postray: Postray, applications: Mapping[int, str]) -> dict[Process, Held]:
    """Every process of ``postray``. ``applications``: the names that Postgres knows for the pids of its sessions."""
    found = {}
    for part, pids in postray.parts().items():
        for pid in pids:
            try:
                process = psutil.Process(pid)
                name = _name(part, process, applications)
                found[Process(name, pid, process.create_time())] = _held(process)
            except psutil.Error:
                continue  # it has ended meanwhile
    return found


def _held(process: psutil.Process) -> Held:
    with process.oneshot():
        memory = process.memory_full_info()
        resident, proportional, private = (round(size / MIB, 2) for size in (memory.rss, memory.pss, memory.uss))
        return Held(resident, proportional, private, process.num_fds(), process.num_threads())


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
    """gcs_server, raylet, log_monitor, agent …: of Ray's own command lines the first word that names a program."""
    for word in words:
        name = word.rpartition("/")[2]
        if word.startswith("ray::"):
            return word
        if not name.startswith(("python", "-")):
            return name.removesuffix(".py")
    return words[0] if words else "ended"
