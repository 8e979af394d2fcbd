"""Peers that close, stall, or send invalid or false replies: each case ends in one ConnectionLost, which says whether a
duplicate is possible."""

import asyncio
import gc
import ssl

import msgspec
import pytest

from actors.smtp.client import SmtpConnection
from actors.smtp.protocol import ConnectionLost
from cluster.policy.replies.stage import Stage
from cluster.settings import SmtpSettings
from tests.integration.smtp.client import DATA, ENVELOPE, MAX_WAIT_S, PATIENT, TWO, connected
from tests.integration.smtp.peer import EXTENSIONS, Answer, Peer, Step

CHUNKS = EXTENSIONS
PIPELINED = ("PIPELINING",)
ONE_BY_ONE = ()
SHORT = SmtpSettings(
    connect_timeout_s=20,
    greeting_timeout_s=20,
    mail_timeout_s=0.05,
    rcpt_timeout_s=0.05,
    data_initiation_timeout_s=0.05,
    data_block_timeout_s=0.05,
    data_termination_timeout_s=0.05,
)
LARGE = b"x" * 998 + b"\r\n"
LARGE = LARGE * 8000

# extensions, the verb at fault, the stage, whether the whole message had been written
CASES = [
    (CHUNKS, "MAIL", Stage.MAIL, True),
    (CHUNKS, "RCPT", Stage.RCPT, True),
    (CHUNKS, "BDAT", Stage.END_OF_DATA, True),
    (PIPELINED, "MAIL", Stage.MAIL, False),
    (PIPELINED, "RCPT", Stage.RCPT, False),
    (PIPELINED, "DATA", Stage.DATA, False),
    (PIPELINED, "END", Stage.END_OF_DATA, True),
    (ONE_BY_ONE, "MAIL", Stage.MAIL, False),
    (ONE_BY_ONE, "RCPT", Stage.RCPT, False),
    (ONE_BY_ONE, "DATA", Stage.DATA, False),
    (ONE_BY_ONE, "END", Stage.END_OF_DATA, True),
]
AT_EVERY_STAGE = pytest.mark.parametrize(("extensions", "verb", "stage", "written"), CASES)


async def lost(peer: Peer, *, settings: SmtpSettings = PATIENT, data: bytes = DATA) -> ConnectionLost:
    """How the first transaction ends. A host that announces CHUNKING counts as one that has accepted BDAT before."""
    async with connected(peer, settings=settings, takes_bdat=True) as connection:
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, data)
        assert not connection.is_usable
        with pytest.raises(ConnectionLost):
            await connection.send(ENVELOPE, data)
        await asyncio.wait_for(peer.disconnected.wait(), MAX_WAIT_S)
    return raised.value


@AT_EVERY_STAGE
@pytest.mark.parametrize("encrypted", [True, False])
async def test_dropped(
    extensions: tuple[str, ...], verb: str, stage: Stage, written: bool, encrypted: bool, server_tls: ssl.SSLContext
) -> None:
    peer = Peer({verb: (Step.DROP,)}, extensions=extensions, tls=server_tls if encrypted else None)
    failure = await lost(peer)
    assert (failure.stage, failure.after_end_of_data, failure.reply) == (stage, written, None)


@AT_EVERY_STAGE
async def test_421(extensions: tuple[str, ...], verb: str, stage: Stage, written: bool) -> None:
    failure = await lost(Peer({verb: (b"421-4.3.2 closing\r\n421 4.3.2 bye\r\n",)}, extensions=extensions))
    # The peer has refused, so the outcome is certain, however much was written.
    assert (failure.stage, failure.after_end_of_data) == (stage, False)
    assert failure.reply is not None
    assert failure.reply.text == "421-4.3.2 closing\n421 4.3.2 bye"


@AT_EVERY_STAGE
async def test_stalled(extensions: tuple[str, ...], verb: str, stage: Stage, written: bool) -> None:
    # Only the phase at fault has a short time limit, which shows that each phase has its own.
    phase = {
        Stage.MAIL: "mail_timeout_s",
        Stage.RCPT: "rcpt_timeout_s",
        Stage.DATA: "data_initiation_timeout_s",
        Stage.END_OF_DATA: "data_termination_timeout_s",
    }[stage]
    settings = msgspec.structs.replace(PATIENT, **{phase: 0.03})
    failure = await lost(Peer({verb: (Step.STALL,)}, extensions=extensions), settings=settings)
    assert (failure.stage, failure.reason, failure.after_end_of_data) == (stage, "timed out", written)


@AT_EVERY_STAGE
@pytest.mark.parametrize(
    "answer",
    [
        (b"endless line", Step.FLOOD),
        (b"\x00\x01\xff\xfe\r\n",),
        (b"250", b"\x00 ok\r\n"),
    ],
)
async def test_not_a_reply(extensions: tuple[str, ...], verb: str, stage: Stage, written: bool, answer: Answer) -> None:
    failure = await lost(Peer({verb: answer}, extensions=extensions))
    assert (failure.stage, failure.after_end_of_data, failure.reply) == (stage, written, None)


@pytest.mark.parametrize("extensions", [CHUNKS, PIPELINED, ONE_BY_ONE])
@pytest.mark.parametrize("line", [b"250-and another\r\n", b"250 " + b"x" * 5000])
async def test_an_endless_reply_to_the_message_counts_by_its_code_once(
    extensions: tuple[str, ...], line: bytes
) -> None:
    verb = "BDAT" if extensions is CHUNKS else "END"
    async with connected(Peer({verb: (line, Step.FLOOD)}, extensions=extensions), takes_bdat=True) as connection:
        result = await connection.send(ENVELOPE, DATA)
        assert result.final is not None and result.final.code == 250
        assert not connection.is_usable


@pytest.mark.parametrize("extensions", [CHUNKS, PIPELINED, ONE_BY_ONE])
async def test_a_peer_that_stops_reading(extensions: tuple[str, ...], server_tls: ssl.SSLContext) -> None:
    settings = msgspec.structs.replace(PATIENT, data_block_timeout_s=0.05)
    peer = Peer(extensions=extensions, tls=server_tls)
    async with connected(peer, settings=settings) as connection:
        peer.body_may_be_read.clear()
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, LARGE)
        assert (raised.value.reason, raised.value.after_end_of_data) == ("timed out", False)
        peer.body_may_be_read.set()


async def test_a_peer_that_goes_while_the_body_is_written() -> None:
    peer = Peer({"DATA": (b"354 go\r\n", Step.DROP)}, extensions=PIPELINED)
    failure = await lost(peer, data=LARGE)
    assert (failure.stage, failure.after_end_of_data) == (Stage.END_OF_DATA, False)


async def test_the_last_word_of_a_peer_that_hangs_up_in_the_body_counts() -> None:
    peer = Peer(extensions=PIPELINED)
    peer.body_may_be_read.clear()
    async with connected(peer) as connection:
        sending = asyncio.create_task(connection.send(ENVELOPE, LARGE))
        while not connection.wire.writing_paused:
            await asyncio.sleep(0)
        peer.writers[0].write(b"552 5.3.4 too much\r\n")
        while len(connection.wire.received) != 1:
            await asyncio.sleep(0)
        peer.writers[0].transport.abort()
        result = await sending
        assert result.final is not None
        assert result.final.code == 552
        assert not connection.is_usable


@pytest.mark.parametrize(("verb", "count"), [("MAIL", 0), ("RCPT", 2)])
@pytest.mark.parametrize("ending", [(Step.DROP,), (b"421 4.7.0 too many errors\r\n",), (b"?\r\n",)])
async def test_refused_and_hung_up_on(verb: str, count: int, ending: Answer) -> None:
    """The refusal decides the recipients, although the connection is lost."""
    script: dict[str, Answer | list[Answer]] = {verb: (b"550 5.7.1 no\r\n",)}
    if verb == "MAIL":
        script["RCPT"] = ending
    else:
        script["BDAT"] = ending
    async with connected(Peer(script), takes_bdat=True) as connection:
        result = await connection.send(TWO, DATA)
        assert [outcome.reply.code for outcome in result.outcomes(TWO)] == [550, 550]
        assert len(result.recipients) == count
        assert not connection.is_usable


async def test_partly_refused_and_hung_up_on() -> None:
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": [(b"550 5.1.1 no\r\n",), (b"250 ok\r\n",)],
        "BDAT": (Step.DROP,),
    }
    async with connected(Peer(script)) as connection:
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(TWO, DATA)
        assert raised.value.after_end_of_data


async def until_unusable(connection: SmtpConnection) -> None:
    async with asyncio.timeout(MAX_WAIT_S):
        while connection.is_usable:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (b"421 4.4.2 idle for too long\r\n", "421 4.4.2 idle for too long"),
        (b"250 ok?\r\n", "250 ok?"),
        (b"?\r\n", None),
    ],
)
async def test_words_between_transactions(words: bytes, reply: str | None, server_tls: ssl.SSLContext) -> None:
    peer = Peer(tls=server_tls)
    async with connected(peer) as connection:
        await connection.send(ENVELOPE, DATA)
        peer.writers[0].write(words)
        await until_unusable(connection)
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, DATA)
        assert (raised.value.stage, raised.value.after_end_of_data) == (Stage.IDLE, False)
        assert (raised.value.reply and raised.value.reply.text) == reply
    assert peer.messages == [DATA]


async def test_closed_between_transactions() -> None:
    peer = Peer()
    async with connected(peer) as connection:
        peer.writers[0].close()
        await until_unusable(connection)
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, DATA)
        assert (raised.value.stage, raised.value.reason) == (Stage.IDLE, "closed by the peer")


async def test_one_reply_too_many_does_not_answer_the_next_command() -> None:
    async with connected(Peer({"BDAT": (b"250 ok\r\n250 and more\r\n",)})) as connection:
        result = await connection.send(ENVELOPE, DATA)
        assert result.final is not None
        assert result.final.text == "250 ok"
        assert not connection.is_usable


async def test_refused_rset() -> None:
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": (b"550 5.1.1 no\r\n",),
        "RSET": (b"502 5.5.1 no\r\n",),
        "MAIL": [(b"250 ok\r\n",), (b"503 5.5.1 nested MAIL\r\n",)],
        "BDAT": (b"503 5.5.1 no recipients\r\n",),
    }
    async with connected(Peer(script)) as connection:
        await connection.send(ENVELOPE, DATA)
        with pytest.raises(ConnectionLost) as raised:
            await connection.send(ENVELOPE, DATA)
        assert (raised.value.stage, raised.value.after_end_of_data) == (Stage.RSET, False)


async def test_cancelling_closes_the_connection() -> None:
    peer = Peer({"BDAT": (Step.STALL,)})
    async with connected(peer, takes_bdat=True) as connection:
        sending = asyncio.create_task(connection.send(ENVELOPE, DATA))
        while not peer.messages:
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not connection.is_usable


@pytest.mark.parametrize("answer", [(Step.DROP,), (b"500 what?\r\n",), (b"\x00\r\n",), (b"421 bye\r\n",)])
async def test_quit_never_raises(answer: Answer, server_tls: ssl.SSLContext) -> None:
    async with connected(Peer({"QUIT": answer}, tls=server_tls)) as connection:
        await connection.quit()
        assert not connection.is_usable
        await connection.quit()


async def test_quit_is_bounded() -> None:
    async with connected(Peer({"QUIT": (Step.STALL,)}), settings=SHORT) as connection:
        await connection.quit()
        assert not connection.is_usable


async def test_abort_is_silent_and_leaves_nothing_behind() -> None:
    peer = Peer()
    async with connected(peer) as connection:
        connection.abort()
        assert not connection.is_usable
        await asyncio.wait_for(peer.disconnected.wait(), MAX_WAIT_S)
        wire = connection.wire
        await wire.wait_closed()
        assert wire.timer is None
    assert peer.verbs == ["EHLO"]
    gc.collect()  # a transport left open warns here, and a warning fails the test
