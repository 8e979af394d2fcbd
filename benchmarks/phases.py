"""The phases of a scenario, shown while they last, and their durations."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SHOWN_PER_S = 2
"""Each refresh costs 2 ms on the measured machine."""

Tell = Callable[[str, float], None]
"""Gets the text to show for a phase, and the amount that is done."""


class Phases:
    """Shows one line per phase. ``took_s``: the seconds of the finished phases, by name."""

    def __init__(self, console: Console) -> None:
        self.took_s: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(20),
            TextColumn("{task.fields[told]}"),
            console=console,
            refresh_per_second=SHOWN_PER_S,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._progress:
            yield

    @contextmanager
    def phase(self, name: str, total: float | None = None) -> Iterator[Tell]:
        """``total``: the amount of work; None when it is not known."""
        began = time.monotonic()
        task = self._progress.add_task(name, total=total, told="")
        last = ""

        def tell(told: str, done: float = 0.0) -> None:
            nonlocal last
            last = told
            self._progress.update(task, told=f"{time.monotonic() - began:4.0f} s  {told}", completed=done)

        tell("")
        yield tell
        self.took_s[name] = round(time.monotonic() - began, 1)
        tell(last, total or 1)
        self._progress.update(task, total=total or 1)
