"""The capture server over real sockets: order of commands, pipelining, BDAT, limits, smuggling, TLS."""

import asyncio
import ssl

import aiosmtplib
import pytest

from cluster.smtpd.server import Extension, ServerOptions
from tests.integration.capture.peers import Peer, RawClient, no_verification

START = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"


def codes(replies: list[str]) -> list[str]:
    return [reply[:3] for reply in replies]


async def test_pipelined_transactions_are_answered_in_order() -> None:
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        client.send(START + b"DATA\r\n")
        assert codes(await client.replies(3)) == ["250", "250", "354"]
        client.send(b"Subject: x\r\n\r\n..dot\r\n.\r\n" + START + b"BDAT 5 LAST\r\nhelloNOOP\r\nQUIT\r\n")
        assert codes(await client.replies(6)) == ["250", "250", "250", "250", "250", "221"]
        assert await client.closed()
    first, second = peer.taken
    assert first.content == b"Subject: x\r\n\r\n.dot\r\n"
    assert (second.content, second.chunked) == (b"hello", True)
    assert (first.session, first.transaction, second.transaction) == (second.session, 1, 2)
    assert first.mail_from == "a@example.com" and first.rcpt_to == ("b@example.org",)


async def test_one_flight_gets_one_write() -> None:
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        client.send(START + b"BDAT 2 LAST\r\nhi")
        answer = await client.reader.read(4096)
    assert answer.count(b"\r\n") == 3


async def test_a_flight_split_at_every_byte() -> None:
    flight = START + b"DATA\r\n.. a\r\n.\r\n" + START + b"BDAT 3\r\nabcBDAT 3 LAST\r\ndefRSET\r\n"
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        for byte in flight:
            client.send(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert codes(await client.replies(9)) == ["250", "250", "354", "250", "250", "250", "250", "250", "250"]
    assert [envelope.content for envelope in peer.taken] == [b". a\r\n", b"abcdef"]


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (["MAIL FROM:<a@b.example>"], "503"),
        (["EHLO x", "RCPT TO:<a@b.example>"], "503"),
        (["EHLO x", "DATA"], "503"),
        (["EHLO x", "BDAT 0 LAST"], "503"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "DATA"], "503"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>"], "503"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<bad>", "DATA"], "554"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "BDAT 0", "DATA"], "503"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "BDAT 0", "RCPT TO:<e@d.example>"], "503"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "EHLO x", "RCPT TO:<c@d.example>"], "503"),
        (["EHLO x", "MAIL FROM:<a@b.example>", "RSET", "RCPT TO:<c@d.example>"], "503"),
        (["EHLO x", "MAIL FROM: <a@b.example>"], "501"),
        (["EHLO x", "MAIL FROM:a@b.example"], "501"),
        (["EHLO x", "MAIL FROM:<>"], "250"),
        (["EHLO x", 'MAIL FROM:<"a> b"@c.example>'], "250"),
        (["EHLO x", "MAIL FROM:<@relay.example:a@c.example>"], "250"),
        (["EHLO x", "MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME SMTPUTF8"], "250"),
        (["EHLO x", "MAIL FROM:<a@b.example> SIZE=99999999999"], "552"),
        (["EHLO x", "MAIL FROM:<a@b.example> SIZE=x"], "501"),
        (["EHLO x", "MAIL FROM:<a@b.example> RET=FULL"], "555"),
        (["HELO x", "MAIL FROM:<a@b.example> SIZE=1"], "555"),
        (["EHLO x", "MAIL FROM:<ä@b.example>"], "553"),
        (["EHLO x", "MAIL FROM:<ä@b.example> SMTPUTF8"], "250"),
        (["EHLO"], "501"),
        (["VRFY a@b.example"], "252"),
        (["NONSENSE"], "500"),
        (["EHLO x", "STARTTLS"], "502"),
    ],
)
async def test_replies(commands: list[str], expected: str) -> None:
    async with Peer() as peer, await RawClient.connect(peer.port) as client:
        await client.reply()
        answers = [await client.ask(command) for command in commands]
    assert answers[-1][:3] == expected


async def test_extensions_are_offered_as_set(tls: ssl.SSLContext) -> None:
    options = ServerOptions(extensions=frozenset({Extension.STARTTLS, Extension.SIZE}), max_message_bytes=1000)
    async with Peer(options, tls=tls) as peer, await RawClient.connect(peer.port) as client:
        await client.reply()
        assert (await client.ask("EHLO x")).split("\n")[1:] == ["250-STARTTLS", "250 SIZE 1000"]
        await client.start_tls()
        assert (await client.ask("EHLO x")).split("\n")[1:] == ["250 SIZE 1000"]
        assert (await client.ask("BDAT 1 LAST")).startswith("502")
        assert (await client.ask("STARTTLS")).startswith("503")


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n\0.\r\n"])
async def test_only_crlf_dot_crlf_ends_data(ending: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@example.com>\r\n"
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        client.send(START + b"DATA\r\n")
        await client.replies(3)
        client.send(b"text" + ending + smuggled + b"\r\n.\r\nNOOP\r\n")
        answer, noop = await client.replies(2)
    assert noop.startswith("250")
    if b"\0" in ending:
        assert peer.taken[0].content.endswith(smuggled + b"\r\n")
    else:
        assert answer.startswith("550 5.6.0") and not peer.taken


async def test_a_command_that_ends_in_a_bare_lf_is_not_obeyed() -> None:
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        client.send(b"MAIL FROM:<a@example.com>\nRCPT TO:<b@example.org>\r\n")
        assert codes(await client.replies(2)) == ["500", "503"]


async def test_a_long_line_is_refused_once_and_skipped() -> None:
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        client.send(b"X" * 300_000 + b"\r\nNOOP\r\n")
        assert codes(await client.replies(2)) == ["500", "250"]


async def test_too_many_errors_end_the_connection() -> None:
    async with Peer(ServerOptions(max_errors=3)) as peer, await RawClient.greeted(peer.port) as client:
        client.send(b"A\r\nB\r\nC\r\nNOOP\r\n")
        assert codes(await client.replies(4)) == ["500", "500", "500", "421"]
        assert await client.closed()


@pytest.mark.parametrize(
    "flight", [b"DATA\r\n%s\r\n.\r\n", b"BDAT 200000 LAST\r\n%s", b"BDAT 9\r\n123456789BDAT 199991 LAST\r\n%s"]
)
async def test_an_oversize_message_is_not_held(flight: bytes) -> None:
    body = b"x" * 200_000 if not flight.startswith(b"BDAT 9\r") else b"x" * 199_991
    async with Peer(ServerOptions(max_message_bytes=1000)) as peer, await RawClient.greeted(peer.port) as client:
        client.send(START + flight % body + b"NOOP\r\n")
        answers = codes(await client.replies(5 if b"BDAT 200" not in flight else 4))
        assert answers[-2:] == ["552", "250"]
        assert peer.server.totals.refused == 1
        client.send(START + b"BDAT 4 LAST\r\nnext")
        assert codes(await client.replies(3)) == ["250"] * 3
    assert [envelope.content for envelope in peer.taken] == [b"next"]


async def test_dots_for_transparency_do_not_count_towards_the_size() -> None:
    content = b".\r\n" * 100
    async with Peer(ServerOptions(max_message_bytes=300)) as peer, await RawClient.greeted(peer.port) as client:
        client.send(START + b"DATA\r\n" + b"..\r\n" * 100 + b".\r\n" + START + b"DATA\r\n" + b"..\r\n" * 101 + b".\r\n")
        assert codes(await client.replies(8)) == ["250", "250", "354", "250", "250", "250", "354", "552"]
    assert [envelope.content for envelope in peer.taken] == [content]


async def test_memory_over_all_connections_is_bounded() -> None:
    options = ServerOptions(max_held_bytes=1500)
    async with (
        Peer(options) as peer,
        await RawClient.greeted(peer.port) as one,
        await RawClient.greeted(peer.port) as two,
    ):
        one.send(START + b"BDAT 1000\r\n" + b"x" * 1000)
        await one.replies(3)
        two.send(START + b"BDAT 1000 LAST\r\n" + b"x" * 1000)
        assert (await two.replies(3))[2].startswith("452 4.3.1")
        one.send(b"RSET\r\n")
        await one.reply()
        two.send(START + b"BDAT 1000 LAST\r\n" + b"x" * 1000)
        assert (await two.replies(3))[2].startswith("250")


async def test_a_refused_chunk_is_skipped_not_obeyed() -> None:
    hidden = b"MAIL FROM:<evil@example.com>\r\n"
    async with Peer() as peer, await RawClient.greeted(peer.port) as client:
        client.send(b"BDAT %d LAST\r\n" % len(hidden) + hidden + b"NOOP\r\n")
        assert codes(await client.replies(2)) == ["503", "250"]
        client.send(b"BDAT many\r\n" + hidden)
        assert codes(await client.replies(1)) == ["501"]
        assert await client.closed()


async def test_too_many_recipients_and_connections() -> None:
    options = ServerOptions(max_recipients=1, max_connections=1)
    async with Peer(options) as peer, await RawClient.greeted(peer.port) as client:
        client.send(START + b"RCPT TO:<c@example.org>\r\n")
        assert codes(await client.replies(3)) == ["250", "250", "452"]
        async with await RawClient.connect(peer.port) as other:
            assert (await other.reply()).startswith("421")
            assert await other.closed()


async def test_starttls_forgets_what_came_before(tls: ssl.SSLContext) -> None:
    async with Peer(tls=tls) as peer, await RawClient.greeted(peer.port) as client:
        client.send(b"STARTTLS\r\nMAIL FROM:<injected@example.com>\r\n")
        assert (await client.reply()).startswith("220")
        await client.writer.start_tls(no_verification())
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith(
            "503"
        )  # EHLO is required again after STARTTLS
        assert (await client.ask("EHLO x")).startswith("250")
        client.send(START + b"BDAT 1 LAST\r\nx")
        assert codes(await client.replies(3)) == ["250"] * 3
        assert peer.server.totals.handshakes == 1
    assert peer.taken[0].tls_version == "TLSv1.3" and peer.taken[0].tls_cipher.startswith("TLS_")


async def test_a_failed_handshake_ends_only_its_connection(tls: ssl.SSLContext) -> None:
    async with Peer(tls=tls) as peer:
        async with await RawClient.greeted(peer.port) as client:
            assert (await client.ask("STARTTLS")).startswith("220")
            client.send(b"this is no ClientHello\r\n")
            await asyncio.wait_for(client.reader.read(), 30)
        async with await RawClient.greeted(peer.port) as client:
            await client.start_tls()
            assert (await client.ask("NOOP")).startswith("250")


async def test_a_stop_does_not_wait_for_a_handshake(tls: ssl.SSLContext) -> None:
    async with Peer(tls=tls) as peer, await RawClient.greeted(peer.port) as client:
        assert (await client.ask("STARTTLS")).startswith("220")
        async with asyncio.timeout(ServerOptions().tls_handshake_timeout_s / 2):
            await peer.server.stop()
        assert peer.server.totals.open == 0


async def test_aiosmtplib_sends_over_tls(tls: ssl.SSLContext) -> None:
    async with Peer(tls=tls) as peer:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=peer.port, start_tls=True, tls_context=no_verification())
        async with client:
            await client.sendmail("a@example.com", ["b@example.org", "c@example.org"], b"Subject: hi\n\n.\nbody\n")
    assert peer.taken[0].rcpt_to == ("b@example.org", "c@example.org")
    assert peer.taken[0].content == b"Subject: hi\r\n\r\n.\r\nbody\r\n"
