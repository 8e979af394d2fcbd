"""A run: opened once, warmed up, repeated, and always closed."""

import asyncio
from io import StringIO

import pytest
from msgspec import Struct
from rich.console import Console

from benchmarks.phases import Tell
from benchmarks.records import Better, Record, Repeat
from benchmarks.runner import Measure, Repeats, run


class Settings(Struct, frozen=True):
    size: int = 7


class Counting:
    """A scenario that counts its measurements."""

    name = "counting"
    title = "how often"
    notes = ("a note",)
    settings = Settings()
    measures = (Measure("times", "1", Better.HIGHER, 2.0), Measure("never measured", "1", Better.LOWER))

    def __init__(self, lost: int = 0, fails: bool = False) -> None:
        self.calls: list[str | float] = []
        self._lost = lost
        self._fails = fails

    async def open(self, tell: Tell) -> None:
        self.calls.append("open")

    async def measure(self, share: float, tell: Tell) -> Repeat:
        self.calls.append(share)
        if self._fails:
            raise RuntimeError("it broke")
        times = float(len(self.calls))
        return Repeat(figures={"times": times}, seconds=0.0, promised=10, counted=10 - self._lost)

    async def close(self) -> None:
        self.calls.append("close")


def ran(scenario: Counting, repeats: Repeats) -> Record:
    return asyncio.run(run(scenario, repeats, Console(file=StringIO())))


def test_a_run_warms_up_and_counts_only_the_repeats() -> None:
    scenario = Counting()
    record = ran(scenario, Repeats(repeats=2, warm_up=0.25))
    assert scenario.calls == ["open", 0.25, 1.0, 1.0, "close"]
    (figure,) = record.figures
    assert figure.values == (3.0, 4.0)
    assert figure.passes
    assert record.settings == {"size": 7, "repeats": 2, "warm_up": 0.25, "longest": 900}
    assert record.machine["cpus"]
    assert record.broken == ()


def test_without_a_warm_up() -> None:
    scenario = Counting()
    ran(scenario, Repeats(repeats=1, warm_up=0.0))
    assert scenario.calls == ["open", 1.0, "close"]


def test_what_was_lost_is_told() -> None:
    record = ran(Counting(lost=3), Repeats(repeats=5, warm_up=0.0))
    assert record.broken == ("repeat 1: 3 of 10 messages lost",)


def test_nothing_is_measured_after_a_loss() -> None:
    scenario = Counting(lost=3)
    assert ran(scenario, Repeats(repeats=5)).broken
    assert scenario.calls == ["open", 0.2, "close"]


def test_a_scenario_that_breaks_is_closed() -> None:
    scenario = Counting(fails=True)
    with pytest.raises(RuntimeError, match="it broke"):
        ran(scenario, Repeats())
    assert scenario.calls[-1] == "close"
