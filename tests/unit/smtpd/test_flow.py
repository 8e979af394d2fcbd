"""A client that does not read its replies is not read either, also over the change to TLS."""

import asyncio
import ssl
from random import Random

from cluster.smtpd.envelope import Behaviour, ServerOptions
from cluster.smtpd.protocol import Service
from tests.unit.smtpd.wire import Wire, WireLoop, connected
from tests.unit.virtual_time import settle

OPTIONS = ServerOptions(max_backlog_bytes=1000)


class _Smooth(Random):
    """Handshakes take no time, and succeed."""

    def random(self) -> float:
        return 0.99


def greeted() -> Wire:
    service = Service(
        options=OPTIONS, on_message=lambda _: None, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), behaviour=Behaviour()
    )
    wire = connected(service)
    wire.protocol.data_received(b"EHLO client.example\r\n")
    return wire


async def _a_client_that_stopped_reading_before_its_handshake() -> None:
    wire = greeted()
    wire.protocol.data_received(b"STARTTLS\r\n")
    wire.stop_reading()  # the buffers are full with this reply; who is told of their room from here on is TLS
    await settle()
    assert wire.upgraded is not None
    wire.upgraded.protocol.data_received(b"NOOP\r\n")
    assert wire.upgraded.sent.endswith(b"250 2.0.0 ok\r\n")
    assert not wire.protocol.input
    wire.upgraded.lose()
    await settle()


async def _what_still_arrives_is_bounded() -> None:
    wire = greeted()
    wire.stop_reading()
    wire.resume_reading()  # an event loop that was about to read
    wire.protocol.data_received(b"NOOP\r\n" * 200)
    assert (wire.is_read, wire.sent.count(b"2.0.0 ok")) == (False, 0)
    wire.read_on()
    assert (wire.is_read, wire.sent.count(b"2.0.0 ok")) == (True, 200)
    wire.lose()
    await settle()


def _run(test: object) -> None:
    with asyncio.Runner(loop_factory=lambda: WireLoop(_Smooth())) as runner:
        runner.run(test)  # type: ignore[arg-type]


def test_a_client_that_stopped_reading_before_its_handshake_is_served_after_it() -> None:
    _run(_a_client_that_stopped_reading_before_its_handshake())


def test_what_still_arrives_from_a_client_that_does_not_read_is_bounded() -> None:
    _run(_what_still_arrives_is_bounded())


async def test_the_greeting_repeats_no_control_character_of_the_client() -> None:
    wire = greeted()
    wire.protocol.data_received("EHLO a\x1b[2J\x08\u202eb\r\n".encode())
    assert b"greets a\\x1b[2J" in wire.sent
    assert b"\x1b" not in wire.sent and b"\x08" not in wire.sent and "\u202e".encode() not in wire.sent
