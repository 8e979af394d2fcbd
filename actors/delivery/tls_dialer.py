"""From a host's address to a session as safe as its domain and the operator ask for.

Gathers what a domain publishes (MTA-STS, DANE), lets ``cluster.policy.tls.policy`` decide what one host must show,
opens the connection accordingly, and counts how that went for the TLS report. Owns what is remembered: policies, TLSA
records, hosts on which TLS breaks, TLS sessions. One for each delivery actor. Never chooses hosts or addresses.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from actors.delivery.tracing import Observe
from actors.smtp.client import SmtpConnection
from actors.smtp.handshake import TlsError
from actors.smtp.protocol import SERVICE_NOT_AVAILABLE, ConnectError
from actors.smtp.tls import ClientContexts, sent_chain, server_name, trust
from cluster.lookup.mta_sts import StsPolicies
from cluster.lookup.mta_sts_fetch import PolicyServers
from cluster.lookup.remembered import Remembered
from cluster.lookup.resolver import Resolver
from cluster.lookup.tls_results import TlsResults
from cluster.policy.replies.stage import Stage
from cluster.policy.routes import mx
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls import dane
from cluster.policy.tls.failure import TlsFailure, TlsFault
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.policy.tls.policy import Demand, DomainTls, MxSecurity, PolicyType, Refusal, SecureMx, demand, for_password
from cluster.settings import DnsSettings, SmtpSettings, TlsSettings

if TYPE_CHECKING:
    from cluster.lookup.tlsa import TlsaLookups

REHEARSAL_S = 600.0
"""A host that fails a policy in mode testing is not tried against it again for so long, only counted."""


_TLS_STAGES = frozenset((Stage.STARTTLS, Stage.TLS))


class _Dial(Protocol):
    """Opens the connection with this much TLS. Raises ConnectError."""

    async def __call__(self, level: TlsLevel, records: tuple[dane.Tlsa, ...] = (), base: str = "") -> SmtpConnection:
        """``base``: the name that the records stand under; "" is the host's."""
        ...


class _Session(Struct, frozen=True, kw_only=True):
    """One call of ``open``: what it is for, and what it tells."""

    host: str
    address: str
    domain: str
    sending_ip: str
    may_be_plain: bool
    """Nothing of it is secret: no password will be said."""
    tell: Callable[[str], None]


class TlsPolicies:
    """Made and closed in one running event loop. clock: seconds that never go back."""

    def __init__(
        self,
        resolver: Resolver,
        settings: TlsSettings,
        dns: DnsSettings,
        *,
        clock: Callable[[], float],
        results: TlsResults,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._results = results
        self._now = now
        self._contexts = ClientContexts(settings)
        self._broken: Remembered[tuple[str, str], TlsFailure] = Remembered(settings.cache_entries, clock)
        self._rehearsed: Remembered[tuple[str, str], TlsFailure] = Remembered(settings.cache_entries, clock)
        self._sts = _sts_policies(resolver, settings, clock, self._count_unfetched) if settings.mta_sts else None
        self._tlsa = _tlsa_lookups(dns, settings, clock) if settings.dane else None

    async def of_domain(self, domain: str, level: TlsLevel) -> DomainTls:
        """What the domain publishes and the shaping asks for. A domain whose policy cannot be had has none."""
        secure = SecureMx(MxSecurity.INSECURE)
        name = mx.lookup_name(domain)
        if self._tlsa is not None and isinstance(name, str):
            secure = await self._tlsa.of_mx(name)
        policy = await self._sts.of_domain(domain) if self._sts is not None else None
        if policy is None:
            return DomainTls(level, mx_security=secure.security, alias_of=secure.alias_of)
        return DomainTls(level, policy.mode, policy.mx, secure.security, secure.alias_of)

    async def open(
        self,
        host: str,
        address: str,
        port: int,
        domain_tls: DomainTls,
        *,
        domain: str,
        smtp: SmtpSettings,
        helo_name: str,
        source_address: str | None = None,
        credentials: Credentials | None = None,
        observe: Observe | None = None,
        ignored_capabilities: frozenset[str] = frozenset(),
    ) -> SmtpConnection:
        """A connection to one address of one of the domain's hosts. Raises ConnectError."""

        async def dial(level: TlsLevel, records: tuple[dane.Tlsa, ...] = (), base: str = "") -> SmtpConnection:
            names = _names_of(base or host, host, domain, domain_tls.alias_of) if records else ()
            return await SmtpConnection.open(
                host,
                address,
                port,
                settings=smtp,
                helo_name=helo_name,
                tls=level,
                ssl_context=self._context(level, records, names),
                check_tls=self._check_of(records, names) if records else None,
                tls_name=base,
                source_address=source_address,
                credentials=credentials,
                ignored_capabilities=ignored_capabilities,
                observe=observe,
            )

        session = _Session(
            host=server_name(host),
            address=address,
            domain=domain,
            sending_ip=source_address or "",
            may_be_plain=credentials is None or credentials.needs is AuthNeeds.NOTHING,
            tell=(lambda text: observe("*", text)) if observe is not None else lambda text: None,
        )
        asked = demand(session.host, domain_tls, await self._tlsa_of(session.host, port, domain_tls))
        if isinstance(asked, Refusal):
            self._count(session, asked.policy_type, asked.failure)
            raise ConnectError(Stage.TLS, asked.reason)
        if credentials is not None:
            asked = for_password(asked, credentials.needs)
        session.tell(f"TLS: {asked.level}, {asked.policy_type}")
        try:
            return await self._open(session, asked, dial)
        except ConnectError as error:
            if credentials is None or session.may_be_plain or asked.records or error.stage not in _TLS_STAGES:
                raise
            raise ConnectError(error.stage, f"{error.reason}; {credentials.needs.reason}", error.reply) from None

    async def close(self) -> None:
        if self._sts is not None:
            await self._sts.close()
        if self._tlsa is not None:
            await self._tlsa.close()

    # Opening

    async def _open(self, session: _Session, asked: Demand, dial: _Dial) -> SmtpConnection:
        if asked.rehearse:
            connection = await self._rehearse(session, dial)
            if connection is not None:
                return connection
        key = (session.host, session.address)
        plain_will_do = asked.level is TlsLevel.OPPORTUNISTIC and session.may_be_plain
        broken = self._broken.get(key) if plain_will_do else None
        if broken is not None:
            session.tell(f"TLS: broke here before ({broken}), in plain text")
            connection = await dial(TlsLevel.NONE)
            self._count_demand(session, asked, broken)
            return connection
        try:
            connection = await dial(asked.level, asked.records, asked.base)
        except ConnectError as error:
            failure = _failure_of(error)
            if failure is None and plain_will_do and error.stage is Stage.STARTTLS:
                failure = TlsFailure.STARTTLS_NOT_SUPPORTED  # 421, and the connection is over (RFC 5321 §3.8)
            if failure is None:
                raise
            self._count_demand(session, asked, failure)
            if not plain_will_do:
                raise
            session.tell(f"TLS: {error}, again in plain text")
            connection = await dial(TlsLevel.NONE)
            # Only now: a host that cannot be talked to in plain text either is down, and TLS is not to blame.
            self._broken.put(key, failure, self._settings.broken_host_s)
            return connection
        if asked.level is not TlsLevel.NONE:
            unencrypted = None if connection.tls_version else TlsFailure.STARTTLS_NOT_SUPPORTED
            self._count_demand(session, asked, asked.failure or unencrypted)
        return connection

    async def _rehearse(self, session: _Session, dial: _Dial) -> SmtpConnection | None:
        """A session that enforcing would allow, or None: the failure is counted and must not hinder (RFC 8461 §5)."""
        key = (session.host, session.address)
        failure = self._rehearsed.get(key)
        if failure is None:
            try:
                connection = await dial(TlsLevel.VERIFIED)
            except ConnectError as error:
                failure = _failure_of(error)
                if failure is None:
                    raise
                self._rehearsed.put(key, failure, REHEARSAL_S)
                session.tell(f"MTA-STS, mode testing: {error}")
            else:
                self._count(session, PolicyType.STS, None)
                return connection
        self._count(session, PolicyType.STS, failure)
        return None

    async def _tlsa_of(self, host: str, port: int, domain_tls: DomainTls) -> dane.TlsaLookup:
        if self._tlsa is None or domain_tls.mx_security is MxSecurity.INSECURE or mx.is_address(host):
            return dane.NoTlsa()
        if domain_tls.mx_security is MxSecurity.UNKNOWN:
            return dane.UnknownTlsa("DNSSEC does not tell whether the MX records are genuine")
        return await self._tlsa.of_host(host, port)

    def _context(
        self, level: TlsLevel, records: tuple[dane.Tlsa, ...], names: tuple[str, ...]
    ) -> ssl.SSLContext | None:
        if level is TlsLevel.NONE:
            return None
        return self._contexts.of_dane(level, records, names) if records else self._contexts.of_level(level)

    def _check_of(
        self, records: tuple[dane.Tlsa, ...], names: tuple[str, ...]
    ) -> Callable[[ssl.SSLObject], TlsFault | None]:
        def check(tls: ssl.SSLObject) -> TlsFault | None:
            if tls.session_reused:
                return None  # the context is of these records and names alone: the chain was checked at its beginning
            return dane.check(records, sent_chain(tls), names, self._now())

        return check

    # Counting

    def _count_demand(self, session: _Session, asked: Demand, failure: TlsFailure | None) -> None:
        if not asked.rehearse:  # the rehearsal has counted
            self._count(session, asked.policy_type, failure, asked.published)

    def _count(
        self,
        session: _Session,
        policy_type: PolicyType,
        failure: TlsFailure | None,
        published: tuple[dane.Tlsa, ...] = (),
    ) -> None:
        self._results.count(
            session.domain,
            policy_type,
            policy="\n".join(self._sts_lines(session.domain) if policy_type is PolicyType.STS else map(str, published)),
            result_type=failure or "",
            mx_host=session.host,
            sending_ip=session.sending_ip,
            receiving_ip=session.address,
        )

    def _count_unfetched(self, domain: str, fault: TlsFault) -> None:
        self._results.count(domain, PolicyType.STS, result_type=fault.failure)

    def _sts_lines(self, domain: str) -> tuple[str, ...]:
        policy = self._sts.kept(domain) if self._sts is not None else None
        return policy.lines() if policy is not None else ()


def _tlsa_lookups(dns: DnsSettings, settings: TlsSettings, clock: Callable[[], float]) -> "TlsaLookups":
    # dnspython takes a sixth of a second to import: only whoever follows DANE waits for that.
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


def _failure_of(error: ConnectError) -> TlsFailure | None:
    """What the report says of it; None when TLS had no part in it."""
    if isinstance(error, TlsError):
        return error.failure
    if error.stage is Stage.STARTTLS and (error.reply is None or error.reply.code != SERVICE_NOT_AVAILABLE):
        return TlsFailure.STARTTLS_NOT_SUPPORTED
    return None


def _names_of(*known_as: str) -> tuple[str, ...]:
    """The names that a DANE-TA certificate may have (RFC 7672 §3.2.2), of those that host and domain are known as."""
    names = [mx.lookup_name(name) for name in known_as if name]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))
