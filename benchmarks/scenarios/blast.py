"""From an HTTP request to the sink and to ClickHouse, at full speed: ``end-to-end`` and similar scenarios.

A fixed number of messages is posted as fast as they are answered, while delivery runs. Time is measured from the first
request until the sink has the last message. ``large``, ``attachments`` and ``multi-recipient`` use other mail.
"""

import time
from typing import Annotated

from msgspec import Meta, Struct

from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat, Usage
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import (
    COUNTED,
    Clients,
    Connections,
    Delay,
    Messages,
    PerRequest,
    SendingWorld,
    WorldOptions,
    product_cpu_s,
)
from benchmarks.series import throughput
from benchmarks.world import World, known

Bytes = Annotated[int, Meta(ge=0, le=10_000_000)]
Recipients = Annotated[int, Meta(ge=1, le=1000, description="Recipients of each message.")]


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    messages: Messages = 30_000
    per_request: PerRequest = 1000
    clients: Clients = 4
    text_bytes: Annotated[Bytes, Meta(description="Of the plain part.")] = 1500
    html_bytes: Annotated[Bytes, Meta(description="Of the HTML part.")] = 2500
    attachment_bytes: Annotated[Bytes, Meta(description="Of a file shared by all messages of a request.")] = 0
    recipients: Recipients = 1

    @property
    def shape(self) -> Shape:
        return Shape(
            text_bytes=self.text_bytes,
            html_bytes=self.html_bytes,
            attachment_bytes=self.attachment_bytes,
            recipients=self.recipients,
        )


class FarOptions(Options, frozen=True, kw_only=True):
    connections: Connections = 100
    delay_ms: Delay = 50.0


class LargeOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 4000
    per_request: PerRequest = 500
    text_bytes: Annotated[Bytes, Meta(description="Of the plain part.")] = 30_000
    html_bytes: Annotated[Bytes, Meta(description="Of the HTML part.")] = 70_000


class AttachmentsOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 1000
    clients: Clients = 1
    attachment_bytes: Annotated[Bytes, Meta(description="Of a file shared by all messages of a request.")] = 1_000_000


class MultiRecipientOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 5000
    recipients: Recipients = 10


class BlastKind(Struct, frozen=True, kw_only=True):
    """A scenario of this family."""

    name: str
    title: str
    target: float | None = None
    """Messages a second, end to end."""


END_TO_END = BlastKind(name="end-to-end", title="From HTTP to the sink and to ClickHouse, 4 to 6 KB", target=3000.0)
FAR = BlastKind(name="rtt-engine", title="The same to a far sink, over many connections", target=1600.0)
LARGE = BlastKind(name="large", title="The same with bodies of 100 KB", target=600.0)
ATTACHMENTS = BlastKind(name="attachments", title="The same with a file of 1 MB that a request's messages share")
MULTI_RECIPIENT = BlastKind(name="multi-recipient", title="The same with several recipients a message")


class Blast:
    """A scenario of this family."""

    notes = (
        COUNTED,
        "recorded: until every event is in ClickHouse, too. CPU: of the product's processes, idling included, without "
        "load and sink.",
    )

    def __init__(self, kind: BlastKind, options: Options) -> None:
        self.name, self.title = kind.name, kind.title
        self.settings = options
        # The target applies to the default mail and sink.
        default = type(options)()
        same = options.shape == default.shape and options.connections == default.connections
        self._target = kind.target if same and options.delay_ms == default.delay_ms else None
        self._mail = Mail(options.shape)
        self._sending = SendingWorld(options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        several = self.settings.recipients > 1
        return (
            Measure("delivered", "msg/s", Better.HIGHER, self._target),
            *([Measure("recipients", "1/s", Better.HIGHER)] if several else []),
            Measure("recorded", "msg/s", Better.HIGHER),
            Measure("accepted meanwhile", "msg/s", Better.HIGHER),
            Measure("CPU", "µs/msg", Better.LOWER),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        return await shoot(self._sending, self._mail, round(share * self.settings.messages), self.settings, tell)


class Shot(Struct, frozen=True, kw_only=True):
    """A number of messages, posted and delivered. Times are in seconds since the epoch."""

    began: float
    accepted_at: float | None
    """When the last was accepted; None when this is not measured."""
    promised: tuple[str, ...]
    """Ids of messages."""
    recipients: int
    """Recipients of each message."""


async def shoot(sending: SendingWorld, mail: Mail, messages: int, options: Options, tell: Tell) -> Repeat:
    """Fire, and wait until every event is recorded, so that none belongs to the next measurement."""
    world = sending.world
    watch = world.watch()
    await watch.start()
    shot = await fire(sending, mail, messages, options, tell)
    recorded_at = await world.recorded()
    return repeat_of(world, shot, recorded_at, await watch.stop())


async def fire(sending: SendingWorld, mail: Mail, messages: int, options: Options, tell: Tell) -> Shot:
    """Post ``messages`` messages, but at least one full request, as fast as they are answered; returns when the sink
    has them."""
    world = sending.world
    load = sending.load(options.clients)
    await load.open()
    world.forget()
    began = time.time()
    try:
        await load.as_fast_as_answered(sending.bodies(mail, max(options.per_request, messages), options.per_request))
    finally:
        load.close()
    accepted_at = time.time()
    expected = load.promised * mail.shape.recipients
    await world.all_arrived(expected, lambda n: tell(f"{load.promised} accepted, {n} at the sink", n / expected))
    return Shot(began=began, accepted_at=accepted_at, promised=load.message_ids, recipients=mail.shape.recipients)


def repeat_of(world: World, shot: Shot, recorded_at: float | None, usage: dict[str, Usage]) -> Repeat:
    """The figures of a repeat that consisted of ``shot``."""
    arrivals = world.arrivals
    messages = arrivals.messages
    ended = max(arrivals.first_at.values(), default=shot.began)
    took_s = max(ended - shot.began, 1e-9)
    figures = {
        "delivered": messages / took_s,
        "recipients": len(arrivals.first_at) / took_s,
        "CPU": product_cpu_s(usage) / max(messages, 1) * 1e6,
    }
    if shot.accepted_at is not None:
        figures["accepted meanwhile"] = len(shot.promised) / (shot.accepted_at - shot.began)
    if recorded_at is not None:
        figures["recorded"] = messages / (recorded_at - shot.began)
    return Repeat(
        figures=figures,
        seconds=round(took_s, 3),
        promised=len(shot.promised) * shot.recipients,
        counted=known(arrivals, shot.promised),
        copies=arrivals.surplus,
        usage=usage,
        throughput=throughput(arrivals.first_at.values(), shot.began),
    )
