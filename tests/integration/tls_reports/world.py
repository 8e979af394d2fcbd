"""Reporting over a real journal, a DNS server and an HTTPS server of the tests' own; the clock is set by hand."""

import asyncio
import gzip
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from dnslib import TXT, A

from actors.tls_reports.reporting import TlsReporting
from actors.tls_reports.sending import Sending
from actors.webhooks.client import Client
from cluster.journal.journal import Journal
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import UNGUARDED
from cluster.policy.routes.networks import networks
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult
from cluster.settings import DnsSettings, TlsReportSettings
from tests.certificates import Authority
from tests.integration.dns_server import DnsServer

DAY = date(2026, 3, 1)
NEXT_MORNING = datetime(2026, 3, 2, 6, tzinfo=UTC)
"""After the hours over which look-ups are spread."""
DOMAIN = "example.com"
SENDER = "tls-reports@mail.example.com"
HOST = "reports.example.test"
SETTINGS = TlsReportSettings(sender=SENDER, organization="Example Mail", contact="postmaster@mail.example.com")


class ReportServer:
    """Takes reports by HTTPS. ``answer``: of every request; None never answers."""

    def __init__(self) -> None:
        self.answer: bytes | None = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            self.bodies.append(await reader.readexactly(length))
            self.heads.append(head)
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client ended the connection
        finally:
            writer.close()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(gzip.decompress(body)) for body in self.bodies]


class ReportWorld:
    def __init__(self, journal: Journal, dns: DnsServer, https: ReportServer, trusted: ssl.SSLContext) -> None:
        self.journal = journal
        self.dns = dns
        self.https = https
        self.now = NEXT_MORNING
        self._settings = DnsSettings(nameservers=(f"127.0.0.1:{dns.port}",), timeout_s=1.0, tries=1)
        self._trusted = trusted
        self._resolvers: list[Resolver] = []
        self._lives: list[TlsReporting] = []
        self.reporting = self.life()

    def life(self, *allowed: str, timeout_s: float = 2.0) -> TlsReporting:
        """A process that sends reports; ``allowed``: what may be connected to, all of loopback if none is given."""
        client = Client(
            self._resolver(),
            networks(allowed=allowed or ("127.0.0.0/8",)),
            self._trusted,
            timeout_s=timeout_s,
        )
        sending = Sending(self.journal, client, SETTINGS, now=lambda: self.now)
        self.reporting = TlsReporting(
            self.journal, self._resolver(), sending, now=lambda: self.now, random=random.random
        )
        self._lives.append(self.reporting)
        return self.reporting

    def _resolver(self) -> Resolver:
        made = Resolver(self._settings, clock=lambda: self.now.timestamp(), random=random.random, guard=UNGUARDED)
        self._resolvers.append(made)
        return made

    async def close(self) -> None:
        for reporting in self._lives:
            await reporting.close()
        for resolver in self._resolvers:
            await resolver.close()

    def asks(self, *uris: str, domain: str = DOMAIN) -> None:
        """The domain asks for reports in the DNS."""
        text = f"v=TLSRPTv1; rua={','.join(uris)}".encode()
        strings = [text[start : start + 255] for start in range(0, len(text), 255)]
        self.dns.zone[f"_smtp._tls.{domain}", "TXT"] = [TXT(strings)]

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.https.port}/v1/tlsrpt"

    async def counted(self, domain: str = DOMAIN, day: date = DAY) -> None:
        common = {"day": day, "domain": domain, "mx_host": f"mx.{domain}", "receiving_ip": "198.51.100.7"}
        policy = "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 86400"
        good = TlsResult(policy_type=PolicyType.STS, policy=policy, **common)  # type: ignore[arg-type]  # fields
        bad = msgspec.structs.replace(good, result_type="certificate-expired", sending_ip="192.0.2.1")
        await self.journal.tls_results.add({good: 5326, bad: 303})

    async def send(self) -> int:
        """Plan, and carry out what is due; returns how many steps."""
        await self.reporting.plan()
        steps = 0
        while done := await self.reporting.round():
            steps += done
        return steps

    async def states(self, domain: str = DOMAIN) -> dict[str, tuple[bool, bool, str]]:
        """By destination: whether it is sent, whether it is tried again, and what is said."""
        found = await self.journal.tls_reports.of_domains(DAY, [domain])
        return {one.destination: (one.sent_at is not None, one.due_at is not None, one.result) for one in found}

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)


@asynccontextmanager
async def a_world(journal: Journal, folder: Path) -> AsyncIterator[ReportWorld]:
    dns, https = DnsServer(), ReportServer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: dns, local_addr=("127.0.0.1", 0))
    authority = Authority.root()
    server = await asyncio.start_server(https.serve, "127.0.0.1", 0, ssl=authority.issue(HOST).server(folder))
    https.port = server.sockets[0].getsockname()[1]
    dns.zone[HOST, "A"] = [A("127.0.0.1")]
    world = ReportWorld(journal, dns, https, ssl.create_default_context(cafile=str(authority.save(folder))))
    try:
        yield world
    finally:
        await world.close()
        server.close()
        transport.close()
