"""The latency scenario: single sends at a fixed rate, far below the capacity of the system.

Measured from a request's turn to its 202 (so that waiting behind a slow one counts), and from the 202 to the moment the
sink has the whole message, by the sink's clock, which is this machine's.
"""

import time
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import COUNTED, Clients, SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned, throughput
from benchmarks.world import known

ACCEPT = "accept"
DELIVER = "accept-to-delivered"
P50_TARGET_MS, P99_TARGET_MS = 30.0, 150.0
TARGET_RATE = 200.0
"""The rate of the targets."""


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    rate: Annotated[float, Meta(ge=1, le=5000, description="Messages a second, a request each.")] = TARGET_RATE
    seconds: Annotated[float, Meta(ge=1, le=600, description="Of load in each repeat.")] = 10.0
    clients: Clients = 64


class Latency:
    """The latency scenario."""

    name = "latency"
    title = "Single sends at a fixed rate: to the 202, and from there to the sink"
    notes = (COUNTED, "A request is timed from its turn, whether or not a connection was free then.")

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._mail = Mail(Shape())
        self._sending = SendingWorld(options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        p50, p99 = (P50_TARGET_MS, P99_TARGET_MS) if self.settings.rate == TARGET_RATE else (None, None)
        return (
            Measure(f"{ACCEPT} p50", "ms", Better.LOWER),
            Measure(f"{ACCEPT} p99", "ms", Better.LOWER),
            Measure(f"{DELIVER} p50", "ms", Better.LOWER, p50),
            Measure(f"{DELIVER} p99", "ms", Better.LOWER, p99),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        world, options = self._sending.world, self.settings
        messages = max(1, round(share * options.seconds * options.rate))
        load = self._sending.load(options.clients)
        await load.open()
        world.forget()
        watch = world.watch()
        await watch.start()
        began = time.time()
        tell(f"{messages} messages at {options.rate:g}/s", 0)
        try:
            await load.at_rate(self._sending.bodies(self._mail, messages, 1), options.rate)
        finally:
            load.close()
        await world.all_arrived(load.promised, lambda n: tell(f"{n} of {load.promised} at the sink", n / messages))
        usage = await watch.stop()
        arrived = {message_id: at for (message_id, _), at in world.arrivals.first_at.items()}
        samples = {
            ACCEPT: [accepted.took_s * 1000 for accepted in load.accepted],
            # The sink may have it before the 202 is read: that counts as 0, not as a negative time.
            DELIVER: [
                max(0.0, arrived[message_id] - accepted.at) * 1000
                for accepted in load.accepted
                for message_id in accepted.message_ids
                if message_id in arrived
            ],
        }
        return Repeat(
            figures=percentiles(samples),
            seconds=round(time.time() - began, 3),
            promised=load.promised,
            counted=known(world.arrivals, load.message_ids),
            copies=world.arrivals.surplus,
            usage=usage,
            throughput=throughput(arrived.values(), began),
            latencies_ms={name: thinned(values) for name, values in samples.items()},
        )


def percentiles(samples: dict[str, Sequence[float]] | dict[str, list[float]]) -> dict[str, float]:
    """p50 and p99 of each series that has values."""
    return {
        f"{name} p{part:.0%}".removesuffix("%"): percentile(values, part)
        for name, values in samples.items()
        for part in (0.5, 0.99)
        if values
    }
