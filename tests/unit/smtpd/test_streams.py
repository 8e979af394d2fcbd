"""Clients that send anything to the SMTP server: it answers in its form, ends every connection, and keeps nothing.

The suite runs a few seeds, `make fuzz` many new ones. `python -m tests.unit.smtpd.test_streams FIRST COUNT` runs a
range of them.
"""

import asyncio
import logging
import re
import ssl
import sys
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cluster.smtpd.envelope import Answer, Behaviour, Extension, Login, ReceivedMessage, ServerOptions, ServerReply
from cluster.smtpd.protocol import Service
from tests.unit.smtpd.streams import Leave, Pass, ReadOn, Send, Step, StopReading, StopServer, stream
from tests.unit.smtpd.wire import HANDSHAKEN, Wire, WireLoop, connected

OPTIONS = ServerOptions(
    extensions=frozenset(Extension),
    max_message_bytes=4000,
    max_held_bytes=3000,
    max_connections=2,
    max_connections_per_address=1,
    max_connections_per_login=1,
    max_recipients=5,
    max_line_bytes=300,
    max_backlog_bytes=500,
    max_errors=10,
    max_refused_recipients=4,
)
LONGEST_SEND = 20_000
"""Octets of a step."""
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_REPLY = re.compile(
    rb"(?:(?:250[- ](?!2\.)|220 |354 |334 |214 |421 4\.|2\d\d 2\.|4\d\d 4\.|5\d\d 5\.)[^\r\n\0]*\r\n)*", re.ASCII
)
"""Replies have an enhanced status code, but for the greeting, EHLO and what asks for more (RFC 2034)."""


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Site:
    """A server without sockets, and its hooks."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.taken = 0
        self.service = Service(
            options=OPTIONS,
            on_message=self._take,
            tls=_TLS if random.random() < 0.8 else None,
            behaviour=Behaviour(rcpt=self._rcpt),
            authenticate=self._who if random.random() < 0.3 else None,
        )

    def connect(self, address: str) -> Wire:
        return connected(self.service, address, HANDSHAKEN if self._random.random() < 0.3 else None)

    def _take(self, message: ReceivedMessage) -> "Answer | asyncio.Future[Answer]":
        self.taken += 1
        assert len(message.content) <= OPTIONS.max_message_bytes
        assert 0 < len(message.rcpt_to) <= OPTIONS.max_recipients
        assert message.helo and (message.login is not None) is (self.service.authenticate is not None)
        if not message.chunked:
            assert re.fullmatch(rb"(?:[^\r\n]|\r\n)*", message.content)
        kind = self._random.random()
        if kind < 0.5:
            return None
        return asyncio.ensure_future(self._later(None if kind < 0.8 else ServerReply(550, "5.7.1 no")))

    async def _later(self, answer: Answer) -> Answer:
        await asyncio.sleep(self._random.choice((0, 0.5, 400)))
        return answer

    async def _who(self, user: str, password: str, address: str) -> Login | ServerReply:
        await asyncio.sleep(self._random.choice((0, 0.5)))
        if password == "later":
            return ServerReply(454, "4.7.0 not now")
        return Login("key_1") if password == "secret" else ServerReply(535, "5.7.8 no such key")

    @staticmethod
    def _rcpt(address: str) -> Answer:
        if address.startswith("slow@"):
            return ServerReply(250, "2.1.5 ok", delay_s=2)
        if address.startswith("refused@"):
            return ServerReply(550, "5.1.1 no")
        return ServerReply(450, "4.2.1 later") if address.startswith("later@") else None


class Client:
    def __init__(self, site: Site, random: Random, address: str) -> None:
        self._site = site
        self._wire = site.connect(address)
        self._steps: list[Step] = stream(random)[::-1]

    @property
    def wire(self) -> Wire:
        while self._wire.upgraded is not None:
            self._wire = self._wire.upgraded
        return self._wire

    def has_more(self) -> bool:
        return bool(self._steps) and not self.wire.is_lost

    async def step(self) -> None:
        wire, service = self.wire, self._site.service
        match self._steps.pop():
            case Send(octets):
                if not wire.is_read:
                    await asyncio.sleep(1)
                if self.wire.is_read and not self.wire.is_lost:
                    self.wire.protocol.data_received(octets)
                assert len(self.wire.protocol.input) <= OPTIONS.max_backlog_bytes + LONGEST_SEND
                assert service.held_bytes <= OPTIONS.max_held_bytes
            case Pass(seconds):
                await asyncio.sleep(seconds)
            case StopReading():
                wire.stop_reading()
            case ReadOn():
                wire.read_on()
            case Leave():
                wire.lose()
            case StopServer():
                service.closing = True
                for one in tuple(service.wires):
                    one.shut_down()


async def play(random: Random) -> int:
    """Some clients at one server, until all connections have ended; returns the number of messages taken."""
    site = Site(random)
    clients = [
        Client(site, random, random.choice(("192.0.2.1", "2001:db8::1")))
        for _ in range(random.choice((1, 1, 1, 1, 2, 3)))
    ]
    while running := [client for client in clients if client.has_more()]:
        await random.choice(running).step()
    service = site.service
    # Who sends nothing more is ended, in every state, within the time for a message, and that for reading the answer.
    waits = 0
    while service.wires:
        await asyncio.sleep(OPTIONS.idle_timeout_s)
        waits += 1
        assert waits * OPTIONS.idle_timeout_s <= OPTIONS.message_timeout_s + 1000, "a connection never ends"
    await asyncio.sleep(500)  # what the hooks still do
    assert service.held_bytes == 0
    assert not service.addresses and not service.logins
    assert site.taken >= service.accepted
    for client in clients:
        assert _REPLY.fullmatch(bytes(client.wire.sent)), bytes(client.wire.sent)
        protocol = client.wire.protocol
        assert not protocol.input
        assert all(timer.cancelled() or timer.when() <= protocol._loop.time() for timer in protocol._timers.values())
    return site.taken


def run(first: int, count: int) -> int:
    """The seeds from ``first`` on, one server each; returns the number of messages taken. Raises AssertionError."""
    random = Random(first)
    errors: list[str] = []
    handler = _Errors()
    logging.getLogger().addHandler(handler)
    loop = WireLoop(random)
    loop.set_exception_handler(lambda _, context: errors.append(repr(context)))
    taken = 0
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            for seed in range(first, first + count):
                random.seed(seed)
                try:
                    taken += runner.run(play(random))
                    assert not errors and not handler.lines, (errors, handler.lines)
                except BaseException as error:
                    error.add_note(f"seed {seed}")
                    raise
    finally:
        logging.getLogger().removeHandler(handler)
    return taken


@given(st.integers(0, 2**64 - 1))
def test_no_stream_breaks_the_server(seed: int) -> None:
    run(seed, 1)


def test_the_streams_reach_what_they_are_for() -> None:
    assert run(0, 200) >= 10  # messages are taken, so the sessions get that far


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])))
