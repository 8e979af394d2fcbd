"""From a host's address to a session with the TLS that its domain and the operator require.

The dialer takes what a domain publishes (``cluster.lookup.domain_tls``), lets ``cluster.policy.tls.policy`` decide what
a host must prove, opens the connection accordingly, and counts the result for the TLS report. It owns the caches of
hosts: those on which TLS breaks, those that fail a rehearsal, TLS sessions. Each delivery actor has one. It does not
choose hosts or addresses.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct

from actors.smtp.client import SmtpConnection
from actors.smtp.handshake import TlsError
from actors.smtp.protocol import SERVICE_NOT_AVAILABLE, ConnectError, Observe
from actors.smtp.tls import LOWEST_VERSION, ClientContexts, sent_chain, server_name
from cluster.lookup.domain_tls import TlsPolicies
from cluster.lookup.tls_results import TlsResults
from cluster.lookup.ttl_cache import TtlCache
from cluster.metrics import Counter
from cluster.policy.replies.stage import Stage
from cluster.policy.routes import mx
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls import dane
from cluster.policy.tls.failure import TlsFailure, TlsFault
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.policy.tls.policy import (
    Demand,
    DomainTls,
    PolicyType,
    TenantTls,
    TlsRefusal,
    demand,
    for_password,
    for_tenant,
)
from cluster.settings import SmtpSettings, TlsSettings

REHEARSAL_S = 600.0
"""A host that fails a policy in mode testing is not tested again for this long; its failures are only counted."""

_TLS_STAGES = frozenset((Stage.STARTTLS, Stage.TLS))


class _Dial(Protocol):
    """Opens the connection with a TLS level. Raises ConnectError."""

    async def __call__(self, level: TlsLevel, records: tuple[dane.Tlsa, ...] = (), base: str = "") -> SmtpConnection:
        """``base``: the name that has the records; "" is the host's."""
        ...


class _Session(Struct, frozen=True, kw_only=True):
    """The facts of one call of ``open``, and the callback for its trace."""

    host: str
    address: str
    domain: str
    sending_ip: str
    is_counted: bool
    """Whether it is counted for TLS reports."""
    may_be_plain: bool
    """Plain text is allowed: no password will be sent that needs TLS."""
    tell: Callable[[str], None]


class TlsDialer:
    """``policies``: what domains publish. ``clock``: monotonic seconds. ``now``: the current time, in UTC."""

    in_plain = Counter(
        "postray_smtp_tls_fallbacks_total", "Connections in plain text to hosts that offer TLS, since it broke there."
    )
    refused = Counter(
        "postray_smtp_tls_refused_total",
        "Connections given up for want of the TLS that a policy or a password requires.",
    )

    def __init__(
        self,
        policies: TlsPolicies,
        settings: TlsSettings,
        *,
        clock: Callable[[], float],
        results: TlsResults,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policies = policies
        self._settings = settings
        self._results = results
        self._now = now
        self._contexts = ClientContexts(settings)
        self._broken: TtlCache[tuple[str, str], TlsFailure] = TtlCache(settings.cache_entries, clock)
        self._rehearsed: TtlCache[tuple[str, str], TlsFailure] = TtlCache(settings.cache_entries, clock)

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
        tenant_tls: TenantTls | None = None,
        observe: Observe | None = None,
        ignored_capabilities: frozenset[str] = frozenset(),
    ) -> SmtpConnection:
        """A connection to one address of one of the domain's hosts. Raises ConnectError."""

        version = LOWEST_VERSION if tenant_tls is None else tenant_tls.version

        async def dial(level: TlsLevel, records: tuple[dane.Tlsa, ...] = (), base: str = "") -> SmtpConnection:
            names = _names_of(base or host, host, domain, domain_tls.alias_of) if records else ()
            return await SmtpConnection.open(
                host,
                address,
                port,
                settings=smtp,
                helo_name=helo_name,
                tls=level,
                ssl_context=self._context(level, records, names, version),
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
            is_counted=not domain_tls.carries_reports,
            may_be_plain=credentials is None or credentials.needs is AuthNeeds.NOTHING,
            tell=(lambda text: observe("*", text)) if observe is not None else lambda text: None,
        )
        asked = demand(session.host, domain_tls, await self._policies.tlsa_of(session.host, port, domain_tls))
        if isinstance(asked, TlsRefusal):
            self.refused += 1
            self._count(session, asked.policy_type, asked.failure)
            raise ConnectError(Stage.TLS, asked.reason)
        if credentials is not None:
            asked = for_password(asked, credentials.needs)
        if tenant_tls is not None:
            asked = for_tenant(asked, tenant_tls)
        session.tell(f"TLS: {asked.level}, {asked.policy_type}")
        try:
            return await self._open(session, asked, dial)
        except ConnectError as error:
            if error.stage not in _TLS_STAGES:
                raise
            self.refused += 1
            if tenant_tls is not None:
                raise ConnectError(error.stage, f"{error.reason}; {tenant_tls.reason}", error.reply) from None
            if credentials is None or session.may_be_plain or asked.records:
                raise
            raise ConnectError(error.stage, f"{error.reason}; {credentials.needs.reason}", error.reply) from None

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
            self.in_plain += 1
            self._count_demand(session, asked, broken)
            return connection
        try:
            connection = await dial(asked.level, asked.records, asked.base)
        except ConnectError as error:
            failure = _failure_of(error)
            if failure is None and plain_will_do and error.stage is Stage.STARTTLS:
                failure = TlsFailure.STARTTLS_NOT_SUPPORTED  # 421: the host closes the connection (RFC 5321 §3.8)
            if failure is None:
                raise
            self._count_demand(session, asked, failure)
            if not plain_will_do:
                raise
            session.tell(f"TLS: {error}, again in plain text")
            connection = await dial(TlsLevel.NONE)
            self.in_plain += 1
            # Only now: if plain text fails too, the host is down, and TLS is not the cause.
            self._broken.put(key, failure, self._settings.broken_host_s)
            return connection
        if asked.level is not TlsLevel.NONE:
            unencrypted = None if connection.tls_version else TlsFailure.STARTTLS_NOT_SUPPORTED
            self._count_demand(session, asked, asked.failure or unencrypted)
        return connection

    async def _rehearse(self, session: _Session, dial: _Dial) -> SmtpConnection | None:
        """A session that mode enforce would allow, or None: a failure is counted and must not prevent delivery
        (RFC 8461 §5)."""
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

    def _context(
        self, level: TlsLevel, records: tuple[dane.Tlsa, ...], names: tuple[str, ...], version: float
    ) -> ssl.SSLContext | None:
        if level is TlsLevel.NONE:
            return None
        if records:
            return self._contexts.of_dane(level, records, names, version)
        return self._contexts.of_level(level, version)

    def _check_of(
        self, records: tuple[dane.Tlsa, ...], names: tuple[str, ...]
    ) -> Callable[[ssl.SSLObject], TlsFault | None]:
        def check(tls: ssl.SSLObject) -> TlsFault | None:
            if tls.session_reused:
                return None  # the context is for these records and names only: the first session checked the chain
            return dane.check(records, sent_chain(tls), names, self._now())

        return check

    # Counting

    def _count_demand(self, session: _Session, asked: Demand, failure: TlsFailure | None) -> None:
        if not asked.rehearse:  # otherwise the rehearsal has counted
            self._count(session, asked.policy_type, failure, asked.published)

    def _count(
        self,
        session: _Session,
        policy_type: PolicyType,
        failure: TlsFailure | None,
        published: tuple[dane.Tlsa, ...] = (),
    ) -> None:
        if not session.is_counted:
            return
        lines = self._policies.sts_lines(session.domain) if policy_type is PolicyType.STS else map(str, published)
        self._results.count(
            session.domain,
            policy_type,
            policy="\n".join(lines),
            result_type=failure or "",
            mx_host=session.host,
            sending_ip=session.sending_ip,
            receiving_ip=session.address,
        )


def _failure_of(error: ConnectError) -> TlsFailure | None:
    """The failure type for the TLS report; None if TLS was not the cause."""
    if isinstance(error, TlsError):
        return error.failure
    if error.stage is Stage.STARTTLS and (error.reply is None or error.reply.code != SERVICE_NOT_AVAILABLE):
        return TlsFailure.STARTTLS_NOT_SUPPORTED
    return None


def _names_of(*known_as: str) -> tuple[str, ...]:
    """The names that a DANE-TA certificate may have (RFC 7672 §3.2.2), out of the names of host and domain."""
    names = [mx.lookup_name(name) for name in known_as if name]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))
