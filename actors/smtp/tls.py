"""TLS towards mail exchangers: contexts for what a host must show, and the sessions that are resumed within each.

Owns what a level means to OpenSSL (RFC 3207, RFC 7435, RFC 8996). Never connects, never decides which level a
destination gets.
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
"""For each level, the last begun. Measured: 40 KB each until it is first offered, which an open connection takes
anyhow, and 6 KB from then on; more where a host's certificates are large."""
DANE_CONTEXTS = 500
"""Of one host each: 13 KB and its session. A host that falls out loses its session and no more."""


SESSION_S = 7200.0
"""A certificate is looked at again at the latest after this; tickets may last a week (RFC 8446 §4.6.1)."""


@functools.cache
def client_context(level: TlsLevel) -> ssl.SSLContext:
    """The context of a level for whoever brings none: the system's authorities, and no sessions to resume.

    Cached, since loading the trusted authorities costs about 20 ms.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _set_up(context, level, ca_file="")
    return context


class ResumingContext(ssl.SSLContext):
    """Remembers the last session with each server name and offers it at the next handshake (RFC 8446 §2.2).

    aiosmtplib and the event loops hand no session on; both loops come through ``wrap_bio``. OpenSSL resumes a session
    only in the context that it began in, and checks no certificate again when it does: whatever must be verified
    differently needs a context of its own. now: seconds since the epoch.

    A session is taken out of its connection only when it is first to be offered: that costs 150 µs, a third of a
    handshake, and most hosts are not seen twice. In CPython 3.11 each taking leaks a copy besides, 6 KB
    (python/cpython#116810).
    """

    _begun: OrderedDict[str, tuple[ssl.SSLObject | ssl.SSLSession | None, float]]
    """What to resume, and when it began; None where the host was found to give no tickets."""
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
        """In TLS 1.3 a session can be resumed only once its ticket has come, which is after the handshake.

        One that was itself resumed is not kept: ticket after ticket, no certificate would ever be looked at again.
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
        """Remember nothing any more. A connection holds its context where the collector does not see it: with one of
        its own connections in it, a context that nobody needs would stay for ever."""
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
    """The contexts of one process, made when they are first needed."""

    def __init__(self, settings: TlsSettings) -> None:
        self._ca_file = settings.ca_file
        self._by_level: dict[TlsLevel, ResumingContext] = {}
        self._dane: OrderedDict[tuple[bool, tuple[Tlsa, ...], tuple[str, ...]], ResumingContext] = OrderedDict()

    def of_level(self, level: TlsLevel) -> ResumingContext:
        # Opportunistic and required ask the same of a certificate: nothing.
        level = TlsLevel.VERIFIED if level is TlsLevel.VERIFIED else TlsLevel.REQUIRED
        context = self._by_level.get(level)
        if context is None:
            context = self._by_level[level] = self._make(level, SESSIONS)
        return context

    def of_dane(self, level: TlsLevel, records: tuple[Tlsa, ...], names: tuple[str, ...]) -> ResumingContext:
        """One for each set of records and names: when they change, what was proved before counts no more."""
        key = (level is TlsLevel.VERIFIED, records, names)
        context = self._dane.get(key)
        if context is None:
            context = self._dane[key] = self._make(level, sessions=1)
            if len(self._dane) > DANE_CONTEXTS:
                _, oldest = self._dane.popitem(last=False)
                oldest.retire()
        self._dane.move_to_end(key)
        return context

    def _make(self, level: TlsLevel, sessions: int) -> ResumingContext:
        context = ResumingContext(sessions=sessions)
        _set_up(context, level, self._ca_file)
        return context


def _set_up(context: ssl.SSLContext, level: TlsLevel, ca_file: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 retires what is older
    if level is TlsLevel.VERIFIED:
        trust(context, ca_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE


def sent_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates (DER) as the host sent them, its own first; without those above it in a resumed session.

    Python 3.13 says so itself; before, the same method is there without a public name.
    """
    sent: list[Any] = tls._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
    chain = [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in sent]
    leaf = tls.getpeercert(binary_form=True)
    return chain or ([leaf] if leaf else [])


def server_name(host: str) -> str:
    """The name for SNI and the certificate check: that of the host, without the root's dot."""
    return host.rstrip(".").lower()
