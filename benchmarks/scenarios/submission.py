"""The submission scenario: mail submitted by SMTP, from MAIL to its committed 250, to postray and to Postfix in turn.

One message a transaction over connections with STARTTLS, to postray with AUTH, which each connection does once. Both
keep what they accept on the disk of the same directory, with fsync, and deliver nothing meanwhile: postray's messages
are scheduled an hour ahead by X-SMTPAPI, Postfix holds its own. Both get the same octets.

Each has the machine to itself: an idle postray uses some CPU, so one is started for each of its turns; an idle Postfix
uses none. Each is warmed up at the start of its turn. A turn has two loads: with PIPELINING, as real clients talk, and
without. Where Postfix is not installed, postray is measured alone.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from os import getpid
from typing import Annotated

from msgspec import Meta, Struct

from benchmarks.blocking import to_its_end
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.postfix import ALONE, Postfix, lacking
from benchmarks.postfix_files import holding
from benchmarks.records import Better, Repeat, Usage
from benchmarks.runner import Measure
from benchmarks.scenarios.postfix_world import PostfixWorld, in_turn_of
from benchmarks.scenarios.sending import Messages, SendingWorld, WorldOptions, product_cpu_s
from benchmarks.series import percentile, thinned
from benchmarks.sink import SinkOptions
from benchmarks.submission import Credentials, SubmissionMessage, Submitted, Way, letters, submit, unverified
from benchmarks.usage import ProcessWatch
from cluster.smtpd.certificate import ensure

LATER_S = 3600
OURS, THEIRS = "postray", "Postfix"
RATIO = "postray / Postfix"
UNPIPELINED = ", one by one"
PER_S, TIMES = 1500.0, 1.5
"""The targets."""
WARM_UP = 0.2
"""The share of a load's messages that are sent before the measurement."""
UNPIPELINED_SHARE = 0.5
"""The share of a load's messages that are sent without PIPELINING."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    messages: Messages = 10_000
    postfix_messages: Annotated[int, Meta(ge=10, le=100_000, description="To Postfix, in each repeat.")] = 5000
    clients: Annotated[int, Meta(ge=1, le=200, description="SMTP connections of the load.")] = 20
    actors: Annotated[
        int,
        Meta(ge=1, le=16, description="API actors, which take submissions; Postfix has a process for each connection."),
    ] = 1
    text_bytes: Annotated[int, Meta(ge=0, le=100_000, description="Of the plain part.")] = 1000
    html_bytes: Annotated[int, Meta(ge=0, le=100_000, description="Of the HTML part.")] = 2000


class SubmissionTurn(Struct, frozen=True, kw_only=True):
    """What one server did in its turn."""

    name: str
    submitted: Mapping[Way, tuple[Submitted, float]]
    """With the seconds that all of it took."""
    promised: int
    counted: int
    usage: Mapping[str, Usage]


class Submission:
    """The submission scenario."""

    name = "submission"
    title = "From MAIL over TLS to the committed 250, 4 KB, with postray and with Postfix"

    def __init__(self, options: Options) -> None:
        self.settings = options
        default = Options()
        self._is_usual = (options.clients, options.text_bytes, options.html_bytes) == (
            default.clients,
            default.text_bytes,
            default.html_bytes,
        )
        self._mail = Mail(Shape(text_bytes=options.text_bytes, html_bytes=options.html_bytes))
        self._numbers = itertools.count(1)
        self._lacking = lacking(ALONE)
        self._theirs: PostfixWorld | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        alone = () if self._lacking is None else (f"Postfix is skipped: {self._lacking}",)
        return (
            "postray's messages are counted in the journal, Postfix's in its hold queue; nothing is delivered. "
            "CPU: of both loads together, without the load's own.",
            *alone,
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        per_s, times = (PER_S, TIMES) if self._is_usual else (None, None)
        return (
            Measure(OURS, "msg/s", Better.HIGHER, per_s),
            Measure(THEIRS, "msg/s", Better.HIGHER),
            Measure(RATIO, "times", Better.HIGHER, times),
            Measure(OURS + UNPIPELINED, "msg/s", Better.HIGHER),
            Measure(THEIRS + UNPIPELINED, "msg/s", Better.HIGHER),
            *(
                Measure(f"{what}, {name}", unit, Better.LOWER)
                for name in (OURS, THEIRS)
                for what, unit in (("p50", "ms"), ("p99", "ms"), ("CPU", "µs/msg"))
            ),
        )

    async def open(self, tell: Tell) -> None:
        if self._lacking is not None:
            return
        self._theirs = theirs = PostfixWorld(SinkOptions())
        certificate = ensure("localhost", theirs.world.directory / "tls", datetime.now(UTC))
        await theirs.open(holding(certificate, self.settings.clients))

    async def close(self) -> None:
        if self._theirs is not None:
            await self._theirs.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        turns = [await self._our_turn(share, tell)]
        if self._theirs is not None:
            turns.append(await self._their_turn(self._theirs.postfix, share, tell))
        return repeat_of(turns)

    def letters(self, messages: float, way: Way) -> list[SubmissionMessage]:
        """The next messages, at least one."""
        numbers = list(itertools.islice(self._numbers, max(1, round(messages))))
        later = b'X-SMTPAPI: {"send_at": %d}\r\n' % (time.time() + LATER_S)
        return letters(self._mail.body(numbers), way, later)

    async def _our_turn(self, share: float, tell: Tell) -> SubmissionTurn:
        tell("A: postray starts", 0)
        sending = SendingWorld(WorldOptions(api_actors=self.settings.actors))
        try:
            await sending.open(tell)
            world = sending.world
            return await self._turn(
                OURS,
                world.postray.submission,
                Credentials(unverified(), world.postray.key),
                world.watch(),
                world.counted_in_journal,
                share * self.settings.messages,
                lambda told: tell(f"A: {told}", 0.3),
            )
        finally:
            tell("A: postray ends", 0.5)
            await sending.close()

    async def _their_turn(self, postfix: Postfix, share: float, tell: Tell) -> SubmissionTurn:
        return await self._turn(
            THEIRS,
            postfix.address,
            Credentials(unverified()),
            ProcessWatch(lambda: postfix.parts() | {"harness": [getpid()]}),
            postfix.held,
            share * self.settings.postfix_messages,
            lambda told: tell(f"B: {told}", 0.8),
        )

    async def _turn(
        self,
        name: str,
        address: str,
        login: Credentials,
        watch: ProcessWatch,
        count: Callable[[], int],
        messages: float,
        tell: Callable[[str], None],
    ) -> SubmissionTurn:
        before = await to_its_end(count)
        clients = self.settings.clients
        warm_up = await submit(address, self.letters(WARM_UP * messages, Way.PIPELINING), clients, login)
        loads = {
            Way.PIPELINING: self.letters(messages, Way.PIPELINING),
            Way.ONE_BY_ONE: self.letters(UNPIPELINED_SHARE * messages, Way.ONE_BY_ONE),
        }
        found: dict[Way, tuple[Submitted, float]] = {}
        await watch.start()
        for way, load in loads.items():
            tell(f"{len(load)} to {name}, {way}")
            began = time.monotonic()
            found[way] = (await submit(address, load, clients, login), time.monotonic() - began)
        usage = await watch.stop()
        return SubmissionTurn(
            name=name,
            submitted=found,
            promised=sum(len(one.message_ids) for one in (warm_up, *(one for one, _ in found.values()))),
            counted=await to_its_end(count) - before,
            usage=usage,
        )


# Pure: from turns to a repeat


def repeat_of(turns: list[SubmissionTurn]) -> Repeat:
    """One repeat of the turns of one or both."""
    figures: dict[str, float] = {}
    latencies: dict[str, tuple[float, ...]] = {}
    usage: dict[str, Usage] = {}
    for turn in turns:
        rates = {way: len(found.message_ids) / took_s for way, (found, took_s) in turn.submitted.items()}
        took_ms = [took_s * 1000 for took_s in turn.submitted[Way.PIPELINING][0].took_s]
        sent = sum(len(found.message_ids) for found, _ in turn.submitted.values())
        figures |= {
            turn.name: rates[Way.PIPELINING],
            turn.name + UNPIPELINED: rates[Way.ONE_BY_ONE],
            f"p50, {turn.name}": percentile(took_ms, 0.5),
            f"p99, {turn.name}": percentile(took_ms, 0.99),
            f"CPU, {turn.name}": product_cpu_s(turn.usage) / sent * 1e6,
        }
        latencies[turn.name] = thinned(took_ms)
        usage |= in_turn_of(turn.name, turn.usage)
    if THEIRS in figures:
        figures[RATIO] = figures[OURS] / figures[THEIRS]
    return Repeat(
        figures=figures,
        seconds=round(sum(took_s for turn in turns for _, took_s in turn.submitted.values()), 3),
        promised=sum(turn.promised for turn in turns),
        counted=sum(turn.counted for turn in turns),
        usage=usage,
        latencies_ms=latencies,
    )
