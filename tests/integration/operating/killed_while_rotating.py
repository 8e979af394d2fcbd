"""Rotations that are killed before each of their calls that touch the disk; prints the states that they leave.

``python -m tests.integration.operating.killed_while_rotating FOLDER STEP TIME``: each state is the secret.key that a
killed process left.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from cluster.installation.rotation import rotate, settle
from cluster.vault import FILE, find_ring

MOST_CALLS = 100


class Killed(msgspec.Struct):
    """A kill, and what it left."""

    step: str
    call: int
    text: str


def steps(folder: Path, now: datetime) -> dict[str, Callable[[], object]]:
    ring = find_ring("", "", folder)
    assert ring is not None
    former = frozenset(one.key for one in ring.former)
    return {"rotate": lambda: rotate(folder), "settle": lambda: settle(folder, former, now)}


def kill_before_each_call(folder: Path, name: str, step: Callable[[], object]) -> list[Killed]:
    original = (folder / FILE).read_bytes()
    killed = []
    for call in range(1, MOST_CALLS):
        (folder / FILE).write_bytes(original)
        child = os.fork()
        if child == 0:
            kill_self_before(call, folder)
            step()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed.append(Killed(name, call, (folder / FILE).read_text()))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return killed
    raise AssertionError("it has no end")


def kill_self_before(call: int, folder: Path) -> None:
    """End this process at its nth call that names something in the folder."""
    left = call

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        named = [os.fspath(one) for one in arguments if isinstance(one, str | Path)]
        if event.startswith(("open", "os.")) and any(one.startswith(str(folder)) for one in named):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(folder: Path, step: str, now: datetime) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(kill_before_each_call(folder, step, steps(folder, now)[step])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3]))
