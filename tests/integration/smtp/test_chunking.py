"""Announced CHUNKING: no octet of a message is sent before the host has accepted BDAT.

Otherwise a tenant's text would be commands to a host that announces CHUNKING but does not implement it.
"""

import asyncio

import msgspec
import pytest

from actors.smtp.commands import Envelope
from actors.smtp.protocol import ConnectionLost
from cluster.policy.replies.stage import Stage
from tests.integration.smtp.client import DATA, ENVELOPE, MAX_WAIT_S, PATIENT, TWO, connected
from tests.integration.smtp.peer import Answer, Peer, Step

REFUSED = {"CHUNKING"}
FORGED = (
    b"Subject: hello\r\n\r\nRSET\r\nMAIL FROM:<ceo@victim.test>\r\nRCPT TO:<victim@peer.test>\r\nDATA\r\n"
    b"Subject: forged\r\n\r\nPay him.\r\n.\r\nQUIT\r\n"
)
LARGE = FORGED + b"MAIL FROM:<ceo@victim.test>\r\n" * 3000
"""A message that is written in several pieces."""
HUGE = FORGED + (b"x" * 998 + b"\r\n") * 8000
"""A message that is larger than the sockets' buffers."""
EMPTY = b"BDAT 0"
LAST = b"BDAT %d LAST" % len(DATA)


def said(peer: Peer) -> list[bytes]:
    """The commands without their parameters, except BDAT's."""
    return [line if line.startswith(b"BDAT") else line.split()[0] for line in peer.commands]


@pytest.mark.parametrize("data", [FORGED, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("code", [500, 501, 502, 503, 504, 550, 554])
async def test_a_message_cannot_speak_smtp(code: int, data: bytes) -> None:
    peer = Peer({"BDAT": (b"%d 5.5.1 what?\r\n" % code,)}, lacks=frozenset(REFUSED))
    async with connected(peer) as connection:
        for _ in range(2):
            result = await connection.send(ENVELOPE, data)
            assert result.final is not None
            assert (result.final_stage, result.final.code) == (Stage.END_OF_DATA, 250)
        assert connection.in_vain == REFUSED
    transaction = [b"MAIL", b"RCPT", b"DATA"]
    assert said(peer) == [b"EHLO", b"MAIL", b"RCPT", EMPTY, b"RSET", *transaction * 2, b"QUIT"]
    assert not any(b"victim" in command for command in peer.commands)
    assert peer.messages == [data, data]


async def test_the_first_message_waits_for_the_host_and_later_ones_do_not() -> None:
    shown: list[bool] = []
    peer = Peer()
    async with connected(peer) as connection:
        connection.shown = shown.append
        for _ in range(3):
            await connection.send(ENVELOPE, DATA)
        assert connection.takes_bdat
    first, later = [b"MAIL", b"RCPT", EMPTY, LAST], [b"MAIL", b"RCPT", LAST]
    assert said(peer) == [b"EHLO", *first, *later, *later, b"QUIT"]
    assert peer.messages == [DATA] * 3
    assert shown == [True]


async def test_nothing_of_the_message_leaves_before_the_answer_to_the_empty_chunk() -> None:
    peer = Peer({"CHUNK": (Step.STALL,)})
    async with connected(peer) as connection:
        sending = asyncio.create_task(connection.send(ENVELOPE, DATA))
        while EMPTY not in peer.commands or connection.wire.stage is not Stage.DATA:
            await asyncio.sleep(0)
        assert not connection.wire.end_of_data_written
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert not peer.messages
    assert said(peer) == [b"EHLO", b"MAIL", b"RCPT", EMPTY]


@pytest.mark.parametrize("code", [421, 450, 451])
async def test_not_now_to_the_empty_chunk_is_said_to_the_message(code: int) -> None:
    async with connected(Peer({"CHUNK": (b"%d 4.3.0 later\r\n" % code,)})) as connection:
        if code == 421:
            with pytest.raises(ConnectionLost):
                await connection.send(ENVELOPE, DATA)
        else:
            (outcome,) = (await connection.send(ENVELOPE, DATA)).outcomes(ENVELOPE)
            assert (outcome.stage, outcome.reply.code) == (Stage.DATA, code)
        assert not connection.in_vain
        assert not connection.takes_bdat


@pytest.mark.parametrize("code", [250, 503, 554])
async def test_without_a_recipient_an_answer_shows_nothing(code: int) -> None:
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": [(b"550 5.1.1 no\r\n",), (b"250 ok\r\n",)],
        "CHUNK": [(b"%d what?\r\n" % code,), (b"250 ok\r\n",)],
    }
    peer = Peer(script)
    async with connected(peer) as connection:
        await connection.send(ENVELOPE, DATA)
        assert not connection.takes_bdat
        result = await connection.send(ENVELOPE, DATA)
        assert result.final is not None
        assert result.final.code == 250
    assert said(peer) == [b"EHLO", b"MAIL", b"RCPT", EMPTY, b"RSET", b"MAIL", b"RCPT", EMPTY, LAST, b"QUIT"]


@pytest.mark.parametrize("answer", [(Step.DROP,), (Step.STALL,), (b"what\r\n",), (b"354 go on\r\n",)])
async def test_a_host_that_chokes_on_an_empty_chunk_gets_the_next_message_by_data(answer: Answer) -> None:
    settings = msgspec.structs.replace(PATIENT, data_initiation_timeout_s=0.05)
    async with connected(Peer({"CHUNK": answer}), settings=settings) as connection:
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, DATA)
        assert (raised.value.stage, raised.value.after_end_of_data) == (Stage.DATA, False)
        assert connection.in_vain == REFUSED


@pytest.mark.parametrize("data", [FORGED, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("takes_bdat", [False, True])
async def test_a_host_that_no_longer_takes_bdat_hears_no_more(takes_bdat: bool, data: bytes) -> None:
    """It may be another machine that is executing the message as commands, so its replies are not trusted."""
    shown: list[bool] = []
    peer = Peer({"BDAT": (b"502 5.5.1 BDAT?\r\n", b"500 5.5.1 Subject:?\r\n", b"250 ok\r\n")})
    async with connected(peer, takes_bdat=takes_bdat) as connection:
        connection.shown = shown.append
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(TWO, data)
        assert (raised.value.stage, raised.value.after_end_of_data) == (Stage.END_OF_DATA, False)
        assert not connection.is_usable
        assert connection.in_vain == REFUSED
    assert shown == [False]
    assert said(peer)[-1].startswith(b"BDAT")


async def test_a_refused_chunk_that_was_not_thrown_away_ends_the_connection() -> None:
    """RFC 3030 §2: a server discards the octets of a refused chunk. Its replies to them must not be taken as replies to
    the next message."""
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": [(b"550 5.1.1 no\r\n",), (b"250 ok\r\n",)],
        "BDAT": [(b"503 5.5.1 RCPT first\r\n",), (b"250 ok\r\n",)],
        "RSET": (b"500 5.5.1 Subject: what?\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",),
    }
    peer = Peer(script)
    async with connected(peer, takes_bdat=True) as connection:
        assert (await connection.send(ENVELOPE, DATA)).final is None
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, DATA)
        assert (raised.value.stage, raised.value.after_end_of_data) == (Stage.RSET, False)
    assert said(peer) == [b"EHLO", b"MAIL", b"RCPT", LAST, b"RSET"]


@pytest.mark.parametrize("extensions", [("PIPELINING", "CHUNKING"), ("PIPELINING",)])
async def test_what_is_accepted_before_its_end_is_not_accepted(extensions: tuple[str, ...]) -> None:
    peer = Peer(extensions=extensions)
    async with connected(peer, takes_bdat=True) as connection:
        peer.body_may_be_read.clear()
        sending = asyncio.create_task(connection.send(ENVELOPE, HUGE))
        while not connection.wire.writing_paused:
            await asyncio.sleep(0)
        replies = b"250 ok\r\n" * (3 if "CHUNKING" in extensions else 1)
        peer.writers[0].write(replies)
        with pytest.raises(ConnectionLost) as raised:
            await asyncio.wait_for(sending, MAX_WAIT_S)
        assert (raised.value.stage, raised.value.after_end_of_data) == (Stage.END_OF_DATA, False)
        peer.body_may_be_read.set()


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
async def test_nothing_more_is_said_to_a_host_that_answers_250_to_data(extensions: tuple[str, ...]) -> None:
    """It may be waiting for a message, so commands would become its text."""
    peer = Peer({"DATA": (b"250 ok\r\n",)}, extensions=extensions)
    async with connected(peer) as connection:
        (outcome,) = (await connection.send(ENVELOPE, DATA)).outcomes(ENVELOPE)
        assert (outcome.stage, outcome.reply.code) == (Stage.DATA, 250)
        assert not connection.is_usable
    assert said(peer)[-1] == b"DATA"


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "END"])
async def test_nothing_more_is_sent_to_a_host_that_waits_for_what_never_comes(verb: str) -> None:
    peer = Peer({verb: (b"354 go on\r\n",)}, extensions=("PIPELINING",))
    async with connected(peer) as connection:
        await connection.send(Envelope("a@example.org", ("b@peer.test",)), DATA)
        assert not connection.is_usable
    assert "QUIT" not in peer.verbs
