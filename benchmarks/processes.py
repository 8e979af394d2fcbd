"""Processes of the machine: who descends of whom, and ending them by force."""

from collections.abc import Collection, Sequence
from contextlib import suppress

import psutil

from cluster.installation import running

END_S = 5.0


def is_under(pid: int, ancestor: int) -> bool:
    """Whether a process is alive and a descendant of ``ancestor``: its pid may have been reused."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any(one.pid == ancestor for one in process.parents())
    except psutil.NoSuchProcess:
        return False


def with_children(pids: Collection[int]) -> list[running.ProcessMark]:
    """These processes, as far as they exist, and all of their descendants."""
    marks: set[running.ProcessMark] = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    marks.add(running.mark(one))
    return sorted(marks)


def kill_all(marks: Sequence[running.ProcessMark]) -> list[int]:
    """SIGKILL the processes that are still the same, and wait for their end; returns their pids."""
    alive = []
    for mark in marks:
        try:
            process = psutil.Process(mark.pid)
            if process.create_time() == mark.created:
                process.kill()
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=END_S)
    return [process.pid for process in alive]
