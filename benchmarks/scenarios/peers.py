"""The peers scenario: the same mail through postray and through Postfix with OpenDKIM, in turn A B A B.

Both accept it durably, sign it with RSA-2048 and send it over TLS, through equally many connections, to a sink of the
same kind. Time is measured from the first message of the load until the sink has the last one. Each has the machine to
itself: an idle postray uses some CPU, so one is started for each of its turns; an idle Postfix uses none. Each is
warmed up at the start of its turn.

Postfix gets the messages that postray would make, composed before the measurement: rendering is not its work. The
scenario runs only where Debian's packages are installed.
"""

import time
from collections.abc import Sequence
from os import getpid
from typing import Annotated

import msgspec
from msgspec import Meta

from benchmarks.blocking import to_its_end
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.postfix import lacking
from benchmarks.postfix_files import relaying
from benchmarks.records import Better, Repeat, Sample
from benchmarks.runner import Measure, Missing
from benchmarks.scenarios import blast
from benchmarks.scenarios.blast import Shot, fire, repeat_of
from benchmarks.scenarios.postfix_world import PostfixWorld, in_turn_of
from benchmarks.scenarios.sending import COUNTED, Clients, Messages, PerRequest, SendingWorld, WorldOptions
from benchmarks.series import BIN_S
from benchmarks.sink import SinkOptions, Writing
from benchmarks.submission import SubmissionMessage, letters, submit
from benchmarks.usage import ProcessWatch

OURS = "postray"
THEIRS = "Postfix + OpenDKIM"
RATIO = "postray / Postfix"
OUR_CPU = "CPU, postray"
THEIR_CPU = "CPU, Postfix + OpenDKIM"
TARGET = 10.0
WARM_UP = 0.2
"""The share of a turn's messages that are sent before the measurement."""
EMPTY_S = 20.0
"""How long Postfix may take to empty its queue after the last delivery."""

Bytes = Annotated[int, Meta(ge=0, le=100_000)]


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    messages: Messages = 10_000
    per_request: PerRequest = 1000
    clients: Clients = 4
    postfix_messages: Annotated[int, Meta(ge=10, le=20_000, description="Through Postfix, in each repeat.")] = 2000
    postfix_clients: Annotated[int, Meta(ge=1, le=200, description="SMTP connections of the load to Postfix.")] = 20
    text_bytes: Annotated[Bytes, Meta(description="Of the plain part.")] = 1500
    html_bytes: Annotated[Bytes, Meta(description="Of the HTML part.")] = 2500


class Peers:
    """The peers scenario."""

    name = "peers"
    title = "The same mail through postray and through Postfix with OpenDKIM"
    notes = (
        COUNTED,
        "In turn, each alone on the machine and warmed up; the ratio is that of each pair of turns. CPU: without load "
        "and sink; it is counted in steps of 10 ms a process, which flatters Postfix with its many.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._blast = blast.Options(
            connections=options.connections,
            actors=options.actors,
            delay_ms=options.delay_ms,
            messages=options.messages,
            per_request=options.per_request,
            clients=options.clients,
            text_bytes=options.text_bytes,
            html_bytes=options.html_bytes,
        )
        default = blast.Options()
        same = self._blast.shape == default.shape and options.connections == default.connections
        self._target = TARGET if same and options.delay_ms == default.delay_ms else None
        self._mail = Mail(self._blast.shape)
        self._number = 1
        self._theirs: PostfixWorld | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(OURS, "msg/s", Better.HIGHER),
            Measure(THEIRS, "msg/s", Better.HIGHER),
            Measure(RATIO, "times", Better.HIGHER, self._target),
            Measure(OUR_CPU, "µs/msg", Better.LOWER),
            Measure(THEIR_CPU, "µs/msg", Better.LOWER),
        )

    async def open(self, tell: Tell) -> None:
        if (reason := lacking()) is not None:
            raise Missing(reason)
        self._theirs = theirs = PostfixWorld(SinkOptions(delay_ms=self.settings.delay_ms, writing=Writing.SOON))
        work = relaying(
            await to_its_end(theirs.world.sink.start),
            connections=self.settings.connections,
            clients=self.settings.postfix_clients,
        )
        await theirs.open(work, signs=True)

    async def close(self) -> None:
        if self._theirs is not None:
            await self._theirs.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        began = time.time()
        ours = await self._our_turn(share, tell)
        theirs_began = time.time()
        theirs = await self._their_turn(share, tell)
        return pair(ours, theirs, theirs_began - began)

    # postray's turn

    async def _our_turn(self, share: float, tell: Tell) -> Repeat:
        tell("A: postray starts", 0)
        sending = SendingWorld(self.settings)
        try:
            await sending.open(tell)
            messages = share * self.settings.messages
            warm_up = await self._fired(sending, round(WARM_UP * messages), tell)
            return and_before(warm_up, await self._fired(sending, round(messages), tell))
        finally:
            tell("A: postray ends", 0.5)
            await sending.close()

    async def _fired(self, sending: SendingWorld, messages: int, tell: Tell) -> Repeat:
        watch = sending.world.watch()
        await watch.start()
        shot = await fire(sending, self._mail, messages, self._blast, lambda told, n: tell(f"A: {told}", n / 2))
        recorded_at = await sending.world.recorded()
        return repeat_of(sending.world, shot, recorded_at, await watch.stop())

    # Postfix's turn

    async def _their_turn(self, share: float, tell: Tell) -> Repeat:
        messages = share * self.settings.postfix_messages
        warm_up = await self._submitted(self._letters(round(WARM_UP * messages)), tell)
        return and_before(warm_up, await self._submitted(self._letters(round(messages)), tell))

    def _letters(self, messages: int) -> Sequence[SubmissionMessage]:
        first, self._number = self._number, self._number + max(1, messages)
        return letters(self._mail.body(range(first, self._number)))

    async def _submitted(self, ready: Sequence[SubmissionMessage], tell: Tell) -> Repeat:
        assert self._theirs is not None
        world, postfix = self._theirs.world, self._theirs.postfix
        tell(f"B: {len(ready)} to Postfix", 0.5)
        own = {"sink": [world.sink.pid], "harness": [getpid()]}
        watch = ProcessWatch(lambda: postfix.parts() | own)
        await watch.start()
        world.forget()
        began = time.time()
        accepted = (await submit(postfix.address, ready, self.settings.postfix_clients)).message_ids
        shot = Shot(began=began, accepted_at=time.time(), promised=tuple(accepted), recipients=1)
        sent = len(accepted)
        await world.all_arrived(sent, lambda n: tell(f"B: {sent} accepted, {n} at the sink", (1 + n / sent) / 2))
        # Its work after the sink's last reply counts too, and disturbs no other turn.
        await to_its_end(postfix.wait_until_empty, EMPTY_S)
        return repeat_of(world, shot, None, await watch.stop())


# Pure: from turns to a repeat


def and_before(warm_up: Repeat, counted: Repeat) -> Repeat:
    """The counted turn, with the losses of its warm-up added."""
    return msgspec.structs.replace(
        counted,
        promised=warm_up.promised + counted.promised,
        counted=warm_up.counted + counted.counted,
        copies=warm_up.copies + counted.copies,
    )


def pair(ours: Repeat, theirs: Repeat, apart_s: float) -> Repeat:
    """One repeat of two turns. ``apart_s``: from the start of ours to the start of theirs."""
    figures = {
        OURS: ours.figures["delivered"],
        THEIRS: theirs.figures["delivered"],
        OUR_CPU: ours.figures["CPU"],
        THEIR_CPU: theirs.figures["CPU"],
    }
    if theirs.figures["delivered"]:
        figures[RATIO] = ours.figures["delivered"] / theirs.figures["delivered"]
    later_s = round(apart_s / BIN_S) * BIN_S
    return Repeat(
        figures=figures,
        seconds=round(ours.seconds + theirs.seconds, 3),
        promised=ours.promised + theirs.promised,
        counted=ours.counted + theirs.counted,
        copies=ours.copies + theirs.copies,
        usage=ours.usage | in_turn_of("Postfix", theirs.usage),
        throughput=(*ours.throughput, *(Sample(later_s + sample.at_s, sample.rate) for sample in theirs.throughput)),
    )
