"""Processes of actors, without Ray (``one_of_a_kind.py``)."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MAX_WAIT_S = 20.0


class Process:
    """One of a kind. What it says is in a file."""

    def __init__(self, kind: str, dsn: str, data_dir: Path) -> None:
        data_dir.mkdir(exist_ok=True)
        self._said = data_dir / f"{time.monotonic_ns()}.out"
        with self._said.open("wb") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.cluster.one_of_a_kind", kind, dsn, str(data_dir)], stdout=out
            )

    @property
    def said(self) -> list[str]:
        return self._said.read_text(encoding="utf-8").splitlines()

    def until_said(self, beginning: str, after: int = 0) -> None:
        """Return when it has said this, in a line after so many others."""
        deadline = time.monotonic() + MAX_WAIT_S
        while not any(line.startswith(beginning) for line in self.said[after:]):
            assert self.popen.poll() is None, "it ended"
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)


Started = Callable[[str, Path], Process]
