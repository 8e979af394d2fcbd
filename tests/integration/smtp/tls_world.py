"""A test environment for TLS policies: a DNS server, an HTTPS server for policies, a private authority."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from dnslib import MX, TLSA, TXT, A

from actors.delivery.tls_dialer import TlsDialer
from actors.smtp.client import SmtpConnection
from actors.smtp.protocol import ConnectError
from cluster.lookup.domain_tls import TlsPolicies
from cluster.lookup.resolver import Resolver
from cluster.lookup.tls_results import TlsResults
from cluster.policy.routes import mx
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.dane import Tlsa
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import DomainTls
from cluster.settings import DnsSettings, TlsSettings
from tests.certificates import Authority
from tests.integration.dns_server import DnsServer
from tests.integration.smtp.client import PATIENT
from tests.integration.smtp.conftest import HOST
from tests.integration.smtp.peer import Peer

DOMAIN = "example.test"
SENDING_IP = "127.0.0.1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def policy(mode: str = "enforce", mx: str = HOST, max_age: int = 86400) -> str:
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {max_age}\r\n"


def http(body: str | bytes, status: str = "200 OK", media_type: str = "text/plain", more: str = "") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\n{more}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


class PolicyServer:
    """Gives the same answer to every request; with None, it does not answer."""

    def __init__(self) -> None:
        self.answer: bytes | None = http(policy())
        self.requests: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
                writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client closes when it has read enough, and the test is over
        finally:
            writer.transport.abort()


class World:
    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self.clock = Clock()
        self.dns = DnsServer()
        self.https = PolicyServer()
        self.results = TlsResults(lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
        self.policies: TlsPolicies
        self.dialer: TlsDialer
        self.told: list[str] = []

    def announce(self, policy_id: str = "1") -> None:
        self.dns.zone[(f"_mta-sts.{DOMAIN}", "TXT")] = [TXT(f"v=STSv1; id={policy_id};")]
        self.dns.zone[(f"mta-sts.{DOMAIN}", "A")] = [A("127.0.0.1")]

    def sign(self, peer: Peer, *records: Tlsa) -> None:
        """Make the domain, its host, and the host's TLSA records secure (DNSSEC)."""
        name = f"_{peer.port}._tcp.{HOST}"
        self.dns.zone |= {(DOMAIN, "MX"): [MX(HOST, 10)], (HOST, "A"): [A("127.0.0.1")]}
        self.dns.zone[(name, "TLSA")] = [TLSA(r.usage, r.selector, r.matching, r.data) for r in records]
        self.dns.secure |= {DOMAIN, HOST, name}

    def later(self, seconds: float) -> None:
        self.clock.now += seconds

    async def of_domain(self, level: TlsLevel = TlsLevel.OPPORTUNISTIC) -> DomainTls:
        return await self.policies.of_domain(DOMAIN, level)

    async def look_again(self) -> DomainTls:
        """The policy after the background refresh."""
        await self.of_domain()
        assert self.policies.sts is not None
        await self.policies.sts.settled()
        return await self.of_domain()

    async def open(
        self,
        peer: Peer,
        domain_tls: DomainTls | None = None,
        *,
        level: TlsLevel = TlsLevel.OPPORTUNISTIC,
        host: str = HOST,
        credentials: Credentials | None = None,
        timeout_s: float = 20,
    ) -> SmtpConnection:
        return await self.dialer.open(
            host,
            "127.0.0.1",
            peer.port,
            domain_tls or await self.of_domain(level),
            domain=DOMAIN,
            smtp=msgspec.structs.replace(PATIENT, greeting_timeout_s=timeout_s),
            helo_name="client.test",
            source_address=SENDING_IP,
            credentials=credentials,
            observe=lambda direction, text: self.told.append(f"{direction} {text}"),
        )

    async def delivers(self, peer: Peer, domain_tls: DomainTls | None = None, **how: object) -> SmtpConnection:
        """Open a connection and close it; returns the connection."""
        connection = await self.open(peer, domain_tls, **how)  # type: ignore[arg-type]  # those of open
        await connection.quit()
        return connection

    async def fails(self, peer: Peer, domain_tls: DomainTls | None = None, **how: object) -> ConnectError:
        try:
            connection = await self.open(peer, domain_tls, **how)  # type: ignore[arg-type]  # those of open
        except ConnectError as error:
            return error
        await connection.quit()
        raise AssertionError("it was opened")

    def counted(self) -> list[tuple[str, str, int]]:
        """The counts as (policy type, result type, sessions)."""
        return [(x.policy_type.value, str(x.result_type), count) for x, count in self.results.counts().items()]


@asynccontextmanager
async def world(
    folder: Path,
    *,
    dane: bool = False,
    mta_sts: bool = True,
    timeout_s: float = 20.0,
    dns_timeout_s: float = 20.0,
    entries: int = 100,
    guard: mx.Guard = mx.UNGUARDED,
) -> AsyncIterator[World]:
    authority = Authority.root()
    made = World(folder, authority)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: made.dns, local_addr=("127.0.0.1", 0)
    )
    await made.https.start(authority.issue(f"mta-sts.{DOMAIN}").server(folder))
    dns = DnsSettings(nameservers=(f"127.0.0.1:{made.dns.port}",), timeout_s=dns_timeout_s, tries=1)
    tls = TlsSettings(
        ca_file=str(authority.save(folder)),
        mta_sts=mta_sts,
        mta_sts_port=made.https.port,
        mta_sts_timeout_s=timeout_s,
        dane=dane,
        cache_entries=entries,
    )
    resolver = Resolver(dns, clock=made.clock, random=lambda: 0.5, guard=guard)
    made.policies = TlsPolicies(resolver, tls, dns, clock=made.clock, results=made.results)
    made.dialer = TlsDialer(made.policies, tls, clock=made.clock, results=made.results)
    try:
        yield made
    finally:
        await made.policies.close()
        await resolver.close()
        await made.https.stop()
        transport.close()
