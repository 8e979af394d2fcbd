"""``python -m benchmarks``, run like an operator."""

import subprocess
import sys
from pathlib import Path


def benchmark(*arguments: str, most_s: float) -> subprocess.CompletedProcess[str]:
    """What it printed, and its exit status. Raises subprocess.TimeoutExpired after ``most_s``."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=most_s,
        check=False,
    )
