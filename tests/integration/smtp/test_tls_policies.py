"""TLS levels for one host: stripped and broken TLS, and what is cached, resumed and counted."""

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from actors.smtp import tls
from actors.smtp.tls import SESSION_S, ResumingContext
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.policy.tls.mta_sts import StsMode
from cluster.policy.tls.policy import DomainTls
from cluster.policy.tls.report import report
from cluster.smtpd.certificate import server_context
from tests.certificates import Authority
from tests.integration.smtp.client import DATA, ENVELOPE, connected
from tests.integration.smtp.conftest import HOST
from tests.integration.smtp.peer import EXTENSIONS, Answer, Peer, Step, is_encrypted
from tests.integration.smtp.tls_world import DOMAIN, World, world

ANY = DomainTls(TlsLevel.OPPORTUNISTIC)
ENFORCED = DomainTls(TlsLevel.OPPORTUNISTIC, StsMode.ENFORCE, (HOST,))


@pytest.mark.parametrize("level", [TlsLevel.REQUIRED, TlsLevel.VERIFIED])
async def test_starttls_stripped_where_it_is_asked_for(tmp_path: Path, level: TlsLevel) -> None:
    async with world(tmp_path) as made, Peer(extensions=EXTENSIONS).listening() as peer:
        failure = await made.fails(peer, DomainTls(level))
        assert (failure.stage, failure.reason) == (Stage.STARTTLS, f"not offered, and TLS is {level}")
        assert made.counted() == [("no-policy-found", "starttls-not-supported", 1)]


@pytest.mark.parametrize(
    ("level", "counted"),
    [(TlsLevel.NONE, []), (TlsLevel.OPPORTUNISTIC, [("no-policy-found", "starttls-not-supported", 1)])],
)
async def test_starttls_stripped_where_it_is_not(
    tmp_path: Path, level: TlsLevel, counted: list[tuple[str, str, int]]
) -> None:
    async with world(tmp_path) as made, Peer(extensions=EXTENSIONS).listening() as peer:
        assert (await made.delivers(peer, DomainTls(level))).tls_version == ""
        assert made.counted() == counted


async def test_none_leaves_an_offer_alone(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    async with world(tmp_path) as made, Peer(tls=server_tls).listening() as peer:
        assert (await made.delivers(peer, DomainTls(TlsLevel.NONE))).tls_version == ""
        assert made.counted() == []


async def test_verified(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    async with world(tmp_path) as made:
        async with Peer(tls=made.authority.issue(HOST).server(tmp_path)).listening() as peer:
            assert (await made.delivers(peer, DomainTls(TlsLevel.VERIFIED))).tls_version == "TLSv1.3"
        async with Peer(tls=server_tls).listening() as peer:
            failure = await made.fails(peer, DomainTls(TlsLevel.VERIFIED))
            assert failure.reason.startswith("certificate: self-signed")
        assert made.counted() == [("no-policy-found", "", 1), ("no-policy-found", "certificate-not-trusted", 1)]


# Hosts on which TLS breaks


def incompatible(tmp_path: Path) -> ssl.SSLContext:
    """A server context without any TLS version that we accept."""
    context = server_context("localhost", tmp_path)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def drops(_: Path) -> Peer:
    return Peer({"STARTTLS": (Step.DROP,)}, extensions=(*EXTENSIONS, "STARTTLS"))


def says_nothing(_: Path) -> Peer:
    return Peer({"STARTTLS": (Step.STALL,)}, extensions=(*EXTENSIONS, "STARTTLS"))


def drops_the_handshake(_: Path) -> Peer:
    return Peer({"STARTTLS": (b"220 go\r\n", Step.DROP)}, extensions=(*EXTENSIONS, "STARTTLS"))


def stalls_the_handshake(_: Path) -> Peer:
    return Peer({"STARTTLS": (b"220 go\r\n", Step.STALL)}, extensions=(*EXTENSIONS, "STARTTLS"))


def speaks_no_tls(_: Path) -> Peer:
    return Peer({"STARTTLS": (b"220 go\r\n", b"not TLS at all\r\n", Step.STALL)}, extensions=(*EXTENSIONS, "STARTTLS"))


def speaks_old_tls(tmp_path: Path) -> Peer:
    return Peer(tls=incompatible(tmp_path))


class _DropsEncrypted(Peer):
    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        return (Step.DROP,) if is_encrypted(writer) else super()._next(verb, writer)


def drops_after_the_handshake(tmp_path: Path) -> Peer:
    return _DropsEncrypted(tls=server_context("localhost", tmp_path))


def closes_at_starttls(_: Path) -> Peer:
    return Peer({"STARTTLS": (b"421 4.3.2 later\r\n", Step.DROP)}, extensions=(*EXTENSIONS, "STARTTLS"))


class _RefusesEncrypted(Peer):
    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        return (b"503 5.5.1 no\r\n",) if is_encrypted(writer) else super()._next(verb, writer)


def refuses_ehlo_in_tls(tmp_path: Path) -> Peer:
    return _RefusesEncrypted(tls=server_context("localhost", tmp_path))


BROKEN = [
    closes_at_starttls,
    refuses_ehlo_in_tls,
    drops,
    says_nothing,
    drops_the_handshake,
    stalls_the_handshake,
    speaks_no_tls,
    speaks_old_tls,
    drops_after_the_handshake,
]


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda breaks: breaks.__name__)
async def test_a_host_that_breaks_is_sent_to_in_plain_text_at_once(
    tmp_path: Path, breaks: Callable[[Path], Peer]
) -> None:
    async with world(tmp_path) as made, breaks(tmp_path).listening() as peer:
        connection = await made.open(peer, ANY, timeout_s=0.2)
        result = await connection.send(ENVELOPE, DATA)
        await connection.quit()
        assert connection.tls_version == ""
        assert result.final is not None
        assert result.final.positive
        assert peer.connections == 2
        assert sum(count for *_, count in made.counted()) == 1
        # The failure is cached: no handshake is tried, but the report counts one more failure.
        await made.delivers(peer, ANY)
        assert peer.connections == 3
        assert peer.verbs.count("STARTTLS") == 1
        assert sum(count for *_, count in made.counted()) == 2
        assert all(result_type for _, result_type, _ in made.counted())


@pytest.mark.parametrize("breaks", [drops, drops_the_handshake, speaks_old_tls, drops_after_the_handshake])
@pytest.mark.parametrize("asked", [DomainTls(TlsLevel.REQUIRED), DomainTls(TlsLevel.VERIFIED), ENFORCED])
async def test_never_where_tls_is_asked_for(tmp_path: Path, breaks: Callable[[Path], Peer], asked: DomainTls) -> None:
    async with world(tmp_path) as made, breaks(tmp_path).listening() as peer:
        failure = await made.fails(peer, asked)
        assert failure.stage in (Stage.TLS, Stage.STARTTLS)
        assert peer.connections == 1
        # The same holds where another domain's mail has found the host broken.
        await made.open(peer, ANY, timeout_s=0.2)
        before = peer.connections
        failure = await made.fails(peer, asked, timeout_s=0.2)
        assert peer.connections == before + 1
        assert b"MAIL" not in b" ".join(peer.commands)


async def test_never_with_a_password(tmp_path: Path) -> None:
    async with world(tmp_path) as made, drops(tmp_path).listening() as peer:
        assert (await made.fails(peer, ANY, credentials=Credentials("me", "secret"))).stage is Stage.TLS
        assert peer.connections == 1


TESTING = DomainTls(TlsLevel.OPPORTUNISTIC, StsMode.TESTING, (HOST,))
AUTH = (*EXTENSIONS, "AUTH PLAIN")
IN_VAIN = [ANY, DomainTls(TlsLevel.REQUIRED), DomainTls(TlsLevel.VERIFIED), ENFORCED, TESTING]


@pytest.mark.parametrize("asked", IN_VAIN)
async def test_a_password_asks_for_a_verified_certificate_by_itself(tmp_path: Path, asked: DomainTls) -> None:
    async with world(tmp_path) as made:
        secret = Credentials("me", "secret")
        async with Peer(extensions=AUTH, tls=made.authority.issue(HOST).server(tmp_path)).listening() as peer:
            await made.delivers(peer, asked, credentials=secret)
            assert "AUTH" in peer.verbs
        for server in (Authority.root("another").issue(HOST), made.authority.issue("other.test")):
            async with Peer(extensions=AUTH, tls=server.server(tmp_path)).listening() as peer:
                failure = await made.fails(peer, asked, credentials=secret)
                assert failure.stage is Stage.TLS
                assert failure.reason.startswith("certificate: ") and 'auth_needs = "verified"' in failure.reason
                assert "AUTH" not in peer.verbs
                assert peer.connections == 1
        async with Peer(extensions=AUTH).listening() as peer:
            failure = await made.fails(peer, asked, credentials=secret)
            assert failure.stage is Stage.STARTTLS and 'auth_needs = "verified"' in failure.reason
            assert "AUTH" not in peer.verbs


async def test_a_password_that_any_encryption_will_do_for(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    async with world(tmp_path) as made:
        secret = Credentials("me", "secret", AuthNeeds.ENCRYPTED)
        async with Peer(extensions=AUTH, tls=server_tls).listening() as peer:
            await made.delivers(peer, ANY, credentials=secret)
            assert "AUTH" in peer.verbs
        async with Peer(extensions=AUTH).listening() as peer:
            failure = await made.fails(peer, ANY, credentials=secret)
            assert failure.stage is Stage.STARTTLS and 'auth_needs = "encrypted"' in failure.reason
            assert "AUTH" not in peer.verbs


async def test_a_password_that_plain_text_will_do_for(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        breaking = Peer({"STARTTLS": (Step.DROP,)}, extensions=(*AUTH, "STARTTLS"))
        for peer in (Peer(extensions=AUTH), breaking):
            async with peer.listening():
                await made.delivers(peer, ANY, credentials=Credentials("me", "secret", AuthNeeds.NOTHING))
                assert "AUTH" in peer.verbs


async def test_the_memory_ends(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    async with world(tmp_path) as made:
        peer = Peer({"STARTTLS": [(Step.DROP,), (b"220 go\r\n",)]}, tls=server_tls)
        async with peer.listening():
            assert (await made.delivers(peer, ANY)).tls_version == ""
            made.later(3599)
            assert (await made.delivers(peer, ANY)).tls_version == ""
            made.later(1)
            assert (await made.delivers(peer, ANY)).tls_version == "TLSv1.3"


async def test_a_host_that_is_down_is_not_taken_for_one_that_breaks(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    async with world(tmp_path) as made:
        peer = Peer(
            {
                "STARTTLS": [(Step.DROP,), (b"220 go\r\n",)],
                "GREETING": [(b"220 hi\r\n",), (Step.DROP,), (b"220 hi\r\n",)],
            },
            tls=server_tls,
        )
        async with peer.listening():
            assert (await made.fails(peer, ANY)).stage is Stage.GREETING
            assert (await made.delivers(peer, ANY)).tls_version == "TLSv1.3"


async def test_a_busy_host_where_tls_is_asked_for_is_not_said_to_lack_it(tmp_path: Path) -> None:
    busy = Peer({"STARTTLS": (b"421 4.3.2 later\r\n",)}, extensions=(*EXTENSIONS, "STARTTLS"))
    async with world(tmp_path) as made, busy.listening() as peer:
        failure = await made.fails(peer, DomainTls(TlsLevel.REQUIRED))
        assert (failure.stage, failure.reply and failure.reply.code) == (Stage.STARTTLS, 421)
        assert peer.connections == 1
        assert made.counted() == []


# Resumption


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_second_session_resumes_the_first(tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = server_context("localhost", tmp_path)
    context.maximum_version = version
    async with world(tmp_path) as made, Peer(tls=context).listening() as peer:
        first = await made.delivers(peer, ANY)
        second = await made.delivers(peer, ANY)
        third = await made.delivers(peer, ANY)
        assert [x.tls_resumed for x in (first, second, third)] == [False, True, True]
        assert second.tls_version == first.tls_version
        assert context.session_stats()["hits"] == 2


async def test_a_session_that_is_too_old_is_not_offered(server_tls: ssl.SSLContext) -> None:
    late = [0.0]
    context = ResumingContext(sessions=2, now=lambda: time.time() + late[0])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    resumed = []
    for late[0] in (0.0, SESSION_S - 60, SESSION_S + 60):
        async with connected(Peer(tls=server_tls), ssl_context=context) as connection:
            resumed.append(connection.tls_resumed)
    assert resumed == [False, True, False]


async def test_sessions_are_bounded(
    tmp_path: Path, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "SESSIONS", 2)
    async with world(tmp_path) as made, Peer(tls=server_tls).listening() as peer:
        hosts = ("a.test", "b.test", "c.test", "a.test", "c.test")
        assert [(await made.delivers(peer, ANY, host=host)).tls_resumed for host in hosts] == [False] * 4 + [True]


async def test_what_was_not_verified_is_not_resumed_where_it_must_be(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        context = made.authority.issue(HOST).server(tmp_path)
        async with Peer(tls=context).listening() as peer:
            for level in (TlsLevel.OPPORTUNISTIC, TlsLevel.VERIFIED):
                assert not (await made.delivers(peer, DomainTls(level))).tls_resumed
            assert (await made.delivers(peer, ENFORCED)).tls_resumed
            # Level "required" verifies no more than "opportunistic", so sessions are shared.
            assert (await made.delivers(peer, DomainTls(TlsLevel.REQUIRED))).tls_resumed


async def test_another_host_is_not_resumed(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    async with world(tmp_path) as made, Peer(tls=server_tls).listening() as peer:
        await made.delivers(peer, ANY)
        assert not (await made.delivers(peer, ANY, host="mx2.peer.test")).tls_resumed


async def test_a_session_that_something_broke_on_is_not_offered_again(
    tmp_path: Path, server_tls: ssl.SSLContext
) -> None:
    peer = Peer({"STARTTLS": [(b"220 go\r\n",), (b"220 go\r\n", Step.DROP), (b"220 go\r\n",)]}, tls=server_tls)
    required = DomainTls(TlsLevel.REQUIRED)
    async with world(tmp_path) as made, peer.listening():
        await made.delivers(peer, required)
        await made.fails(peer, required)
        assert not (await made.delivers(peer, required)).tls_resumed


async def test_a_server_that_has_forgotten_the_session(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        for _ in range(2):
            async with Peer(tls=server_context("localhost", tmp_path)).listening() as peer:
                connection = await made.delivers(peer, ANY)
                assert (connection.tls_version, connection.tls_resumed) == ("TLSv1.3", False)


async def test_cancelled_while_opening(tmp_path: Path) -> None:
    async with world(tmp_path) as made, Peer({"EHLO": (Step.STALL,)}).listening() as peer:
        opening = asyncio.create_task(made.open(peer, ANY))
        while not peer.commands:
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


# Counts


async def test_the_days_document(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        async with Peer(tls=made.authority.issue(HOST).server(tmp_path)).listening() as peer:
            for _ in range(3):
                await made.delivers(peer)
        async with Peer(tls=made.authority.issue("other.test").server(tmp_path)).listening() as peer:
            await made.fails(peer)
        document = _document(made)
    assert document["policies"] == [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: enforce", f"mx: {HOST}", "max_age: 86400"],
                "policy-domain": DOMAIN,
                "mx-host": [HOST],
            },
            "summary": {"total-successful-session-count": 3, "total-failure-session-count": 1},
            "failure-details": [
                {
                    "result-type": "certificate-host-mismatch",
                    "sending-mta-ip": "127.0.0.1",
                    "receiving-mx-hostname": HOST,
                    "receiving-ip": "127.0.0.1",
                    "failed-session-count": 1,
                }
            ],
        }
    ]


def _document(made: World) -> dict[str, object]:
    counts = made.results.counts()
    (day,) = {result.day for result in counts}
    text = report(DOMAIN, day, counts.items(), organization="us", contact="us@us.test", report_id="1")
    document: dict[str, object] = msgspec.json.decode(text)
    return document
