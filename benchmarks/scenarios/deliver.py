"""The deliver scenario: draining a full journal, while nothing is accepted.

The journal is filled over HTTP with mail for one moment in the future (``send_at``). Time is measured from that moment
until the sink has the last message, so reading the work from the journal is included.
"""

import asyncio
import math
import time

from benchmarks.load import Load
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options, Shot, repeat_of
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld

SOONEST_S = 8.0
"""The API sends a message at once if it is due within 5 s."""
FILLED_PER_S = 4000.0
"""The assumed rate of acceptance. If it is too high, the filling is late and is repeated with more time."""
TRIES = 4


class DeliverOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 20_000


class FillingTooSlow(Exception):
    """The journal was never full in time, not even with this many seconds."""

    def __init__(self, lead_s: float) -> None:
        super().__init__(lead_s)
        self.lead_s = lead_s


class Deliver:
    """The deliver scenario."""

    name = "deliver"
    title = "A filled journal drained"
    notes = (COUNTED, "CPU: of the product's processes, without load and sink, from the moment the mail is due.")

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._mail = Mail(options.shape)
        self._sending = SendingWorld(options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("delivered", "msg/s", Better.HIGHER),
            Measure("recorded", "msg/s", Better.HIGHER),
            Measure("CPU", "µs/msg", Better.LOWER),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        world, options = self._sending.world, self.settings
        messages = max(options.per_request, round(share * options.messages))
        load, due = await self._filled(messages, tell)
        await asyncio.sleep(max(0.0, due - 0.5 - time.time()))
        watch = world.watch()
        await watch.start()
        expected = load.promised * options.recipients
        await world.all_arrived(expected, lambda n: tell(f"{n} of {expected} at the sink", n / expected))
        recorded_at = await world.recorded()
        shot = Shot(began=due, accepted_at=None, promised=load.message_ids, recipients=options.recipients)
        return repeat_of(world, shot, recorded_at, await watch.stop())

    async def _filled(self, messages: int, tell: Tell) -> tuple[Load, int]:
        """Fill the journal before the mail is due; returns the load and the due time. Raises FillingTooSlow."""
        world, options = self._sending.world, self.settings
        lead_s = SOONEST_S + messages / FILLED_PER_S
        for _ in range(TRIES):
            load = self._sending.load(options.clients)
            await load.open()
            due = math.ceil(time.time() + lead_s)
            world.forget()
            tell(f"filling, due in {lead_s:.0f} s", 0)
            try:
                await load.as_fast_as_answered(self._sending.bodies(self._mail, messages, options.per_request, due))
            finally:
                load.close()
            if time.time() < due - 1:
                return load, due
            lead_s *= 2
            await world.all_arrived(load.promised * options.recipients, lambda n: tell(f"too late, {n} at the sink", 0))
        raise FillingTooSlow(lead_s)
