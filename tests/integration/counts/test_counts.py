"""No message may cost more than before: counts that are the same on every machine are compared with bounds.toml.

The count runs in a separate process: `python -m benchmarks counts` prints the same table. A count above its bound is a
regression; for a count far below it, the bound should be tightened (`--tighten` writes it).
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.counts.bounds import read
from benchmarks.counts.command import BOUNDS

LONGEST_S = 600
"""About twenty seconds on an idle machine; much more on a busy one."""


def test_counts_are_within_their_bounds() -> None:
    counting = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "counts", "--bounds", str(BOUNDS)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        told, _ = counting.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        counting.terminate()  # so that it ends its Postgres
        told, _ = counting.communicate()
    assert counting.returncode == 0, told


def test_every_bound_says_why() -> None:
    bounds = read(BOUNDS.read_text(encoding="utf-8"))
    assert bounds
    assert all(len(bound.why.split()) > 3 for bound in bounds.values())
