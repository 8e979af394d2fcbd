"""The accept scenario: from an HTTP request to its committed 202, without delivery.

The mail is scheduled an hour ahead, so it is journalled and not sent. Each repeat has two loads in turn: many
personalizations per request from few clients, and one message per request from many.
"""

import time
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from benchmarks.load import Load, until
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import Clients, Messages, PerRequest, SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned

LATER_S = 3600
BULK = "bulk"
SINGLE = "single"
NO_END = 10_000_000


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    seconds: Annotated[float, Meta(ge=1, le=300, description="Of each of the two loads.")] = 5.0
    messages: Messages = 300_000
    per_request: PerRequest = 1000
    clients: Clients = 4
    single_clients: Annotated[int, Meta(ge=1, le=256, description="Clients that send one message a request.")] = 64


class Accept:
    """The accept scenario."""

    name = "accept"
    title = "From an HTTP request to its committed 202"
    notes = ("Messages are counted in the journal, by their ids; nothing is delivered meanwhile.",)

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._mail = Mail(Shape())
        self._sending = SendingWorld(options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        bulk = self.settings.per_request == 1000
        single = self.settings.single_clients == 64
        return (
            Measure(f"{BULK} messages", "msg/s", Better.HIGHER, 40_000.0 if bulk else None),
            Measure(f"{BULK} p50", "ms", Better.LOWER),
            Measure(f"{BULK} p99", "ms", Better.LOWER, 300.0 if bulk else None),
            Measure(f"{SINGLE} requests", "req/s", Better.HIGHER, 4000.0 if single else None),
            Measure(f"{SINGLE} p50", "ms", Better.LOWER),
            Measure(f"{SINGLE} p99", "ms", Better.LOWER, 50.0 if single else None),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        world, options = self._sending.world, self.settings
        before = world.counted_in_journal()
        watch = world.watch()
        await watch.start()
        began = time.monotonic()
        tell(f"{options.per_request} a request", 0)
        bulk, bulk_s = await self._one(options.clients, options.per_request, share)
        tell("one a request", 0.5)
        single, single_s = await self._one(options.single_clients, 1, share)
        took_s, usage = time.monotonic() - began, await watch.stop()
        took_ms = {
            name: [accepted.took_s * 1000 for accepted in load.accepted]
            for name, load in ((BULK, bulk), (SINGLE, single))
        }
        figures = {f"{BULK} messages": bulk.promised / bulk_s, f"{SINGLE} requests": len(single.accepted) / single_s}
        for name, values in took_ms.items():
            figures |= {f"{name} p50": percentile(values, 0.5), f"{name} p99": percentile(values, 0.99)}
        return Repeat(
            figures=figures,
            seconds=round(took_s, 3),
            promised=bulk.promised + single.promised,
            counted=world.counted_in_journal() - before,
            usage=usage,
            latencies_ms={name: thinned(values) for name, values in took_ms.items()},
        )

    async def _one(self, clients: int, per_request: int, share: float) -> tuple[Load, float]:
        """Run a load; returns it with its duration in seconds."""
        load = self._sending.load(clients)
        await load.open()
        bodies: Iterator[bytes] = self._sending.bodies(self._mail, NO_END, per_request, int(time.time()) + LATER_S)
        most = max(1, self.settings.messages // per_request)
        began = time.monotonic()
        try:
            await load.as_fast_as_answered(until(share * self.settings.seconds, bodies, most))
            return load, time.monotonic() - began
        finally:
            load.close()
