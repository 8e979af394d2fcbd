"""Sender domains over a real journal and a DNS server of the tests' own; the clock is set by hand."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import cycle

import pytest
from dnslib import CNAME, MX, RD, TXT, A

from actors.compose.probe import signed_probe
from cluster.dkim_keys import generate_rsa_key
from cluster.journal.journal import Journal
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import UNGUARDED
from cluster.settings import DnsSettings
from cluster.tenancy.domains import managing
from cluster.tenancy.domains.domain import SenderDomain
from cluster.tenancy.domains.findings import Finding, Kind
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.domains.records import Publishing, Record, Target, records
from cluster.tenancy.domains.verifying import Verifier
from cluster.vault import Vault
from tests.domains import PUBLISHING, SECRET, a_manager
from tests.integration.dns_server import DnsServer
from tests.integration.journal.builders import a_tenant

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def text(value: str) -> RD:
    """A TXT record in strings of at most 255 octets."""
    octets = value.encode()
    return TXT([octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""])


@dataclass
class Domains:
    """A tenant, and all that looks after its domains."""

    journal: Journal
    tenant_id: str
    dns: DnsServer
    publishing: Publishing = PUBLISHING
    now: datetime = START
    verifier: Verifier = field(init=False)
    manager: DomainManager = field(init=False)

    def start(self, resolver: Resolver) -> None:
        vault = Vault(SECRET)
        self.verifier = Verifier(
            self.journal,
            vault,
            resolver,
            publishing=lambda: self.publishing,
            sign_probe=signed_probe,
            now=lambda: self.now,
            random=lambda: 0.5,
        )
        self.manager = a_manager(
            self.journal,
            vault=vault,
            publishing=lambda: self.publishing,
            verify=self.verifier.verify,
            now=lambda: self.now,
        )

    async def add(self, domain: str = "acme.example", tenant_id: str = "", **wanted: bool) -> SenderDomain:
        return await self.manager.add(
            tenant_id or self.tenant_id,
            domain,
            subdomain="bounces",
            selector="postray",
            include_subdomains=wanted.get("include_subdomains", False),
            is_default=wanted.get("is_default", False),
            uses_cnames=wanted.get("uses_cnames", False),
        )

    def of(self, domain: SenderDomain, kind: Kind, selector: str = "") -> Record:
        """The record of a kind, and of a key's selector."""
        (found,) = (
            record
            for record in records(domain, self.publishing, self.now)
            if record.kind is kind and (record.key is None or record.key.selector == selector)
        )
        return found

    def publish(self, domain: SenderDomain, *but: str) -> None:
        """Publish all records of a domain, except those of kinds or selectors in ``but``."""
        for record in records(domain, self.publishing, self.now):
            if record.kind in but or (record.key is not None and record.key.selector in but):
                continue
            published: list[Record | Target] = [record, *record.targets]
            for one in published:
                self.dns.zone[one.host, one.type] = [_rdata(one.type, one.data)]

    async def verify(self, domain: SenderDomain) -> SenderDomain:
        return await self.manager.verify(domain)

    async def stored(self, domain: SenderDomain) -> SenderDomain:
        found = await self.journal.sender_domains.find(domain.id, None)
        assert found is not None
        return found

    async def pass_(self, time: timedelta) -> int:
        """Let time pass; returns how many domains were looked at then."""
        self.now += time
        return await self.verifier.round()

    def finding(self, domain: SenderDomain, kind: Kind, selector: str = "") -> Finding:
        found = domain.finding(self.of(domain, kind, selector).host, kind)
        assert found is not None
        return found


def _rdata(type: str, data: str) -> RD:
    if type == "MX":
        preference, host = data.split(" ")
        return MX(host, int(preference))
    return CNAME(data) if type == "CNAME" else text(data)


@cache
def _some_keys() -> list[tuple[bytes, str]]:
    return [generate_rsa_key() for _ in range(4)]


@pytest.fixture
async def domains(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Domains]:
    """Its parameter: how long the DNS is waited for; without one, longer than a test takes."""
    # A new RSA key takes up to half a second.
    monkeypatch.setitem(managing._GENERATE, "rsa", cycle(_some_keys()).__next__)

    dns = DnsServer()
    dns.zone[PUBLISHING.bounce_host, "A"] = [A("192.0.2.25")]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: dns, ("127.0.0.1", 0))
    settings = DnsSettings(nameservers=(f"127.0.0.1:{dns.port}",), timeout_s=getattr(request, "param", 60.0), tries=1)
    resolver = Resolver(settings, clock=time.monotonic, random=random.random, guard=UNGUARDED)
    made = Domains(journal, await a_tenant(journal), dns)
    made.start(resolver)
    yield made
    await made.verifier.close()
    await resolver.close()
    transport.close()
