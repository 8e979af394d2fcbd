"""What domains publish about TLS: MTA-STS policies (RFC 8461) and, where DANE is in use, DNSSEC and TLSA records
(RFC 7672).

This module owns the two look-ups and their caches, and counts policies that could not be fetched for the TLS report.
``cluster.policy.tls.policy`` decides what a host must prove, and the delivery actor's ``tls_dialer`` connects to it.
"""

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.lookup.mta_sts import StsPolicies
from cluster.lookup.mta_sts_fetch import PolicyServers
from cluster.lookup.resolver import Resolver
from cluster.lookup.tls_results import TlsResults
from cluster.lookup.trust import trust
from cluster.policy.routes import mx
from cluster.policy.tls import dane
from cluster.policy.tls.failure import TlsFault
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import DomainTls, MxSecurity, PolicyType, SecureMx
from cluster.settings import DnsSettings, TlsSettings

if TYPE_CHECKING:
    from cluster.lookup.tlsa import TlsaLookups


class TlsPolicies:
    """Made and closed in one running event loop. ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        resolver: Resolver,
        settings: TlsSettings,
        dns: DnsSettings,
        *,
        clock: Callable[[], float],
        results: TlsResults,
    ) -> None:
        self._results = results
        self.sts = _sts_policies(resolver, settings, clock, self._count_unfetched) if settings.mta_sts else None
        """None where the settings turn MTA-STS off."""
        self._tlsa = _tlsa_lookups(dns, settings, clock) if settings.dane else None

    async def of_domain(self, domain: str, level: TlsLevel) -> DomainTls:
        """What the domain publishes, with the level that the shaping asks for. A domain whose policy cannot be
        fetched has no policy."""
        secure = SecureMx(MxSecurity.INSECURE)
        name = mx.lookup_name(domain)
        if self._tlsa is not None and isinstance(name, str):
            secure = await self._tlsa.of_mx(name)
        policy = await self.sts.of_domain(domain) if self.sts is not None else None
        if policy is None:
            return DomainTls(level, mx_security=secure.security, alias_of=secure.alias_of)
        return DomainTls(level, policy.mode, policy.mx, secure.security, secure.alias_of)

    async def tlsa_of(self, host: str, port: int, domain_tls: DomainTls) -> dane.TlsaLookup:
        """The TLSA records of one of the domain's hosts. They are looked up only where the domain's MX records are
        secure (validated by DNSSEC)."""
        if self._tlsa is None or domain_tls.mx_security is MxSecurity.INSECURE or mx.is_address(host):
            return dane.NoTlsa()
        if domain_tls.mx_security is MxSecurity.UNKNOWN:
            return dane.UnknownTlsa("DNSSEC does not tell whether the MX records are genuine")
        return await self._tlsa.of_host(host, port)

    def sts_lines(self, domain: str) -> tuple[str, ...]:
        """The domain's cached MTA-STS policy as the TLS report quotes it; empty where none is cached."""
        policy = self.sts.kept(domain) if self.sts is not None else None
        return policy.lines() if policy is not None else ()

    async def close(self) -> None:
        if self.sts is not None:
            await self.sts.close()
        if self._tlsa is not None:
            await self._tlsa.close()

    def _count_unfetched(self, domain: str, fault: TlsFault) -> None:
        self._results.count(domain, PolicyType.STS, result_type=fault.failure)


def _tlsa_lookups(dns: DnsSettings, settings: TlsSettings, clock: Callable[[], float]) -> "TlsaLookups":
    # Importing dnspython takes a sixth of a second, so only a process that uses DANE imports it.
    from cluster.lookup.tlsa import TlsaLookups

    return TlsaLookups(dns, entries=settings.cache_entries, clock=clock)


def _sts_policies(
    resolver: Resolver,
    settings: TlsSettings,
    clock: Callable[[], float],
    failed: Callable[[str, TlsFault], None],
) -> StsPolicies:
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.minimum_version = ssl.TLSVersion.TLSv1_2
    trusted.set_alpn_protocols(["http/1.1"])
    trust(trusted, settings.ca_file)
    servers = PolicyServers(
        resolver=resolver, port=settings.mta_sts_port, trusted=trusted, timeout_s=settings.mta_sts_timeout_s
    )
    return StsPolicies(resolver, servers, entries=settings.cache_entries, clock=clock, failed=failed)
