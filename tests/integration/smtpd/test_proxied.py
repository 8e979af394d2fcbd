"""Clients that come through a proxy: its header says who they are, for the bounds, the log and the message."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.policy.routes.networks import Network
from cluster.smtpd import certificate
from cluster.smtpd.envelope import ReceivedMessage, ServerOptions
from cluster.smtpd.proxy_protocol import SIGNATURE
from cluster.smtpd.server import SmtpServer
from tests.integration.capture.peers import RawClient, no_verification

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
ELSEWHERE = (ipaddress.ip_network("192.0.2.0/24"),)


def header(address: str, addition: bytes = b"") -> bytes:
    family, to = (socket.AF_INET6, "2001:db8::f") if ":" in address else (socket.AF_INET, "198.51.100.1")
    ends = socket.inet_pton(family, address) + socket.inet_pton(family, to)
    rest = ends + struct.pack("!HH", 40000, 25) + addition
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x21 if ":" in address else 0x11, len(rest)) + rest


LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)


class Site:
    def __init__(self, options: ServerOptions, trusted: tuple[Network, ...], tls: ssl.SSLContext) -> None:
        self.taken: list[ReceivedMessage] = []
        self.server = SmtpServer(self._take, options, tls=tls, trusted_proxies=trusted)
        self.port = self.tls_port = 0

    def _take(self, message: ReceivedMessage) -> None:
        self.taken.append(message)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificate.server_context("localhost", Path(tmp_path_factory.mktemp("tls")))


@contextlib.asynccontextmanager
async def a_site(
    tls: ssl.SSLContext,
    options: ServerOptions = ServerOptions(),  # noqa: B008 (frozen)
    trusted: tuple[Network, ...] = LOOPBACK,
) -> AsyncIterator[Site]:
    site = Site(options, trusted, tls)
    _, site.port = await site.server.start()
    _, site.tls_port = await site.server.start(tls_at_once=True)
    try:
        yield site
    finally:
        await site.server.stop(0.1)


async def send_one(client: RawClient) -> None:
    for line in ("EHLO client.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>"):
        assert (await client.ask(line)).startswith("250")
    assert (await client.ask("DATA")).startswith("354")
    assert (await client.ask("Subject: x\r\n\r\nx\r\n.")).startswith("250")


@pytest.mark.parametrize(
    ("begins", "peer"),
    [
        (header("203.0.113.7"), "203.0.113.7:40000"),
        (header("203.0.113.7", b"\x20\x00\x03abc"), "203.0.113.7:40000"),
        (LOCAL, "127.0.0.1:"),
    ],
)
@pytest.mark.parametrize("tls_at_once", [False, True])
@pytest.mark.parametrize("split", [False, True])
async def test_who_the_client_is(tls: ssl.SSLContext, begins: bytes, peer: str, tls_at_once: bool, split: bool) -> None:
    async with a_site(tls) as site, await RawClient.connect(site.tls_port if tls_at_once else site.port) as client:
        client.writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [begins[: i + 1][-1:] for i in range(len(begins))] if split else [begins]:
            client.send(piece)
            await asyncio.sleep(0)
        if tls_at_once:
            await client.writer.start_tls(no_verification())
        assert (await client.reply()).startswith("220")
        await send_one(client)
        assert site.taken[0].peer.startswith(peer)
        assert bool(site.taken[0].tls_version) is tls_at_once


async def test_what_follows_the_header_at_once_is_not_lost(tls: ssl.SSLContext) -> None:
    async with a_site(tls) as site, await RawClient.connect(site.port) as client:
        client.send(header("203.0.113.7") + b"EHLO client.example\r\n")
        assert [reply[:3] for reply in await client.replies(2)] == ["220", "250"]


@pytest.mark.parametrize(
    "begins", [b"EHLO client.example\r\n", b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 25\r\n", SIGNATURE + bytes(20)]
)
async def test_a_trusted_proxy_must_send_a_header(
    tls: ssl.SSLContext, begins: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with a_site(tls) as site, await RawClient.connect(site.port) as client:
            client.send(begins)
            with contextlib.suppress(ConnectionResetError):  # it did not read all that was sent
                assert await client.closed()
    assert "the proxy 127.0.0.1 sent no header that can be read" in caplog.text


@pytest.mark.parametrize("begins", [b"", header("203.0.113.7")[:20]])
async def test_a_header_that_does_not_come(tls: ssl.SSLContext, begins: bytes) -> None:
    async with (
        a_site(tls, ServerOptions(proxy_header_timeout_s=0.05)) as site,
        await RawClient.connect(site.port) as client,
    ):
        client.send(begins)
        assert await client.closed()
        assert site.server.totals.open == 0


async def test_a_header_from_elsewhere_is_no_header(tls: ssl.SSLContext) -> None:
    async with a_site(tls, trusted=ELSEWHERE) as site, await RawClient.connect(site.port) as client:
        assert (await client.reply()).startswith("220")
        client.send(header("203.0.113.7"))
        assert (await client.reply()).startswith("500")


@pytest.mark.parametrize("tls_at_once", [False, True])
async def test_the_bound_is_of_the_client_not_of_the_proxy(tls: ssl.SSLContext, tls_at_once: bool) -> None:
    async with a_site(tls, ServerOptions(max_connections_per_address=1)) as site, contextlib.AsyncExitStack() as stack:

        async def from_address(address: str) -> RawClient:
            port = site.tls_port if tls_at_once else site.port
            client = await stack.enter_async_context(await RawClient.connect(port))
            client.send(header(address))
            return client

        for address in ("203.0.113.1", "203.0.113.2"):
            client = await from_address(address)
            if tls_at_once:
                await client.writer.start_tls(no_verification())
            assert (await client.reply()).startswith("220")
        client = await from_address("203.0.113.1")
        if not tls_at_once:
            assert (await client.reply()).startswith("421 4.7.0")
        assert await client.closed()


async def test_of_ipv6_a_network_is_one_client(tls: ssl.SSLContext) -> None:
    async with a_site(tls, ServerOptions(max_connections_per_address=1)) as site, contextlib.AsyncExitStack() as stack:
        for address, code in (("2001:db8::1", "220"), ("2001:db8::ffff:1", "421 4.7.0"), ("2001:db8:0:1::1", "220")):
            client = await stack.enter_async_context(await RawClient.connect(site.port))
            client.send(header(address))
            assert (await client.reply()).startswith(code)
    assert not site.server._service.addresses


async def test_a_client_without_a_proxy_is_told_that_the_server_is_full(tls: ssl.SSLContext) -> None:
    async with (
        a_site(tls, ServerOptions(max_connections=1), ELSEWHERE) as site,
        await RawClient.connect(site.port) as client,
        await RawClient.connect(site.port) as other,
    ):
        assert (await client.reply()).startswith("220")
        assert (await other.reply()).startswith("421 4.3.2")
        assert await other.closed()
        assert (await client.ask("NOOP")).startswith("250")


async def test_connections_that_wait_for_a_header_are_bounded(tls: ssl.SSLContext) -> None:
    async with a_site(tls, ServerOptions(max_connections=1)) as site, await RawClient.connect(site.port):
        while not site.server.totals.open:
            await asyncio.sleep(0)
        async with await RawClient.connect(site.port) as other:
            assert await other.closed()
