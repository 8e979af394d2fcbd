"""TLS to mail exchangers: the contexts of the TLS levels, and session resumption within each context.

This module translates a level into OpenSSL settings (RFC 3207, RFC 7435, RFC 8996). ``cluster.policy.tls`` decides the
level of a destination, and ``handshake`` connects.
"""

import functools
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from cluster.lookup.trust import trust
from cluster.policy.tls.dane import Tlsa
from cluster.policy.tls.level import TlsLevel
from cluster.settings import TlsSettings

SESSIONS = 1000
"""Number of sessions of each level; the newest are kept. Measured: 40 KB each until it is first offered, which an open
connection needs anyway, and 6 KB afterwards; more where a host's certificates are large."""
DANE_CONTEXTS = 500
"""Number of contexts for DANE, each of one host: 13 KB and its session. An evicted host only loses its session."""

LOWEST_VERSION = 1.2
"""RFC 8996 deprecates older versions of TLS."""

SESSION_S = 7200.0
"""Certificates are verified again after at most this long; tickets may last a week (RFC 8446 §4.6.1)."""


@functools.cache
def client_context(level: TlsLevel) -> ssl.SSLContext:
    """The default context of a level: the system's authorities, without session resumption.

    It is cached, since loading the trusted authorities takes about 20 ms.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _set_up(context, level, ca_file="")
    return context


class ResumingContext(ssl.SSLContext):
    """Stores the last session with each server name and offers it at the next handshake (RFC 8446 §2.2).

    aiosmtplib and the event loops pass no session on, but both loops call ``wrap_bio``. OpenSSL resumes a session only
    in the context in which it began, and then verifies no certificate. So each way of verifying needs its own context.
    ``now`` returns seconds since the epoch.

    A session is read from its connection only when it is first offered: reading takes 150 µs, a third of a handshake,
    and most hosts are not seen twice. In CPython 3.11 each reading also leaks a copy of 6 KB (python/cpython#116810).
    """

    _begun: OrderedDict[str, tuple[ssl.SSLObject | ssl.SSLSession | None, float]]
    """The session to resume and its start time, by server name; None where the host has given no ticket."""
    _most_sessions: int
    _now: Callable[[], float]

    def __new__(cls, *, sessions: int, now: Callable[[], float] = time.time) -> "ResumingContext":
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._begun = OrderedDict()
        context._most_sessions = sessions
        context._now = now
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        if session is None and isinstance(server_hostname, str):
            session = self._session_with(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, server_hostname: str, tls: ssl.SSLObject) -> None:
        """Store the session of a connection. In TLS 1.3 the ticket arrives after the handshake, so this is called
        later.

        A resumed session is not stored: with ticket after ticket, the certificate would not be verified again.
        """
        former, began_at = self._begun.get(server_hostname, (tls, 0.0))
        gives_none = former is None and self._now() < began_at + SESSION_S
        if tls.session_reused or gives_none:
            return
        self._begun[server_hostname] = tls, self._now()
        self._begun.move_to_end(server_hostname)
        if len(self._begun) > self._most_sessions:
            self._begun.popitem(last=False)

    def forget(self, server_hostname: str) -> None:
        self._begun.pop(server_hostname, None)

    def retire(self) -> None:
        """Drop the sessions and store no more. A connection references its context where the garbage collector does not
        see it, so a context that stores one of its own connections would never be freed."""
        self._most_sessions = 0
        self._begun.clear()

    def _session_with(self, server_hostname: str) -> ssl.SSLSession | None:
        found, began_at = self._begun.get(server_hostname, (None, 0.0))
        if found is None or self._now() >= began_at + SESSION_S:
            return None
        if isinstance(found, ssl.SSLObject):
            taken = found.session
            found = taken if taken is not None and taken.has_ticket else None
            self._begun[server_hostname] = found, began_at
        return found


class ClientContexts:
    """The contexts of one process, made on first use."""

    def __init__(self, settings: TlsSettings) -> None:
        self._ca_file = settings.ca_file
        self._by_level: dict[tuple[TlsLevel, float], ResumingContext] = {}
        self._dane: OrderedDict[tuple[bool, float, tuple[Tlsa, ...], tuple[str, ...]], ResumingContext] = OrderedDict()

    def of_level(self, level: TlsLevel, version: float = LOWEST_VERSION) -> ResumingContext:
        """``version`` is the lowest version of TLS."""
        # Opportunistic and required both verify no certificate.
        level = TlsLevel.VERIFIED if level is TlsLevel.VERIFIED else TlsLevel.REQUIRED
        context = self._by_level.get((level, version))
        if context is None:
            context = self._by_level[level, version] = self._make(level, version, SESSIONS)
        return context

    def of_dane(
        self, level: TlsLevel, records: tuple[Tlsa, ...], names: tuple[str, ...], version: float = LOWEST_VERSION
    ) -> ResumingContext:
        """The context for a set of records and names. When they change, sessions that were verified with the former
        ones must not be resumed."""
        key = (level is TlsLevel.VERIFIED, version, records, names)
        context = self._dane.get(key)
        if context is None:
            context = self._dane[key] = self._make(level, version, sessions=1)
            if len(self._dane) > DANE_CONTEXTS:
                _, oldest = self._dane.popitem(last=False)
                oldest.retire()
        self._dane.move_to_end(key)
        return context

    def _make(self, level: TlsLevel, version: float, sessions: int) -> ResumingContext:
        context = ResumingContext(sessions=sessions)
        _set_up(context, level, self._ca_file)
        if version >= 1.3:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def _set_up(context: ssl.SSLContext, level: TlsLevel, ca_file: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 deprecates older versions
    if level is TlsLevel.VERIFIED:
        trust(context, ca_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE


def sent_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates (DER) that the host sent, its own first. A resumed session has only the host's own.

    Python 3.13 has a public method for this; earlier versions have it without a public name.
    """
    sent: list[Any] = tls._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
    chain = [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in sent]
    leaf = tls.getpeercert(binary_form=True)
    return chain or ([leaf] if leaf else [])


def server_name(host: str) -> str:
    """The name for SNI and the certificate check: the host's, in lower case and without the final dot."""
    return host.rstrip(".").lower()
