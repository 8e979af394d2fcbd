"""The sink's fast path and its general path: a flight has the same replies and records as its single commands."""

import asyncio
import io
from random import Random
from typing import Any

import msgspec
import pytest

from actors.smtp.commands import Envelope, Unsendable, transaction_commands
from benchmarks.flight_session import FlightSession
from benchmarks.sink import Manner, Sink, SinkBehavior
from benchmarks.sink_log import ConnectionEnded, Line, Receipt
from cluster.message.return_address import Named, Purpose, return_address
from cluster.smtpd.envelope import Answer, Extension, ReceivedMessage, ServerOptions
from cluster.smtpd.protocol import Service
from cluster.tracking.tokens import TokenKey

MESSAGE_ID = "msg_01JZZZZZZZZZZZZZZZZZZZZZZZ"
MESSAGE = b"Message-ID: <m@example.com>\r\n\r\nhello\r\n"


class FakeTransport(asyncio.Transport):
    """Records what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = ""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Talk:
    """The client's side of one session, after EHLO."""

    def __init__(self, order: SinkBehavior, without: tuple[Extension, ...] = ()) -> None:
        self._log = io.BytesIO()
        sink = Sink(self._log, Random(0))
        options = ServerOptions(extensions=frozenset(Extension) - set(without))
        self.long_ways = 0

        def take(envelope: ReceivedMessage) -> Answer:
            self.long_ways += 1
            return sink.take(envelope)

        service = Service(options=options, on_message=take, tls=None, behaviour=sink.behaviour())
        self.transport = FakeTransport()
        self.session = FlightSession(service, 0.0, sink.ended, sink.decide)
        self.session.connection_made(self.transport)
        self.session.data_received(b"EHLO bench.test\r\n")
        self.transport.written = b""
        sink.obey(order)

    def say(self, *pieces: bytes) -> list[bytes]:
        """Feed each piece alone; returns all replies so far, up to the enhanced status code."""
        for piece in pieces:
            self.session.data_received(piece)
        return [line[:9] for line in self.transport.written.splitlines()]

    def end(self) -> list[Line]:
        """End the session; returns its records."""
        self.session.connection_lost(None)
        decode = msgspec.json.Decoder(Line).decode
        *receipts, ended = [decode(line) for line in self._log.getvalue().splitlines()]
        assert isinstance(ended, ConnectionEnded)
        return receipts


def transaction(*rcpts: bytes, mail: bytes = b"<a@b.test>", content: bytes = MESSAGE) -> list[bytes]:
    return [
        b"MAIL FROM:%b\r\n" % mail,
        *(b"RCPT TO:<%b>\r\n" % rcpt for rcpt in rcpts),
        b"BDAT %d LAST\r\n" % len(content) + content,
    ]


def facts(lines: list[Line]) -> list[tuple[str, tuple[str, ...], bool, bool]]:
    return [(one.message_id, one.recipients, one.accepted, one.replied) for one in lines if isinstance(one, Receipt)]


SENT = Envelope(
    mail_from=return_address(
        TokenKey(1, b"k" * 32),
        Named(purpose=Purpose.REPORTS, tenant_number=3, message_id=MESSAGE_ID, recipient_no=0),
        "bounces.b.test",
    ),
    recipients=("reader7-0@d.test", "other+tag@d.test"),
    envelope_id=MESSAGE_ID,
)


def as_sent(content: bytes) -> list[bytes]:
    """The transaction as the delivery code writes it to a host that offers everything."""
    offered = dict.fromkeys(map(str, Extension), "")
    commands = transaction_commands(SENT, content, offered)
    assert not isinstance(commands, Unsendable)
    return [*commands, b"BDAT %d LAST\r\n" % len(content) + content]


SCRIPTS = [
    transaction(b"c@d.test"),
    as_sent(MESSAGE),
    as_sent(MESSAGE + b"\xc3\xa9\r\n"),
    transaction(b"c@d.test", mail=b"<> SIZE=600 BODY=8BITMIME"),
    transaction(*(b"c%d@d.test" % i for i in range(9))),
    transaction(b"c@d.test", content=b"no header"),
    transaction(b"c@d.test", b"x.no@d.test"),
    transaction(b"x.no@d.test"),
    transaction(b"x.later@d.test", b"c@d.test"),
    transaction(b"c@d.test", mail=b"<a@b.test> SIZE=999999999"),
    transaction(b"c@d.test", mail=b"<a@b.test> UNKNOWN=1"),
    transaction(b"c@d.test") + transaction(b"e@f.test"),
    [b"MAIL FROM:<open@b.test>\r\n", *transaction(b"c@d.test")],
    [b"RSET\r\n", *transaction(b"c@d.test")],
    [*transaction(b"c@d.test"), b"NOOP\r\n"],
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("manner", list(Manner))
async def test_both_ways_answer_alike(script: list[bytes], manner: Manner) -> None:
    short, long = Talk(SinkBehavior(manner)), Talk(SinkBehavior(manner))
    assert short.say(b"".join(script)) == long.say(*script)
    assert short.transport.ended == long.transport.ended
    assert short.session.state == long.session.state
    assert facts(short.end()) == facts(long.end())


@pytest.mark.parametrize("without", [Extension.CHUNKING, Extension.SIZE, Extension.PIPELINING, Extension.DSN])
async def test_what_is_not_offered_goes_the_long_way(without: Extension) -> None:
    script = transaction(b"c@d.test", mail=b"<a@b.test> SIZE=40")
    short, long = Talk(SinkBehavior(Manner.HONEST), (without,)), Talk(SinkBehavior(Manner.HONEST), (without,))
    assert short.say(b"".join(script)) == long.say(*script)
    assert facts(short.end()) == facts(long.end())


@pytest.mark.parametrize("content", [MESSAGE, MESSAGE + b"\xc3\xa9\r\n"])
async def test_what_is_sent_is_a_flight(content: bytes) -> None:
    talk = Talk(SinkBehavior(Manner.HONEST))
    talk.say(b"".join(as_sent(content)))
    assert talk.long_ways == 0
    assert facts(talk.end()) == [("m", SENT.recipients, True, True)]


async def test_flight_upon_flight() -> None:
    talk = Talk(SinkBehavior(Manner.HONEST))
    flight = b"".join(transaction(b"c@d.test"))
    assert len(talk.say(flight, flight, flight[:30], flight[30:], flight)) == 12
    assert talk.long_ways == 1
    assert [message_id for message_id, *_ in facts(talk.end())] == ["m"] * 4


async def test_a_flight_before_ehlo_is_out_of_order() -> None:
    talk = Talk(SinkBehavior(Manner.HONEST))
    talk.session.forget()
    assert talk.say(b"".join(transaction(b"c@d.test"))) == [b"503 5.5.1"] * 3
    assert talk.end() == []
