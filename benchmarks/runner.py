"""Running a scenario: open once, warm up, repeat, close in any case; and its record.

The runner does not know what is measured. A scenario does not know about repeats: ``measure`` measures once.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct
from rich.console import Console

from benchmarks.blocking import cancel_once_on_signals
from benchmarks.machine import commit, machine, signature_us
from benchmarks.phases import Phases, Tell
from benchmarks.records import Better, Figure, Record, Repeat


class Missing(Exception):
    """A scenario needs something that this machine lacks; the message names it, with the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Measure(Struct, frozen=True):
    """A quantity that a scenario measures in each repeat."""

    name: str
    unit: str
    better: Better
    target: float | None = None


class Scenario(Protocol):
    """One thing to measure. ``open`` and ``close`` are called once, ``measure`` any number of times between them."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """A line that says what is measured."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to understand the figures."""

    @property
    def settings(self) -> Struct:
        """Its options, for the record."""

    @property
    def measures(self) -> tuple[Measure, ...]: ...

    async def open(self, tell: Tell) -> None:
        """Raises Missing when it cannot be measured on this machine."""

    async def measure(self, share: float, tell: Tell) -> Repeat:
        """One repeat; or for warming up, a ``share`` of one, by time or by messages."""

    async def close(self) -> None:
        """Leave nothing running; also after a failed or cancelled ``open``."""


class Repeats(Struct, frozen=True, kw_only=True):
    """The number of repeats, and the warm-up."""

    repeats: Annotated[int, Meta(ge=1, le=100, description="Repeats that count.")] = 3
    warm_up: Annotated[
        float, Meta(ge=0, le=1, description="Share of a repeat that is done before, and not counted.")
    ] = 0.2
    longest: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds: a repeat that takes longer is aborted, and so is the run.")
    ] = 900


async def run(scenario: Scenario, repeats: Repeats, console: Console) -> Record:
    """One run, shown on ``console``."""
    cancel_once_on_signals()
    started_at, began = datetime.now(UTC), time.monotonic()
    phases = Phases(console)
    console.print(f"[bold]{scenario.name}[/]: {scenario.title}")
    speed = [signature_us()]
    with phases.shown():
        try:
            with phases.phase("starting") as tell:
                await scenario.open(tell)
            found = await _repeated(scenario, repeats, phases)
        finally:
            with phases.phase("ending"):
                await _to_the_end(scenario)
    speed.append(signature_us())
    return record(scenario, repeats, found, started_at, time.monotonic() - began, speed)


async def _repeated(scenario: Scenario, repeats: Repeats, phases: Phases) -> list[Repeat]:
    """The repeats that count. The run ends with one that lost messages, even the warm-up: more repeats are
    pointless."""
    if repeats.warm_up:
        with phases.phase("warm-up") as tell:
            warm_up = await _bounded(scenario, repeats.warm_up, repeats.longest, tell)
        if warm_up.lost:
            return [warm_up]
    found: list[Repeat] = []
    for number in range(1, repeats.repeats + 1):
        with phases.phase(f"{number} of {repeats.repeats}") as tell:
            found.append(await _bounded(scenario, 1.0, repeats.longest, tell))
        if found[-1].lost:
            break
    return found


async def _bounded(scenario: Scenario, share: float, longest_s: float, tell: Tell) -> Repeat:
    async with asyncio.timeout(longest_s):
        return await scenario.measure(share, tell)


async def _to_the_end(scenario: Scenario) -> None:
    """Close, even when the task is cancelled meanwhile."""
    closing = asyncio.create_task(scenario.close())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait({closing})
        raise


def record(
    scenario: Scenario,
    repeats: Repeats,
    found: Sequence[Repeat],
    started_at: datetime,
    took_s: float,
    speed: Sequence[float],
) -> Record:
    """The complete record of a run."""
    return Record(
        scenario=scenario.name,
        title=scenario.title,
        started_at=started_at.isoformat(timespec="seconds"),
        took_s=round(took_s, 1),
        commit=commit(),
        machine=machine(),
        settings=msgspec.to_builtins(scenario.settings) | msgspec.to_builtins(repeats),
        figures=tuple(_figures(scenario.measures, found)),
        repeats=tuple(found),
        signature_us=tuple(speed),
        notes=scenario.notes,
        broken=tuple(_broken(found)),
    )


def _figures(measures: Sequence[Measure], found: Sequence[Repeat]) -> list[Figure]:
    return [
        Figure(name=m.name, unit=m.unit, better=m.better, target=m.target, values=values)
        for m in measures
        if (values := tuple(repeat.figures[m.name] for repeat in found if m.name in repeat.figures))
    ]


def _broken(found: Sequence[Repeat]) -> list[str]:
    return [
        f"repeat {number}: {repeat.lost} of {repeat.promised} messages lost"
        for number, repeat in enumerate(found, 1)
        if repeat.lost
    ]
