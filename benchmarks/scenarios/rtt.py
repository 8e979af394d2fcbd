"""The rtt scenario: the effect of distance on one connection, by kind of dialogue.

A sink delays its replies by N ms (``late.py``), over TLS, with one connection at a time: ours, ours to a host without
CHUNKING, ours to one without PIPELINING either, and aiosmtplib's ``sendmail``. All run in turn, A B C D A B C D, so
that other load on the machine affects all of them.
"""

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import aiosmtplib
from msgspec import Meta, Struct

from actors.smtp.client import SmtpConnection
from actors.smtp.commands import Envelope
from benchmarks.blocking import to_its_end
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.sink import SinkOptions, Writing
from benchmarks.sink_log import Receipt
from benchmarks.sink_process import SinkProcess
from cluster.settings import SmtpSettings, host_port
from cluster.smtpd.envelope import Extension

SENDER = "bench@mail.example.com"
RECIPIENT = "reader@example.org"
HELO = "bench.example.com"
FIRST = 3
"""Messages before the measurement."""

Send = Callable[[bytes], Awaitable[bool]]
"""Sends one message; returns whether it was accepted."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    delay_ms: tuple[Annotated[float, Meta(ge=0, le=1000, description="How late replies come.")], ...] = (
        10.0,
        50.0,
        100.0,
    )
    seconds: Annotated[float, Meta(ge=0.5, le=60, description="Of each way of talking, in each repeat.")] = 3.0
    message_bytes: Annotated[int, Meta(ge=500, le=1_000_000, description="Size of a message.")] = 4096


class DialogueKind(Struct, frozen=True, kw_only=True):
    """A kind of dialogue: a name, the extensions that the host does not offer, and the round trips."""

    name: str
    without: tuple[Extension, ...]
    flights: int
    """Round trips that a message takes."""


CHUNKING = DialogueKind(name="CHUNKING", without=(), flights=1)
PIPELINED = DialogueKind(name="pipelined DATA", without=(Extension.CHUNKING,), flights=2)
ONE_BY_ONE = DialogueKind(name="one by one", without=(Extension.CHUNKING, Extension.PIPELINING), flights=4)
AIOSMTPLIB = DialogueKind(name="aiosmtplib", without=(), flights=4)
WAYS = (CHUNKING, PIPELINED, ONE_BY_ONE, AIOSMTPLIB)
TARGETS: Mapping[tuple[str, float], float] = {(CHUNKING.name, 50.0): 18.0, (PIPELINED.name, 50.0): 9.0}


class Rtt:
    """The rtt scenario. It needs no postray: only the connection is measured."""

    name = "rtt"
    title = "Messages a second over one connection, by distance"
    notes = (
        "Latency, not service time: replies leave the sink N ms after they were said, and the replies to pipelined "
        "commands come together. The TLS handshake is not timed.",
        "Messages are counted at the sink, by their Message-ID.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._sinks: dict[tuple[float, tuple[Extension, ...]], tuple[SinkProcess, str]] = {}
        self._stack = AsyncExitStack()
        self._numbers = itertools.count(1)

    @property
    def measures(self) -> tuple[Measure, ...]:
        found = []
        for delay_ms in self.settings.delay_ms:
            for way in WAYS:
                target = TARGETS.get((way.name, delay_ms))
                found.append(Measure(_rate_name(way, delay_ms), "msg/s", Better.HIGHER, target))
            for way in (CHUNKING, PIPELINED):
                found.append(Measure(_ratio_name(way, delay_ms), "times", Better.HIGHER))
        return tuple(found)

    async def open(self, tell: Tell) -> None:
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-rtt-")))
        for number, key in enumerate((d, w.without) for d in self.settings.delay_ms for w in WAYS[:3]):
            options = SinkOptions(delay_ms=key[0], without=key[1], writing=Writing.SOON)
            sink = SinkProcess(directory / str(number), options)
            self._stack.callback(sink.stop)
            self._sinks[key] = sink, await to_its_end(sink.start)

    async def measure(self, share: float, tell: Tell) -> Repeat:
        began = time.monotonic()
        figures: dict[str, float] = {}
        sent: list[str] = []
        for delay_ms in self.settings.delay_ms:
            for way in WAYS:
                tell(f"{delay_ms:g} ms, {way.name}", 0)
                rate, ids = await self._rate(way, delay_ms, share * self.settings.seconds)
                figures[_rate_name(way, delay_ms)] = rate
                sent += ids
            for way in (CHUNKING, PIPELINED):
                ratio = figures[_rate_name(way, delay_ms)] / figures[_rate_name(AIOSMTPLIB, delay_ms)]
                figures[_ratio_name(way, delay_ms)] = ratio
        found = await self._counted(set(sent))
        return Repeat(
            figures=figures,
            seconds=time.monotonic() - began,
            promised=len(sent),
            counted=len(found),
            copies=found.total() - len(found),
        )

    async def close(self) -> None:
        await self._stack.aclose()

    async def _rate(self, way: DialogueKind, delay_ms: float, seconds: float) -> tuple[float, list[str]]:
        """Messages a second, and the ids of all accepted messages."""
        _, address = self._sinks[delay_ms, way.without]
        host, port = host_port(address)
        taken: list[str] = []
        opened = _aiosmtplib(host, port) if way is AIOSMTPLIB else _ours(host, port)
        async with opened as send:

            async def one() -> None:
                message_id, data = self._message()
                if await send(data):
                    taken.append(message_id)

            for _ in range(FIRST):
                await one()
            began, before = time.perf_counter(), len(taken)
            while time.perf_counter() - began < seconds:
                await one()
            return (len(taken) - before) / (time.perf_counter() - began), taken

    def _message(self) -> tuple[str, bytes]:
        message_id = f"rtt-{next(self._numbers)}"
        head = (
            f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: rtt\r\nMessage-ID: <{message_id}@mail.example.com>\r\n\r\n"
        )
        line = "All is well, and far away.\r\n"
        data = (head + line * ((self.settings.message_bytes - len(head)) // len(line))).encode("ascii")
        return message_id, data

    async def _counted(self, sent: set[str]) -> Counter[str]:
        await asyncio.sleep(2 * SOON_ENOUGH_S)
        return Counter(
            line.message_id
            for sink, _ in self._sinks.values()
            for line in sink.lines()
            if isinstance(line, Receipt) and line.accepted and line.message_id in sent
        )


SOON_ENOUGH_S = 0.25
"""After this the sink has written its log."""


def _rate_name(way: DialogueKind, delay_ms: float) -> str:
    return f"{delay_ms:g} ms, {way.name}"


def _ratio_name(way: DialogueKind, delay_ms: float) -> str:
    return f"{delay_ms:g} ms, {way.name} / aiosmtplib"


@asynccontextmanager
async def _ours(host: str, port: int) -> AsyncIterator[Send]:
    connection = await SmtpConnection.open(host, host, port, settings=SmtpSettings(), helo_name=HELO)
    envelope = Envelope(SENDER, (RECIPIENT,))

    async def send(data: bytes) -> bool:
        result = await connection.send(envelope, data)
        return result.final is not None and result.final.positive

    try:
        assert connection.tls_version, "the sink offers TLS"
        yield send
    finally:
        await connection.quit()


@asynccontextmanager
async def _aiosmtplib(host: str, port: int) -> AsyncIterator[Send]:
    # Like our connection, which is opportunistic: the sink's certificate is self-signed.
    client = aiosmtplib.SMTP(hostname=host, port=port, start_tls=True, validate_certs=False, local_hostname=HELO)
    async with client:

        async def send(data: bytes) -> bool:
            refused, _ = await client.sendmail(SENDER, [RECIPIENT], data)
            return not refused

        yield send
