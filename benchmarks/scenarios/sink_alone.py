"""The sink scenario: the capacity of the harness's sink, to show that the sink does not limit other figures.

One flight per message (MAIL, RCPT, BDAT LAST), the next one when the last is answered, over TLS, from a minimal sender.
The sender has the other core; the sink's own CPU time gives its capacity with an infinitely fast sender.
"""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import psutil
from msgspec import Meta, Struct

from actors.smtp.handshake import Peer, open_session
from benchmarks.blocking import to_its_end
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.sink import SinkOptions, Writing
from benchmarks.sink_log import Receipt
from benchmarks.sink_process import SinkProcess
from cluster.policy.tls.level import TlsLevel
from cluster.settings import SmtpSettings, host_port

REPLIES = 3
TARGET = 12_000.0
"""Four times the end-to-end target of the product."""
LAST_S = 5.0
"""How long the replies to the last flights may take."""
WRITTEN_S = 0.5
LINE = b"All is well, and far away.\r\n"


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    seconds: Annotated[float, Meta(ge=0.5, le=60, description="Of load in each repeat.")] = 4.0
    connections: Annotated[int, Meta(ge=1, le=500, description="At once.")] = 20
    message_bytes: Annotated[int, Meta(ge=500, le=1_000_000, description="Size of a message.")] = 5000


class _Flights(asyncio.Protocol):
    """One connection that never pauses."""

    def __init__(self, transport: asyncio.Transport, number: int, body: bytes) -> None:
        self._transport = transport
        self._number = number
        self._body = body
        self._replies = 0
        self._sent = 0
        self.answered = 0
        self.idle = asyncio.Event()
        self.stopping = False

    def fly(self) -> None:
        """Send the next flight."""
        self._sent += 1
        name = b"sink-%d-%d" % (self._number, self._sent)
        data = b"From: a@example.com\r\nMessage-ID: <%b@example.com>\r\n\r\n%b" % (name, self._body)
        commands = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT %d LAST\r\n" % len(data)
        self._transport.write(commands + data)

    def data_received(self, data: bytes) -> None:
        self._replies += data.count(b"\n")
        while self._replies >= REPLIES:
            self._replies -= REPLIES
            self.answered += 1
            if self.stopping:
                self.idle.set()
            else:
                self.fly()

    def close(self) -> None:
        self._transport.abort()


class SinkAlone:
    """The sink scenario."""

    name = "sink"
    title = "What the harness's own sink can take"
    notes = (
        "taken: from a sender on the other core. could take: by the sink's own CPU time, if a core were all its own.",
    )
    measures = (
        Measure("taken", "msg/s", Better.HIGHER),
        Measure("could take", "msg/s", Better.HIGHER, TARGET),
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._stack = AsyncExitStack()
        self._numbers = 0

    async def open(self, tell: Tell) -> None:
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-sink-")))
        self._sink = SinkProcess(directory, SinkOptions(writing=Writing.SOON))
        self._stack.push_async_callback(to_its_end, self._sink.stop)
        self._host, self._port = host_port(await to_its_end(self._sink.start))
        self._tail = self._sink.tail()

    async def close(self) -> None:
        await self._stack.aclose()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        flights = [await self._connected() for _ in range(self.settings.connections)]
        self._tail.take()
        process = psutil.Process(self._sink.pid)
        began, before_s = time.perf_counter(), _cpu_s(process)
        for one in flights:
            one.fly()
        await asyncio.sleep(share * self.settings.seconds)
        answered = sum(one.answered for one in flights)
        took_s, cpu_s = time.perf_counter() - began, _cpu_s(process) - before_s
        for one in flights:
            one.stopping = True
        async with asyncio.timeout(LAST_S):
            await asyncio.gather(*(one.idle.wait() for one in flights))
        for one in flights:
            one.close()
        await asyncio.sleep(WRITTEN_S)
        found = {line.message_id for line in self._tail.take() if isinstance(line, Receipt) and line.accepted}
        return Repeat(
            figures={"taken": answered / took_s, "could take": answered / cpu_s},
            seconds=round(took_s, 3),
            promised=sum(one.answered for one in flights),
            counted=len(found),
        )

    async def _connected(self) -> _Flights:
        peer = Peer(
            host=self._host,
            address=self._host,
            port=self._port,
            helo_name="bench.example.com",
            tls=TlsLevel.REQUIRED,
        )
        session = await open_session(peer, SmtpSettings())
        self._numbers += 1
        body = LINE * (self.settings.message_bytes // len(LINE))
        flights = _Flights(session.transport, self._numbers, body)
        session.transport.set_protocol(flights)
        return flights


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
