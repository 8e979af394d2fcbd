"""AUTH over the SMTP server: only over TLS, only once, slower after each failure, and what then counts by login."""

import asyncio
import contextlib
import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiosmtplib
import pytest

from cluster.access import login_failures
from cluster.smtpd import certificate
from cluster.smtpd.envelope import USUAL_EXTENSIONS, Extension, Login, ReceivedMessage, ServerOptions, ServerReply
from cluster.smtpd.server import SmtpServer
from tests.integration.capture.peers import RawClient

ALL = frozenset(Extension)
OPTIONS = ServerOptions(extensions=ALL)
REFUSED = ServerReply(535, "5.7.8 no such key")


def coded(*parts: str) -> str:
    return b64encode("\0".join(parts).encode()).decode()


GOOD = coded("", "apikey", "secret")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificate.server_context("localhost", Path(tmp_path_factory.mktemp("tls")))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_failures, "FIRST_PAUSE_S", 0.01)


class Site:
    def __init__(self, tls: ssl.SSLContext, options: ServerOptions) -> None:
        self.taken: list[ReceivedMessage] = []
        self.asked: list[tuple[str, str, str]] = []
        self.server = SmtpServer(self._take, options, tls=tls, authenticate=self._who)
        self.port = self.tls_port = 0

    def _take(self, message: ReceivedMessage) -> None:
        self.taken.append(message)

    async def _who(self, user: str, password: str, address: str) -> Login | ServerReply:
        self.asked.append((user, password, address))
        await asyncio.sleep(0)
        if password == "broken":
            raise RuntimeError("for the test")
        if password == "later":
            return ServerReply(454, "4.7.0 not now")
        return Login("key_1", "holder") if (user, password) == ("apikey", "secret") else REFUSED

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[RawClient]:
        """A connection over TLS, after EHLO."""
        async with await RawClient.greeted(self.port) as client:
            await client.start_tls()
            self.ehlo = await client.ask("EHLO client.example")
            yield client


@contextlib.asynccontextmanager
async def a_site(tls: ssl.SSLContext, options: ServerOptions = OPTIONS) -> AsyncIterator[Site]:
    site = Site(tls, options)
    _, site.port = await site.server.start()
    _, site.tls_port = await site.server.start(tls_at_once=True)
    try:
        yield site
    finally:
        await site.server.stop(0.1)


async def test_it_is_offered_over_tls_only(tls: ssl.SSLContext) -> None:
    async with a_site(tls) as site:
        async with await RawClient.connect(site.port) as client:
            await client.reply()
            assert "AUTH" not in await client.ask("EHLO client.example")
            assert (await client.ask(f"AUTH PLAIN {GOOD}")).startswith("538")
            assert (await client.ask("MAIL FROM:<a@example.com>")).startswith("530")
        async with site.client() as client:
            assert "AUTH PLAIN LOGIN" in site.ehlo and "DSN" in site.ehlo
            assert (await client.ask("MAIL FROM:<a@example.com>")).startswith("530")
        assert site.asked == []


@pytest.mark.parametrize(
    "lines",
    [
        [f"AUTH PLAIN {GOOD}"],
        ["AUTH PLAIN", GOOD],
        [f"auth plain {coded('apikey', 'apikey', 'secret')}"],
        ["AUTH LOGIN", coded("apikey"), coded("secret")],
        [f"AUTH LOGIN {coded('apikey')}", coded("secret")],
    ],
)
async def test_the_forms_that_clients_use(tls: ssl.SSLContext, lines: list[str]) -> None:
    async with a_site(tls) as site, site.client() as client:
        for line in lines[:-1]:
            assert (await client.ask(line)).startswith("334 ")
        assert (await client.ask(lines[-1])).startswith("235 2.7.0")
        assert "AUTH" not in await client.ask("EHLO client.example")
        assert (await client.ask(f"AUTH PLAIN {GOOD}")).startswith("503")
        assert site.asked == [("apikey", "secret", "127.0.0.1")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("AUTH", "501"),
        ("AUTH CRAM-MD5", "504"),
        ("AUTH PLAIN %%%", "501"),
        (f"AUTH PLAIN {coded('apikey')}", "501"),
        (f"AUTH PLAIN {coded('other', 'apikey', 'secret')}", "501"),
        (f"AUTH PLAIN {coded('', '', 'secret')}", "501"),
        ("AUTH PLAIN =", "501"),
        (f"AUTH PLAIN {b64encode(bytes([255, 0, 254])).decode()}", "501"),
        (f"AUTH PLAIN {coded('', 'apikey', 'broken')}", "451"),
        (f"AUTH PLAIN {coded('', 'apikey', 'later')}", "454"),
    ],
)
async def test_what_is_malformed_or_cannot_be_looked_up(tls: ssl.SSLContext, line: str, code: str) -> None:
    async with a_site(tls) as site, site.client() as client:
        assert (await client.ask(line)).startswith(code)
        assert (await client.ask(f"AUTH PLAIN {GOOD}")).startswith("235")


async def test_a_client_may_cancel(tls: ssl.SSLContext) -> None:
    async with a_site(tls) as site, site.client() as client:
        assert (await client.ask("AUTH LOGIN")).startswith("334")
        assert (await client.ask("*")).startswith("501 5.7.0")
        assert (await client.ask("NOOP")).startswith("250")


async def test_failures_are_logged_and_end_the_connection(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_site(tls) as site, site.client() as client:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert (await client.ask(f"AUTH PLAIN {coded('', 'eve', 'guess')}")).startswith("535 5.7.8")
            hostile = coded("", "e\x1bve", "guess")
            assert (await client.ask(f"AUTH PLAIN {hostile}")).startswith("535")
            assert await client.closed()
        lines = [record.getMessage() for record in caplog.records if "auth failed" in record.getMessage()]
        assert lines[:2] == ["auth failed address=127.0.0.1 user=eve"] * 2
        assert "\x1b" not in lines[2]


@pytest.mark.parametrize("key", ["sg_live_", "sg_test_", "pii_", "op_"])
async def test_a_key_that_is_given_as_the_user_is_not_logged(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    secret = key + "0123456789abcdef" * 2
    async with a_site(tls) as site, site.client() as client:
        for user in (secret, f"{'x' * 40}{secret}"):
            assert (await client.ask(f"AUTH PLAIN {coded('', user, 'guess')}")).startswith("535 5.7.8")
    lines = [record.getMessage() for record in caplog.records if "auth failed" in record.getMessage()]
    assert len(lines) == 2 and f"user={key}01234567" in lines[0] and lines[0].endswith("...")
    assert not any("cdef" in line for line in lines)


def test_each_failure_waits_longer() -> None:
    now = 0.0
    failures = login_failures.Failures(lambda: now, kept=3)
    waits = [failures.add("address 1", f"user {number}") for number in range(5)]
    assert waits == [0.01 * 2**number for number in range(5)]
    assert len(failures._failed) == 3
    failures.forget("address 1")
    assert failures.add("address 1") == 0.01
    now = login_failures.FORGIVEN_AFTER_S
    assert failures.add("address 1") == 0.01


async def test_a_message_comes_with_its_login(tls: ssl.SSLContext) -> None:
    async with a_site(tls) as site:
        for port, tls_at_once in ((site.port, False), (site.tls_port, True)):
            async with aiosmtplib.SMTP(
                hostname="127.0.0.1",
                port=port,
                use_tls=tls_at_once,
                start_tls=not tls_at_once,
                validate_certs=False,
                username="apikey",
                password="secret",
            ) as client:
                await client.sendmail("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\nx\r\n")
        assert [message.login for message in site.taken] == [Login("key_1", "holder")] * 2
        assert [message.tls_version for message in site.taken] == ["TLSv1.3"] * 2


async def test_what_is_pipelined_behind_a_login_waits_for_it(tls: ssl.SSLContext) -> None:
    async with a_site(tls) as site, site.client() as client:
        client.send(f"AUTH PLAIN {GOOD}\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n".encode())
        assert [reply[:3] for reply in await client.replies(3)] == ["235", "250", "250"]


async def test_connections_of_a_login_and_an_address_are_bounded(tls: ssl.SSLContext) -> None:
    options = ServerOptions(extensions=ALL, max_connections_per_login=1, max_connections_per_address=2)
    async with a_site(tls, options) as site:
        async with site.client() as first, site.client() as second:
            assert (await first.ask(f"AUTH PLAIN {GOOD}")).startswith("235")
            assert (await second.ask(f"AUTH PLAIN {GOOD}")).startswith("421 4.7.0")
            assert await second.closed()
        async with site.client() as first, site.client():
            assert (await first.ask(f"AUTH PLAIN {GOOD}")).startswith("235")
            async with await RawClient.connect(site.port) as third:
                assert (await third.reply()).startswith("421 4.7.0 too many connections from your address")


async def test_a_tls_client_that_does_not_begin_its_handshake_counts(tls: ssl.SSLContext) -> None:
    options = ServerOptions(extensions=ALL, max_connections_per_address=1)
    async with a_site(tls, options) as site, await RawClient.connect(site.tls_port):
        while not site.server.totals.open:
            await asyncio.sleep(0)
        async with await RawClient.connect(site.port) as other:
            assert (await other.reply()).startswith("421 4.7.0")


@pytest.mark.parametrize("tls_at_once", [True, False])
async def test_a_connection_that_ends_in_its_handshake_counts_no_more(tls: ssl.SSLContext, tls_at_once: bool) -> None:
    async with a_site(tls) as site:
        for _ in range(3):
            client = await RawClient.connect(site.tls_port if tls_at_once else site.port)
            if not tls_at_once:
                await client.reply()
                await client.ask("EHLO client.example")
                assert (await client.ask("STARTTLS")).startswith("220")
            client.send(b"this is no handshake\r\n")
            await client.close()
        async with asyncio.timeout(10):
            while site.server.totals.open:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "POST / HTTP/1.1"])
async def test_http_is_ended(tls: ssl.SSLContext, verb: str) -> None:
    async with a_site(tls) as site, await RawClient.connect(site.port) as client:
        await client.reply()
        client.send(f"{verb}\r\nHost: x\r\n\r\nMAIL FROM:<a@example.com>\r\n".encode())
        assert (await client.reply()).startswith("421 4.7.0 this is SMTP")
        assert await client.closed()


async def test_a_client_that_never_ends_a_message_is_ended() -> None:
    server = SmtpServer(lambda _: None, ServerOptions(message_timeout_s=0.2, idle_timeout_s=0.1))
    _, port = await server.start()
    try:
        async with await RawClient.greeted(port) as client:
            while True:
                client.send(b"NOOP\r\n")
                if (answer := await client.reply()).startswith("421"):
                    break
                await asyncio.sleep(0.02)
            assert answer == "421 4.4.2 no message for too long"
    finally:
        await server.stop(0.1)


async def test_who_guesses_recipients_is_ended() -> None:
    from cluster.smtpd.envelope import Behaviour

    behaviour = Behaviour(rcpt=lambda _: ServerReply(550, "5.1.1 no"))
    server = SmtpServer(lambda _: None, ServerOptions(max_refused_recipients=3), behaviour=behaviour)
    _, port = await server.start()
    try:
        async with await RawClient.greeted(port) as client:
            await client.ask("MAIL FROM:<>")
            for number in range(3):
                assert (await client.ask(f"RCPT TO:<u{number}@example.com>")).startswith("550")
            assert (await client.reply()).startswith("421")
    finally:
        await server.stop(0.1)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("MAIL FROM:<a@example.com> RET=HDRS ENVID=QQ314159", "250"),
        ("MAIL FROM:<a@example.com> RET=ALL", "555"),
        ("MAIL FROM:<a@example.com> ENVID=a+2", "501"),
        ("MAIL FROM:<a@example.com> AUTH=<>", "250"),
        ("RCPT TO:<b@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@example.com", "250"),
        ("RCPT TO:<b@example.com> NOTIFY=NEVER", "250"),
        ("RCPT TO:<b@example.com> NOTIFY=NEVER,FAILURE", "501"),
        ("RCPT TO:<b@example.com> ORCPT=b@example.com", "501"),
        ("RCPT TO:<b@example.com> OTHER=1", "555"),
    ],
)
async def test_parameters_of_dsn(tls: ssl.SSLContext, line: str, code: str) -> None:
    async with a_site(tls) as site, site.client() as client:
        await client.ask(f"AUTH PLAIN {GOOD}")
        if line.startswith("RCPT"):
            await client.ask("MAIL FROM:<a@example.com> ENVID=a+2Bb")
        assert (await client.ask(line)).startswith(code)


async def test_a_server_without_dsn_takes_none_of_its_parameters() -> None:
    server = SmtpServer(lambda _: None, ServerOptions(extensions=USUAL_EXTENSIONS))
    _, port = await server.start()
    try:
        async with await RawClient.greeted(port) as client:
            assert (await client.ask("MAIL FROM:<a@example.com> RET=HDRS")).startswith("555")
            await client.ask("MAIL FROM:<a@example.com>")
            assert (await client.ask("RCPT TO:<b@example.com> NOTIFY=NEVER")).startswith("555")
    finally:
        await server.stop(0.1)
