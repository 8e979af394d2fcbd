"""The growth scenario: the cost of a message and the memory, with few and with many other messages in the journal.

The same number of messages is sent twice, over a journal with ``few`` and then with ``many`` others, which are due in
an hour. Each repeat has a new postray.
"""

import time
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat, Usage
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options, fire
from benchmarks.scenarios.sending import COUNTED, HARNESS, Messages, SendingWorld, product_cpu_s
from benchmarks.world import known

LATER_S = 3600
COST_TARGET, MEMORY_TARGET_MB = 1.2, 400.0
MANY = 1_000_000
"""The queue size of the targets."""

Waiting = Annotated[int, Meta(ge=1000, le=5_000_000)]


class GrowthOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 20_000
    few: Annotated[Waiting, Meta(description="Messages that wait, at first.")] = 10_000
    many: Annotated[Waiting, Meta(description="Messages that wait, then.")] = MANY


class Growth:
    """The growth scenario."""

    name = "growth"
    title = "What a message costs, and how large the processes are, by how many wait"
    notes = (COUNTED, "What waits is due in an hour. Memory is resident, of the product's largest process.")

    def __init__(self, options: GrowthOptions) -> None:
        self.settings = options
        self._mail = Mail(options.shape)
        self._sending: SendingWorld | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        # A smaller queue is easier, so the targets do not apply to it.
        meant = self.settings.many >= MANY
        return (
            Measure("CPU, few wait", "µs/msg", Better.LOWER),
            Measure("CPU, many wait", "µs/msg", Better.LOWER),
            Measure("many / few", "times", Better.LOWER, COST_TARGET if meant else None),
            Measure("largest process, many wait", "MiB", Better.LOWER, MEMORY_TARGET_MB if meant else None),
        )

    async def open(self, tell: Tell) -> None:
        """Does nothing: each repeat starts a new world."""

    async def close(self) -> None:
        if self._sending is not None:
            await self._sending.close()
            self._sending = None

    async def measure(self, share: float, tell: Tell) -> Repeat:
        options = self.settings
        self._sending = SendingWorld(options)
        try:
            tell("starting", 0)
            await self._sending.open(tell)
            await self._fill(self._sending, options.few, tell)
            few = await self._sent(self._sending, share, tell)
            await self._fill(self._sending, options.many - options.few, tell)
            many = await self._sent(self._sending, share, tell)
        finally:
            await self.close()
        costs = [product_cpu_s(one.usage) / max(one.counted, 1) * 1e6 for one in (few, many)]
        return Repeat(
            figures={
                "CPU, few wait": costs[0],
                "CPU, many wait": costs[1],
                "many / few": costs[1] / costs[0],
                "largest process, many wait": largest_mb(many.usage),
            },
            seconds=few.seconds + many.seconds,
            promised=few.promised + many.promised,
            counted=few.counted + many.counted,
            copies=few.copies + many.copies,
            usage=many.usage,
        )

    async def _fill(self, sending: SendingWorld, messages: int, tell: Tell) -> None:
        load = sending.load(self.settings.clients)
        await load.open()
        tell(f"{messages} more shall wait", 0)
        due = int(time.time()) + LATER_S
        try:
            await load.as_fast_as_answered(sending.bodies(self._mail, messages, self.settings.per_request, due))
        finally:
            load.close()
        tell("the events of what waits are recorded", 0)
        await sending.world.recorded(waiting=True)

    async def _sent(self, sending: SendingWorld, share: float, tell: Tell) -> Repeat:
        """One shot over the waiting messages."""
        watch = sending.world.watch()
        await watch.start()
        shot = await fire(sending, self._mail, round(share * self.settings.messages), self.settings, tell)
        arrivals = sending.world.arrivals
        return Repeat(
            figures={},
            seconds=round(time.time() - shot.began, 3),
            promised=len(shot.promised) * shot.recipients,
            counted=known(arrivals, shot.promised),
            copies=arrivals.surplus,
            usage=await watch.stop(),
        )


def largest_mb(usage: Mapping[str, Usage]) -> float:
    return max(took.peak_resident_mb for part, took in usage.items() if part not in HARNESS)
