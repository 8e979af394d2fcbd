"""From the address to the session: greeting, EHLO, STARTTLS and attacks on it, AUTH."""

import asyncio
import base64
import gc
import socket
import ssl
from pathlib import Path

import aiosmtplib
import msgspec
import pytest

from actors.smtp.client import SmtpConnection
from actors.smtp.protocol import ConnectError
from actors.smtp.reply import MAX_LINE_BYTES
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.settings import SmtpSettings
from tests.integration.smtp.client import DATA, ENVELOPE, PATIENT, connected
from tests.integration.smtp.peer import EXTENSIONS, Answer, Peer, Step, each_byte
from tests.live_objects import objects_of

SHORT = msgspec.structs.replace(PATIENT, connect_timeout_s=0.4, greeting_timeout_s=0.4)


async def fails(
    peer: Peer, *, settings: SmtpSettings = PATIENT, tls: TlsLevel = TlsLevel.OPPORTUNISTIC
) -> ConnectError:
    with pytest.raises(ConnectError) as raised:
        async with connected(peer, settings=settings, tls=tls):
            pass
    return raised.value


async def test_a_plain_session() -> None:
    peer = Peer()
    async with connected(peer) as connection:
        assert (connection.tls_version, connection.tls_cipher) == ("", "")
        assert connection.capabilities == {
            "PIPELINING": "",
            "CHUNKING": "",
            "8BITMIME": "",
            "SMTPUTF8": "",
            "SIZE": "20000000",
            "ENHANCEDSTATUSCODES": "",
        }
        assert connection.is_usable
        assert connection.transactions == 0
        assert connection.opened_at > 0
    assert peer.commands == [b"EHLO client.test", b"QUIT"]
    assert not connection.is_usable


async def test_an_encrypted_session(server_tls: ssl.SSLContext) -> None:
    peer = Peer(tls=server_tls)
    async with connected(peer) as connection:
        assert connection.tls_version == "TLSv1.3"
        assert connection.tls_cipher.startswith("TLS_")
        assert "CHUNKING" in connection.capabilities
        assert "STARTTLS" not in connection.capabilities
    assert peer.verbs == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


async def test_a_closed_connection_leaves_nothing_to_the_collector(server_tls: ssl.SSLContext) -> None:
    """The collector runs seldom: with many hosts, hundreds of megabytes of buffers would stay until then."""
    gc.collect()
    gc.disable()
    try:
        async with connected(Peer(tls=server_tls)) as connection:
            assert connection.tls_version == "TLSv1.3"
        for _ in range(3):
            await asyncio.sleep(0)
        assert not objects_of(aiosmtplib.SMTP)
    finally:
        gc.enable()


async def test_tls_none_leaves_an_offer_alone(server_tls: ssl.SSLContext) -> None:
    async with connected(Peer(tls=server_tls), tls=TlsLevel.NONE) as connection:
        assert connection.tls_version == ""


async def test_no_host_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError) as raised:
            await SmtpConnection.open(
                "mx.test", "127.0.0.1", unused.getsockname()[1], settings=PATIENT, helo_name="client.test"
            )
    assert (raised.value.stage, raised.value.reason) == (Stage.CONNECT, "Connection refused")


async def test_connecting_is_bounded() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        # With a full backlog the system does not answer, like a firewall that drops packets.
        filling = [socket.socket() for _ in range(4)]
        try:
            for sock in filling:
                sock.setblocking(False)
                sock.connect_ex(deaf.getsockname())
            with pytest.raises(ConnectError) as raised:
                await SmtpConnection.open(
                    "mx.test", "127.0.0.1", deaf.getsockname()[1], settings=SHORT, helo_name="client.test"
                )
        finally:
            for sock in filling:
                sock.close()
    assert (raised.value.stage, raised.value.reason) == (Stage.CONNECT, "timed out")


async def test_the_source_address_is_bound() -> None:
    peer = Peer()
    async with connected(peer, source_address="127.0.0.2"):
        assert peer.writers[0].get_extra_info("peername")[0] == "127.0.0.2"


async def test_a_source_address_that_is_not_ours() -> None:
    with pytest.raises(ConnectError) as raised:
        async with connected(Peer(), source_address="192.0.2.1"):
            pass
    assert raised.value.stage is Stage.CONNECT


@pytest.mark.parametrize(
    ("verb", "stage"), [("GREETING", Stage.GREETING), ("EHLO", Stage.EHLO), ("STARTTLS", Stage.STARTTLS)]
)
@pytest.mark.parametrize("code", [421, 554])
async def test_refused(verb: str, stage: Stage, code: int, server_tls: ssl.SSLContext) -> None:
    refusal = f"{code}-5.3.2 not\r\n{code} you\r\n".encode()
    script = {verb: (refusal,)} | ({"HELO": (refusal,)} if verb == "EHLO" else {})
    failure = await fails(Peer(script, tls=server_tls), tls=TlsLevel.REQUIRED)
    assert failure.stage is stage
    assert failure.reply is not None
    assert failure.reply.code == code
    assert failure.reply.text == f"{code}-5.3.2 not\n{code} you"
    assert failure.reply.enhanced == "5.3.2"


@pytest.mark.parametrize(
    ("verb", "stage"), [("GREETING", Stage.GREETING), ("EHLO", Stage.EHLO), ("STARTTLS", Stage.TLS)]
)
async def test_dropped(verb: str, stage: Stage, server_tls: ssl.SSLContext) -> None:
    failure = await fails(Peer({verb: (Step.DROP,)}, tls=server_tls))
    assert (failure.stage, failure.reason, failure.reply) == (stage, "closed by the peer", None)


@pytest.mark.parametrize(
    ("verb", "stage"), [("GREETING", Stage.GREETING), ("EHLO", Stage.EHLO), ("STARTTLS", Stage.STARTTLS)]
)
async def test_stalled(verb: str, stage: Stage, server_tls: ssl.SSLContext) -> None:
    failure = await fails(Peer({verb: (Step.STALL,)}, tls=server_tls), settings=SHORT)
    assert (failure.stage, failure.reason, failure.reply) == (stage, "timed out", None)


@pytest.mark.parametrize(
    "answer", [(b"220-x\r\n", Step.FLOOD), (b"x" * 1000, Step.FLOOD), (b"\x00\xff\xfe\r\n",), (b"SSH-2.0-x\r\n",)]
)
async def test_not_smtp(answer: Answer) -> None:
    failure = await fails(Peer({"GREETING": answer}))
    assert (failure.stage, failure.reply) == (Stage.GREETING, None)


async def test_the_handshake_may_be_split_at_every_byte() -> None:
    script = {
        "GREETING": each_byte(b"220-peer\r\n220 test\r\n"),
        "EHLO": each_byte(b"250-peer.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n"),
    }
    async with connected(Peer(script)) as connection:
        assert connection.capabilities == {"PIPELINING": "", "CHUNKING": ""}


@pytest.mark.parametrize("code", [500, 501, 502, 503, 504, 550, 554])
async def test_helo_where_ehlo_is_refused(code: int) -> None:
    peer = Peer({"EHLO": (b"%d 5.5.1 what?\r\n" % code,)})
    async with connected(peer) as connection:
        assert connection.capabilities == {}
        result = await connection.send(ENVELOPE, DATA)
        assert result.final is not None
    assert peer.verbs == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert peer.messages == [DATA]


@pytest.mark.parametrize("verb", ["GREETING", "EHLO"])
async def test_a_reply_with_a_long_line_counts_by_its_code(verb: str) -> None:
    code = b"220 " if verb == "GREETING" else b"250 "
    async with connected(Peer({verb: (code + b"x" * 20_000 + b"\r\n",)})) as connection:
        result = await connection.send(ENVELOPE, DATA)
        assert result.final is not None and result.final.code == 250


async def test_a_long_refusal_is_cut() -> None:
    failure = await fails(Peer({"GREETING": (b"554 no " + b"x" * 20_000 + b"\r\n",)}))
    assert failure.reply is not None and failure.reply.code == 554
    assert len(failure.reply.text) <= MAX_LINE_BYTES + 4


@pytest.mark.parametrize("tls", [TlsLevel.REQUIRED, TlsLevel.VERIFIED])
async def test_stripped_starttls_ends_the_session(tls: TlsLevel) -> None:
    peer = Peer()
    failure = await fails(peer, tls=tls)
    assert (failure.stage, failure.reply) == (Stage.STARTTLS, None)
    assert "MAIL" not in peer.verbs


async def test_opportunistic_goes_on_after_a_refusal(server_tls: ssl.SSLContext) -> None:
    peer = Peer({"STARTTLS": (b"454 4.7.0 not now\r\n",)}, tls=server_tls)
    async with connected(peer) as connection:
        assert connection.tls_version == ""
        await connection.send(ENVELOPE, DATA)
    assert peer.messages == [DATA]


@pytest.mark.parametrize("injected", [b"250-evil\r\n250 INJECTED\r\n", b"250 half", b"\r\n\x00"])
async def test_plaintext_before_the_handshake_is_not_taken_for_a_reply(
    injected: bytes, server_tls: ssl.SSLContext
) -> None:
    """RFC 3207 §6; CVE-2011-0411."""
    peer = Peer({"STARTTLS": (b"220 go\r\n" + injected,)}, tls=server_tls)
    async with connected(peer) as connection:
        assert connection.tls_version == "TLSv1.3"
        assert set(connection.capabilities) == {name.split()[0] for name in EXTENSIONS}
        result = await connection.send(ENVELOPE, DATA)
        assert result.mail is not None
        assert result.mail.text == "250 2.1.0 sender ok"


async def test_a_broken_handshake(server_tls: ssl.SSLContext) -> None:
    peer = Peer({"STARTTLS": (b"220 go\r\n", b"this is not TLS", Step.DROP)}, tls=server_tls)
    assert (await fails(peer)).stage in (Stage.TLS, Stage.STARTTLS)


async def test_a_certificate_without_a_trusted_authority(server_tls: ssl.SSLContext) -> None:
    failure = await fails(Peer(tls=server_tls), tls=TlsLevel.VERIFIED)
    assert (failure.stage, failure.reply) == (Stage.TLS, None)
    assert failure.reason.startswith("certificate: self-signed")


async def test_a_verified_certificate(server_tls: ssl.SSLContext, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    async with connected(Peer(tls=server_tls), tls=TlsLevel.VERIFIED, ssl_context=context) as connection:
        assert connection.tls_version == "TLSv1.3"


async def test_a_certificate_of_another_host(server_tls: ssl.SSLContext, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    async with Peer(tls=server_tls).listening() as peer:
        with pytest.raises(ConnectError, match="certificate: Hostname mismatch"):
            await SmtpConnection.open(
                "other.test",
                "127.0.0.1",
                peer.port,
                settings=PATIENT,
                helo_name="client.test",
                tls=TlsLevel.VERIFIED,
                ssl_context=context,
            )


async def test_authentication(server_tls: ssl.SSLContext) -> None:
    peer = Peer(extensions=(*EXTENSIONS, "AUTH PLAIN LOGIN"), tls=server_tls)
    async with connected(peer, tls=TlsLevel.REQUIRED, credentials=Credentials("me", "secret", AuthNeeds.ENCRYPTED)):
        pass
    assert b"AUTH PLAIN " + base64.b64encode(b"\0me\0secret") in peer.commands


async def test_refused_authentication(server_tls: ssl.SSLContext) -> None:
    peer = Peer({"AUTH": (b"535 5.7.8 no\r\n",)}, extensions=("AUTH PLAIN",), tls=server_tls)
    with pytest.raises(ConnectError) as raised:
        async with connected(peer, credentials=Credentials("me", "secret", AuthNeeds.ENCRYPTED)):
            pass
    assert (raised.value.stage, raised.value.reply and raised.value.reply.text) == (Stage.AUTH, "535 5.7.8 no")


@pytest.mark.parametrize("needs", [AuthNeeds.VERIFIED, AuthNeeds.ENCRYPTED])
@pytest.mark.parametrize("level", [TlsLevel.NONE, TlsLevel.OPPORTUNISTIC])
async def test_no_password_over_a_stripped_session(level: TlsLevel, needs: AuthNeeds) -> None:
    peer = Peer(extensions=(*EXTENSIONS, "AUTH PLAIN"))
    with pytest.raises(ConnectError) as raised:
        async with connected(peer, tls=level, credentials=Credentials("me", "secret", needs)):
            pass
    assert raised.value.stage is Stage.AUTH
    assert f'auth_needs = "{needs}"' in raised.value.reason
    assert peer.verbs == ["EHLO"]


@pytest.mark.parametrize("level", [TlsLevel.OPPORTUNISTIC, TlsLevel.REQUIRED])
async def test_no_password_for_an_unverified_certificate(server_tls: ssl.SSLContext, level: TlsLevel) -> None:
    peer = Peer(extensions=(*EXTENSIONS, "AUTH PLAIN"), tls=server_tls)
    with pytest.raises(ConnectError) as raised:
        async with connected(peer, tls=level, credentials=Credentials("me", "secret")):
            pass
    assert raised.value.stage is Stage.AUTH
    assert 'auth_needs = "verified"' in raised.value.reason
    assert peer.verbs == ["EHLO", "STARTTLS", "EHLO"]


@pytest.mark.parametrize("level", [TlsLevel.NONE, TlsLevel.OPPORTUNISTIC])
async def test_a_password_in_plain_text_where_nothing_is_needed_for_it(level: TlsLevel) -> None:
    peer = Peer(extensions=(*EXTENSIONS, "AUTH PLAIN"))
    async with connected(peer, tls=level, credentials=Credentials("me", "secret", AuthNeeds.NOTHING)):
        pass
    assert b"AUTH PLAIN " + base64.b64encode(b"\0me\0secret") in peer.commands


async def test_cancelled_while_opening() -> None:
    async with Peer({"EHLO": (Step.STALL,)}).listening() as peer:
        opening = asyncio.create_task(
            SmtpConnection.open("mx.test", "127.0.0.1", peer.port, settings=PATIENT, helo_name="client.test")
        )
        while not peer.commands:
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


@pytest.mark.parametrize("helo_name", ["", "a b", "a\r\nQUIT", "bücher"])
async def test_a_helo_name_that_cannot_be_written(helo_name: str) -> None:
    async with Peer().listening() as peer:
        with pytest.raises(ValueError):
            await SmtpConnection.open("mx.test", "127.0.0.1", peer.port, settings=PATIENT, helo_name=helo_name)
