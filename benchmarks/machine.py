"""What a run ran on: machine and code, as far as they matter to a figure."""

import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]


def machine() -> dict[str, Any]:
    """What the run ran on, as far as it matters."""
    return {
        "cpus": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit of the code, with ``+`` when files differ from it; empty outside of a repository."""
    try:
        head, changes = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.strip() + ("+" if changes.strip() else "")
