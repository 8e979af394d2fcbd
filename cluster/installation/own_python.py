"""The interpreter of this process, for processes with our own code."""

import sys


def run_module(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules as a program.

    ``-P``: ``-m`` alone would import from the current folder first, whose files may be another user's.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
