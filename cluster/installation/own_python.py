"""The interpreter that we run under, for processes of our own code."""

import sys


def run_module(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules as a program.

    ``-P``: ``-m`` alone takes modules from the current folder first, and what lies there may be another user's.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
