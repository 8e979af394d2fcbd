"""Messages that arrive too slowly, have a header that is too long, or a bare CR or LF: the server refuses them."""

import asyncio

import pytest

from cluster.smtpd.content import ContentReader, Problem
from cluster.smtpd.envelope import Behaviour, ReceivedMessage, ServerOptions
from cluster.smtpd.protocol import Service
from tests.unit.smtpd.wire import Wire, connected
from tests.unit.virtual_time import in_virtual_time

LIMIT = 40
OPTIONS = ServerOptions(max_header_bytes=LIMIT)
BEGIN = b"EHLO c.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"


def a_service(taken: list[ReceivedMessage]) -> Service:
    def take(message: ReceivedMessage) -> None:
        taken.append(message)

    return Service(options=OPTIONS, on_message=take, tls=None, behaviour=Behaviour())


def with_a_recipient(taken: list[ReceivedMessage]) -> Wire:
    """A connection on which the content of a message comes next."""
    wire = connected(a_service(taken))
    wire.protocol.data_received(BEGIN)
    return wire


@pytest.mark.parametrize("begin", [b"DATA\r\n", b"BDAT 1000000 LAST\r\n"])
@pytest.mark.parametrize(("octets", "is_slow"), [(0, True), (1, True), (3000, True), (10_000, False)])
@in_virtual_time
async def test_a_message_that_hardly_comes_is_given_up(begin: bytes, octets: int, is_slow: bool) -> None:
    taken: list[ReceivedMessage] = []
    wire = with_a_recipient(taken)
    loop = asyncio.get_running_loop()
    wire.protocol.data_received(begin + b"X: y\r\n\r\n")
    began = loop.time()
    while not wire.is_closing() and loop.time() < began + 3000:
        await asyncio.sleep(59)
        if octets and not wire.is_closing():
            wire.protocol.data_received(b"a" * octets)
    if is_slow:
        assert wire.sent.endswith(b"421 4.4.2 the message comes too slowly\r\n")
        assert 180 <= loop.time() - began <= 240
    else:
        assert wire.sent.count(b"421") == 0
    wire.lose()
    await asyncio.sleep(0)
    assert not taken and not wire.protocol.service.held_bytes


@pytest.mark.parametrize("earlier", [1, 2])
@in_virtual_time
async def test_a_message_has_the_same_time_after_others(earlier: int) -> None:
    taken: list[ReceivedMessage] = []
    wire = with_a_recipient(taken)
    loop = asyncio.get_running_loop()
    for _ in range(earlier):
        wire.protocol.data_received(b"DATA\r\nX: y\r\n\r\na\r\n.\r\n" + BEGIN.partition(b"\n")[2])
        await asyncio.sleep(170)
    wire.protocol.data_received(b"DATA\r\nX: y\r\n\r\n")
    began = loop.time()
    while not wire.is_closing() and loop.time() < began + 3000:
        await asyncio.sleep(1)
    assert wire.sent.endswith(b"421 4.4.2 the message comes too slowly\r\n")
    assert 180 <= loop.time() - began <= 182 and len(taken) == earlier


@in_virtual_time
async def test_a_pause_between_messages_and_chunks_is_no_stall() -> None:
    taken: list[ReceivedMessage] = []
    wire = with_a_recipient(taken)
    for piece in (b"BDAT 8\r\nX: y\r\n\r\n", b"BDAT 1 LAST\r\na", BEGIN.partition(b"\n")[2], b"NOOP\r\n"):
        wire.protocol.data_received(piece)
        await asyncio.sleep(250)
    assert wire.sent.count(b"421") == 0 and len(taken) == 1
    wire.lose()


@pytest.mark.parametrize("text", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\nb\r\n", b"a\r", b"a\n"])
@pytest.mark.parametrize("by_lines", [True, False], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("cut", [1, 2, 1000])
@in_virtual_time
async def test_a_bare_line_end_is_refused(text: bytes, by_lines: bool, cut: int) -> None:
    """However the message comes: what is taken here is sent on by DATA or BDAT, as the next host offers it."""
    taken: list[ReceivedMessage] = []
    wire = with_a_recipient(taken)
    content = b"X: y\r\n\r\n" + text
    pieces = [content[at : at + cut] for at in range(0, len(content), cut)]
    wire.protocol.data_received(b"DATA\r\n" if by_lines else b"")
    for piece in pieces:
        wire.protocol.data_received(piece if by_lines else b"BDAT %d\r\n%b" % (len(piece), piece))
    wire.protocol.data_received(b"\r\n.\r\n" if by_lines else b"BDAT 0 LAST\r\n")
    assert wire.sent.endswith(b"550 5.6.0 bare CR or LF in the message (RFC 5321 section 2.3.8)\r\n")
    assert not taken and not wire.protocol.service.held_bytes
    wire.lose()


def header(octets: int) -> bytes:
    return b"X: ".ljust(octets - 2, b"a") + b"\r\n"


@pytest.mark.parametrize("by_lines", [True, False], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("cut", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (header(LIMIT) + b"\r\n" + b"body\r\n" * 100, None),
        (header(LIMIT + 1) + b"\r\n" + b"body\r\n", Problem.LONG_HEADER),
        (header(10) * 5 + b"\r\nbody\r\n", Problem.LONG_HEADER),
        (b"\r\n" + b"a" * 200 + b"\r\n", None),
        (header(10) * 4 + b"\r\n", None),
        (b"a" * 200 + b"\r\n", Problem.LONG_HEADER),
    ],
)
def test_a_header_is_bounded_while_it_is_read(
    by_lines: bool, cut: int, content: bytes, problem: Problem | None
) -> None:
    service = a_service([])
    reader = ContentReader(service)
    sent = content + b".\r\n" if by_lines else content
    source = bytearray()
    after: int | None = None
    held = 0
    for start in range(0, len(sent), cut):
        source = bytearray(sent[start : start + cut])
        if by_lines:
            after = reader.take_lines(source, 0)
        else:
            reader.take_octets(source, 0, len(source))
        held = max(held, service.held_bytes)
    assert reader.problem is problem
    if by_lines:
        assert after == len(source)
    if problem is None:
        assert reader.finish() == content
    elif cut < LIMIT:
        assert held <= LIMIT + 10
    reader.release()
    assert service.held_bytes == 0
