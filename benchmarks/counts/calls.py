"""Function calls, counted by the interpreter: a measure close to instructions that is equal on every machine.

It counts Python functions (a coroutine each time it resumes) and the C functions that they call, by the file that they
are in or are called from. It does not see the work inside C code (psycopg, uvloop, OpenSSL).
"""

import sys
import threading
from collections import Counter
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
HARNESS = ("actors/capture", "cluster/smtpd", "benchmarks")
FILE_CALLS = frozenset({"fdatasync", "fsync", "pwrite", "pwritev", "write", "writev"})
"""Functions of module ``posix`` that write to files or sync them to disk."""


class Calls:
    """Counts from ``start`` to ``stop``, in every thread that begins after ``start``."""

    def __init__(self) -> None:
        self._of_threads: list[tuple[Counter[CodeType], Counter[CodeType], Counter[str]]] = []

    def start(self) -> None:
        threading.setprofile(self._begin)
        self._begin(sys._getframe(), "start", None)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _begin(self, frame: FrameType, event: str, argument: Any) -> None:
        """Called once in each thread, which then counts separately: two threads must not add to the same number."""
        python: Counter[CodeType] = Counter()
        c: Counter[CodeType] = Counter()
        files: Counter[str] = Counter()
        self._of_threads.append((python, c, files))

        def count(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call":
                python[frame.f_code] += 1
            elif event == "c_call":
                c[frame.f_code] += 1
                if argument.__module__ == "posix" and argument.__name__ in FILE_CALLS:
                    files[argument.__name__] += 1

        sys.setprofile(count)
        count(frame, event, argument)

    def by_package(self) -> dict[str, float]:
        """Calls so far, by package of ours, without the harness and the mail host."""
        found: Counter[str] = Counter()
        for python, c, _ in self._of_threads:
            for counted in (python, c):
                for code, times in list(counted.items()):
                    if package := _package(code.co_filename):
                        found[f"calls.{package}"] += times
        return dict(found)

    def of(self, qualified_name: str) -> int:
        """Calls so far of the Python functions with this qualified name."""
        return sum(
            times
            for python, _, _ in self._of_threads
            for code, times in list(python.items())
            if code.co_qualname == qualified_name
        )

    def files(self) -> dict[str, float]:
        """Calls so far that write to files, by name."""
        found: Counter[str] = Counter()
        for _, _, files in self._of_threads:
            found.update(files)
        return {f"files.{name}": times for name, times in found.items()}


@cache
def _package(file: str) -> str | None:
    path = Path(file)
    if not path.is_relative_to(ROOT) or "site-packages" in path.parts:
        return "libraries"
    inside = path.relative_to(ROOT)
    return None if str(inside).startswith(HARNESS) else inside.parts[0]
