"""The phases of a scenario, shown while they last, and how long each took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SHOWN_PER_S = 2
"""Each time costs 2 ms, of the machine that is measured."""

Tell = Callable[[str, float], None]
"""Told what is to be shown of a phase, and how much of it is done."""


class Phases:
    """A line each. ``took_s``: seconds by name, of those that are over."""

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
        """``total``: how much there is to do; None when that is not known."""
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
