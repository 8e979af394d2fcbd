"""The soak: single sends at a steady rate for a long time, while the values of each process are recorded.

The harness itself keeps only what is in progress, so that it can run for hours: it tracks messages by id only between
their 202 and their arrival.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import psycopg
from msgspec import Meta
from rich.console import Console

from benchmarks.blocking import cancel_once_on_signals
from benchmarks.load import Load
from benchmarks.machine import commit, machine
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Phases, Tell
from benchmarks.scenarios.sending import Clients, SendingWorld, WorldOptions
from benchmarks.sink_log import Receipt
from benchmarks.soak.observing import look
from benchmarks.soak.record import Look, SoakRecord, broken, judge, keyed, together

LOOK_S = 10.0
COUNT_S = 1.0
LINE_S = 60.0
"""Between two progress lines: they remain, while the bar is overwritten or not shown."""
SETTLED_S = 600.0
REST_S = 60.0
"""How long the last messages may take after the end of the load."""


class SoakOptions(WorldOptions, frozen=True, kw_only=True):
    """The options of a soak."""

    minutes: Annotated[float, Meta(ge=0.5, le=480, description="Of load.")] = 60.0
    rate: Annotated[float, Meta(ge=1, le=5000, description="Messages a second, a request each.")] = 300.0
    clients: Clients = 64
    domains: Annotated[int, Meta(ge=1, le=10_000_000, description="Recipients' domains, in turn.")] = 10_000
    text_bytes: Annotated[int, Meta(ge=1, le=1_000_000, description="Of the text part.")] = 200
    html_bytes: Annotated[int, Meta(ge=1, le=1_000_000, description="Of the HTML part.")] = 400

    @property
    def settled_s(self) -> float:
        """The moment that the end is compared with: the tenth minute, or the middle of a shorter run."""
        return min(SETTLED_S, self.minutes * 60 / 2)


class Balance:
    """Promised against arrived messages; its memory holds only messages in progress."""

    def __init__(self) -> None:
        self.promised = 0
        self.delivered = 0
        self._open: dict[str, int] = {}
        """Ids seen on one side only: above 0 promised, below 0 arrived."""

    def promise(self, message_id: str) -> None:
        self.promised += 1
        self._weigh(message_id, 1)

    def arrive(self, message_id: str) -> None:
        self.delivered += 1
        self._weigh(message_id, -1)

    def _weigh(self, message_id: str, by: int) -> None:
        weight = self._open.get(message_id, 0) + by
        if weight:
            self._open[message_id] = weight
        else:
            self._open.pop(message_id, None)

    @property
    def lost(self) -> int:
        return sum(weight for weight in self._open.values() if weight > 0)

    @property
    def copies(self) -> int:
        return -sum(weight for weight in self._open.values() if weight < 0)


class Soak:
    """One soak, from ``open`` to ``close``."""

    def __init__(self, options: SoakOptions) -> None:
        self._options = options
        self._sending = SendingWorld(options)
        shape = Shape(text_bytes=options.text_bytes, html_bytes=options.html_bytes)
        self._mail = Mail(shape, lambda number: f"d{number % options.domains}.example.org")
        self._balance = Balance()
        self.looks: list[Look] = []

    @property
    def balance(self) -> Balance:
        return self._balance

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        self._tail = self._sending.world.sink.tail()

    async def close(self) -> None:
        await self._sending.close()

    async def load(self, tell: Tell, say: Callable[[str], None]) -> None:
        """Run the whole load, with an observation every ``LOOK_S`` and a line every ``LINE_S``.

        Raises benchmarks.load.Refused.
        """
        load = self._sending.load(self._options.clients)
        await load.open()
        began = time.monotonic()
        looking = asyncio.create_task(self._look_until_cancelled(load, began, tell, say))
        try:
            await load.at_rate(self._bodies(began), self._options.rate)
        finally:
            looking.cancel()
            await asyncio.wait({looking})
            load.close()
        await self._rest(load, tell)

    def _bodies(self, began: float) -> Iterator[bytes]:
        """One message each, at the given rate, and none after the last minute."""
        options = self._options
        ends = began + options.minutes * 60
        for body in self._sending.bodies(self._mail, round(options.minutes * 60 * options.rate), 1):
            if time.monotonic() >= ends:
                return
            yield body

    async def _look_until_cancelled(self, load: Load, began: float, tell: Tell, say: Callable[[str], None]) -> None:
        next_look, next_line = LOOK_S, LINE_S
        while True:
            await asyncio.sleep(COUNT_S)
            self._count(load)
            at_s = time.monotonic() - began
            if at_s >= next_look:
                next_look += LOOK_S
                await self._look(at_s)
            told = f"{self._balance.delivered:,} delivered"
            if self.looks:
                now = together(self.looks[-1].held.values())
                told += f", {now.own:,.0f} MiB and {now.descriptors:,} descriptors in all"
            tell(told, at_s)
            if at_s >= next_line:
                next_line += LINE_S
                say(f"minute {at_s / 60:.0f}: {told}")

    async def _look(self, at_s: float) -> None:
        world = self._sending.world
        found = await asyncio.to_thread(lambda: look(world.postray, _applications(world.dsn)))
        self.looks.append(Look(round(at_s, 1), self._balance.delivered, keyed(found)))

    def _count(self, load: Load) -> None:
        accepted, load.accepted = load.accepted, []
        for one in accepted:
            for message_id in one.message_ids:
                self._balance.promise(message_id)
        for line in self._tail.take():
            if isinstance(line, Receipt) and line.accepted:
                self._balance.arrive(line.message_id)

    async def _rest(self, load: Load, tell: Tell) -> None:
        deadline = time.monotonic() + REST_S
        while True:
            self._count(load)
            if not self._balance.lost or time.monotonic() > deadline:
                return
            tell(f"{self._balance.lost} on their way", self._options.minutes * 60)
            await asyncio.sleep(COUNT_S)


def _applications(dsn: str) -> dict[int, str]:
    """The application names of Postgres's sessions, by the pids of their processes."""
    with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid, application_name FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        ).fetchall()
        return dict(rows)
    return {}


async def run(options: SoakOptions, console: Console) -> SoakRecord:
    """One complete soak. Everything it starts has ended when it returns."""
    cancel_once_on_signals()
    started_at, began = datetime.now(UTC), time.monotonic()
    soak, phases = Soak(options), Phases(console)
    with phases.shown():
        try:
            with phases.phase("starting") as tell:
                await soak.open(tell)
            with phases.phase("soaking", options.minutes * 60) as tell:
                await soak.load(tell, console.print)
        finally:
            with phases.phase("ending"):
                await _closed(soak)
    balance = soak.balance
    record = SoakRecord(
        scenario="soak",
        started_at=started_at.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        commit=commit(),
        machine=machine(),
        settings=msgspec.to_builtins(options),
        settled_s=options.settled_s,
        promised=balance.promised,
        delivered=balance.delivered,
        lost=balance.lost,
        copies=balance.copies,
        growth=judge(soak.looks, options.settled_s) if soak.looks else (),
        looks=tuple(soak.looks),
    )
    return msgspec.structs.replace(record, broken=tuple(broken(record)))


async def _closed(soak: Soak) -> None:
    """Close, even when the task is cancelled meanwhile."""
    closing = asyncio.create_task(soak.close())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait({closing})
        raise
