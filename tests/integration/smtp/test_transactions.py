"""Transactions with correct peers and with peers that refuse: modes, fallbacks, outcomes of each recipient."""

import asyncio
import ssl

import pytest

from actors.smtp.commands import Envelope, Unsendable
from actors.smtp.reply import Reply
from cluster.policy.replies.stage import Stage
from tests.integration.smtp.client import DATA, ENVELOPE, TWO, connected
from tests.integration.smtp.peer import EXTENSIONS, Answer, Peer, each_byte

CHUNKS = EXTENSIONS
PIPELINED = ("PIPELINING", "8BITMIME", "SIZE")
ONE_BY_ONE = ("8BITMIME",)
MODES = [CHUNKS, PIPELINED, ONE_BY_ONE]
LARGE = b"Subject: large\r\n\r\n" + b"..a line of a large message\r\n" * 200_000


def codes(*replies: Reply | None) -> list[int]:
    return [reply.code for reply in replies if reply is not None]


@pytest.mark.parametrize("extensions", MODES)
@pytest.mark.parametrize("encrypted", [True, False])
async def test_delivered(extensions: tuple[str, ...], encrypted: bool, server_tls: ssl.SSLContext) -> None:
    peer = Peer(extensions=extensions, tls=server_tls if encrypted else None)
    async with connected(peer) as connection:
        result = await connection.send(TWO, DATA)
        assert codes(result.mail, *result.recipients, result.final) == [250, 250, 250, 250]
        assert result.duration > 0
        again = await connection.send(ENVELOPE, DATA)
        assert [outcome.stage for outcome in again.outcomes(ENVELOPE)] == [Stage.END_OF_DATA]
        assert connection.transactions == 2
        assert connection.is_usable
    assert peer.messages == [DATA, DATA]
    assert "RSET" not in peer.verbs
    assert ("BDAT" in peer.verbs) == (extensions is CHUNKS)


@pytest.mark.parametrize("extensions", MODES)
async def test_who_watches_sees_the_dialogue_and_no_content(
    extensions: tuple[str, ...], server_tls: ssl.SSLContext
) -> None:
    seen: list[tuple[str, str]] = []
    peer = Peer(extensions=extensions, tls=server_tls)
    async with connected(peer, observe=lambda direction, text: seen.append((direction, text))) as connection:
        await connection.send(ENVELOPE, DATA)
    said = [text.partition(" ")[0] for direction, text in seen if direction == "C"]
    assert said[:3] == ["EHLO", "STARTTLS", "EHLO"]
    assert {"MAIL", "RCPT", "QUIT"} <= set(said)
    assert any(direction == "C" and text.endswith("octets of the message)") for direction, text in seen)
    assert any(direction == "*" and text.startswith("encrypted: TLSv1.3") for direction, text in seen)
    assert any(direction == "S" and text.startswith("250") for direction, text in seen)
    assert not any("hello" in text or "dots" in text for _, text in seen)


@pytest.mark.parametrize("extensions", MODES)
async def test_5_mb_to_a_slow_reader(extensions: tuple[str, ...], server_tls: ssl.SSLContext) -> None:
    peer = Peer(extensions=extensions, tls=server_tls)
    async with connected(peer) as connection:
        peer.body_may_be_read.clear()
        sending = asyncio.create_task(connection.send(ENVELOPE, LARGE))
        while not connection.wire.writing_paused:
            await asyncio.sleep(0)
        # The transport's buffer is bounded; the rest waits.
        assert connection.wire.transport.get_write_buffer_size() < len(LARGE) / 4
        assert not connection.is_usable
        peer.body_may_be_read.set()
        result = await sending
        assert codes(result.final) == [250]
    assert peer.messages == [LARGE]


@pytest.mark.parametrize("extensions", MODES)
async def test_mixed_recipients(extensions: tuple[str, ...]) -> None:
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": [(b"550 5.1.1 unknown\r\n",), (b"250 ok\r\n",), (b"451 4.7.1 greylisted\r\n",)]
    }
    envelope = Envelope("a@x.org", ("1@peer.test", "2@peer.test", "3@peer.test"))
    peer = Peer(script, extensions=extensions)
    async with connected(peer) as connection:
        result = await connection.send(envelope, DATA)
        assert [(o.recipient, o.stage, o.reply.code) for o in result.outcomes(envelope)] == [
            ("1@peer.test", Stage.RCPT, 550),
            ("2@peer.test", Stage.END_OF_DATA, 250),
            ("3@peer.test", Stage.RCPT, 451),
        ]
    assert peer.messages == [DATA]
    assert "RSET" not in peer.verbs


@pytest.mark.parametrize("extensions", MODES)
async def test_the_sender_is_refused(extensions: tuple[str, ...]) -> None:
    script: dict[str, Answer | list[Answer]] = {
        "MAIL": [(b"550 5.7.1 not you\r\n",), (b"250 ok\r\n",)],
        "RCPT": [(b"503 5.5.1 MAIL first\r\n",), (b"503 5.5.1 MAIL first\r\n",), (b"250 ok\r\n",)],
        "BDAT": [(b"503 5.5.1 MAIL first\r\n",), (b"250 ok\r\n",)],
        "DATA": [(b"503 5.5.1 MAIL first\r\n",), (b"354 go\r\n",)],
    }
    if extensions is ONE_BY_ONE:
        del script["RCPT"], script["DATA"]
    peer = Peer(script, extensions=extensions)
    async with connected(peer, takes_bdat=True) as connection:
        result = await connection.send(TWO, DATA)
        assert result.recipients == ()
        assert result.final is None
        assert [(o.recipient, o.stage, o.reply.code) for o in result.outcomes(TWO)] == [
            ("b@peer.test", Stage.MAIL, 550),
            ("c@peer.test", Stage.MAIL, 550),
        ]
        assert codes((await connection.send(ENVELOPE, DATA)).final) == [250]
    assert peer.messages[-1] == DATA


@pytest.mark.parametrize("extensions", MODES)
async def test_every_recipient_is_refused(extensions: tuple[str, ...]) -> None:
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": [(b"550 5.1.1 no\r\n",), (b"550 5.1.1 nor\r\n",), (b"250 ok\r\n",)],
        "BDAT": [(b"554 5.5.1 no valid recipients\r\n",), (b"250 ok\r\n",)],
        "DATA": [(b"554 5.5.1 no valid recipients\r\n",), (b"354 go\r\n",)],
    }
    if extensions is ONE_BY_ONE:
        del script["DATA"]
    peer = Peer(script, extensions=extensions)
    async with connected(peer, takes_bdat=True) as connection:
        result = await connection.send(TWO, DATA)
        assert codes(*result.recipients) == [550, 550]
        assert result.final is None
        assert [o.stage for o in result.outcomes(TWO)] == [Stage.RCPT, Stage.RCPT]
        assert connection.is_usable
        # The transaction is still open, so the next one resets it first.
        assert codes((await connection.send(ENVELOPE, DATA)).final) == [250]
    assert peer.verbs.index("RSET") == peer.verbs.index("MAIL", 2) - 1
    assert peer.messages[-1] == DATA


async def test_354_though_every_recipient_is_refused() -> None:
    """RFC 2920 §3.1 allows this."""
    script: dict[str, Answer | list[Answer]] = {
        "RCPT": [(b"550 5.1.1 no\r\n",), (b"250 ok\r\n",)],
        "END": [(b"554 5.5.1 no valid recipients\r\n",), (b"250 ok\r\n",)],
    }
    peer = Peer(script, extensions=PIPELINED)
    async with connected(peer) as connection:
        result = await connection.send(ENVELOPE, DATA)
        assert codes(*result.recipients) == [550]
        assert result.final is None
        assert codes((await connection.send(ENVELOPE, DATA)).final) == [250]
    assert peer.messages == [b"", DATA]
    assert "RSET" not in peer.verbs


@pytest.mark.parametrize("extensions", [PIPELINED, ONE_BY_ONE])
async def test_data_is_refused(extensions: tuple[str, ...]) -> None:
    peer = Peer({"DATA": [(b"451 4.3.0 not now\r\n",), (b"354 go\r\n",)]}, extensions=extensions)
    async with connected(peer) as connection:
        result = await connection.send(ENVELOPE, DATA)
        assert [(o.stage, o.reply.code) for o in result.outcomes(ENVELOPE)] == [(Stage.DATA, 451)]
        assert codes((await connection.send(ENVELOPE, DATA)).final) == [250]
    assert peer.messages == [DATA]
    assert peer.verbs.count("RSET") == 1


@pytest.mark.parametrize("extensions", MODES)
async def test_the_message_is_refused(extensions: tuple[str, ...]) -> None:
    refused: list[Answer] = [(b"554-5.7.1 spam\r\n554 5.7.1 go away\r\n",), (b"250 ok\r\n",)]
    peer = Peer({"END": list(refused), "BDAT": list(refused)}, extensions=extensions)
    async with connected(peer) as connection:
        result = await connection.send(TWO, DATA)
        assert codes(*result.recipients, result.final) == [250, 250, 554]
        assert result.outcomes(TWO)[1].reply.text == "554-5.7.1 spam\n554 5.7.1 go away"
        assert codes((await connection.send(ENVELOPE, DATA)).final) == [250]
    # Only after BDAT is the state undefined (RFC 3030 §2).
    assert peer.verbs.count("RSET") == (1 if extensions is CHUNKS else 0)


async def test_503_to_bdat_without_recipients_says_nothing_about_bdat() -> None:
    peer = Peer({"RCPT": (b"550 5.1.1 no\r\n",), "BDAT": (b"503 5.5.1 RCPT first\r\n",)})
    async with connected(peer) as connection:
        await connection.send(ENVELOPE, DATA)
        assert "CHUNKING" in connection.capabilities
    assert "DATA" not in peer.verbs


async def test_a_capability_announced_in_vain_can_be_ignored() -> None:
    peer = Peer()
    async with connected(peer, ignored_capabilities=frozenset({"CHUNKING"})) as connection:
        await connection.send(ENVELOPE, DATA)
    assert "DATA" in peer.verbs


@pytest.mark.parametrize("extensions", MODES)
async def test_replies_split_at_every_byte(extensions: tuple[str, ...]) -> None:
    names = ("MAIL", "RCPT", "DATA", "END", "BDAT")
    script = {
        name: each_byte(b"%d-one\r\n%d two\r\n" % ((354,) * 2 if name == "DATA" else (250,) * 2)) for name in names
    }
    peer = Peer(script, extensions=extensions)
    async with connected(peer) as connection:
        for _ in range(3):
            result = await connection.send(ENVELOPE, DATA)
            assert result.final is not None
            assert result.final.lines == ("250-one", "250 two")
    assert peer.messages == [DATA] * 3


async def test_too_large_a_message_is_asked_about_but_not_pushed() -> None:
    peer = Peer({"MAIL": (b"552 5.3.4 too big\r\n",)}, extensions=("PIPELINING", "CHUNKING", "SIZE 10"))
    async with connected(peer) as connection:
        result = await connection.send(ENVELOPE, DATA)
        assert codes(result.mail) == [552]
    assert peer.verbs == ["EHLO", "MAIL", "QUIT"]
    assert b"SIZE=%d" % len(DATA) in peer.commands[1]


async def test_smtputf8_is_not_offered() -> None:
    peer = Peer(extensions=PIPELINED)
    async with connected(peer) as connection:
        result = await connection.send(Envelope("a@x.org", ("é@peer.test",)), DATA)
        assert result.unsendable is Unsendable.SMTPUTF8_NOT_OFFERED
        assert (result.mail, result.recipients, result.final) == (None, (), None)
        assert result.outcomes(ENVELOPE) == ()
        assert connection.is_usable
        assert connection.transactions == 0
    assert peer.verbs == ["EHLO", "QUIT"]


async def test_smtputf8_and_eight_bits() -> None:
    peer = Peer()
    async with connected(peer) as connection:
        await connection.send(Envelope("é@x.org", ("b@peer.test",)), "Subject: é\r\n".encode())
    assert peer.commands[1] == "MAIL FROM:<é@x.org> SIZE=13 BODY=8BITMIME SMTPUTF8".encode()


@pytest.mark.parametrize(
    ("envelope", "data"),
    [
        (Envelope("a@x.org", ("b@x.org>\r\nRSET",)), DATA),
        (Envelope("a@x.org", ()), DATA),
        (ENVELOPE, b"no end"),
        (ENVELOPE, b"smuggled\n.\r\nMAIL FROM:<x>\r\n"),
    ],
)
async def test_what_cannot_be_written_safely(envelope: Envelope, data: bytes) -> None:
    peer = Peer()
    async with connected(peer) as connection:
        with pytest.raises(ValueError, match=r"written|recipients|CRLF"):
            await connection.send(envelope, data)
        assert connection.is_usable
    assert peer.verbs == ["EHLO", "QUIT"]


async def test_one_transaction_at_a_time() -> None:
    peer = Peer()
    async with connected(peer) as connection:
        first = asyncio.create_task(connection.send(ENVELOPE, DATA))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await connection.send(ENVELOPE, DATA)
        assert codes((await first).final) == [250]
