"""From an address to an SMTP session: connect, greeting, EHLO, STARTTLS, AUTH (RFC 5321 §3.1, RFC 3207, RFC 4954).

aiosmtplib sends the commands; this module gives it a socket, chooses the steps and converts its exceptions into
``ConnectError``. It sends no mail: the transport passes to ``protocol.ClientProtocol`` before the first MAIL.
"""

import asyncio
import hashlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from typing import cast

import aiosmtplib
from msgspec import Struct

from actors.smtp.protocol import SERVICE_NOT_AVAILABLE, ConnectError, Observe
from actors.smtp.reply import MAX_LINE_BYTES, MAX_LINES, MAX_REPLY_BYTES, Reply, make_reply, readable
from actors.smtp.tls import ResumingContext, client_context, server_name
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.failure import TlsFailure, TlsFault, of_verify_code
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.settings import SmtpSettings

# The library refuses replies beyond its own limits. Longer replies are usable, since the code is at the beginning.
aiosmtplib.protocol.MAX_LINE_LENGTH = aiosmtplib.protocol.MAX_RESPONSE_LENGTH = MAX_REPLY_BYTES


CheckTls = Callable[[ssl.SSLObject], TlsFault | None]
"""An additional check of an encrypted session, after that of its context. Returns the fault, or None."""


class TlsError(ConnectError):
    """STARTTLS was accepted, but the TLS session was not established or did not pass the checks."""

    def __init__(self, reason: str, failure: TlsFailure) -> None:
        super().__init__(Stage.TLS, reason)
        self.args = (reason, failure)
        self.failure = failure


class Peer(Struct, frozen=True, kw_only=True):
    """The host to connect to, and how."""

    host: str
    address: str
    """The IP address to connect to."""
    port: int
    helo_name: str
    tls: TlsLevel = TlsLevel.OPPORTUNISTIC
    ssl_context: ssl.SSLContext | None = None
    """None takes the default context of the level."""
    check_tls: CheckTls | None = None
    tls_name: str = ""
    """The name for SNI and certificates where it differs from the host's (RFC 7672 §8.1)."""
    source_address: str | None = None
    """The local IP address to send from; with None, the system chooses it."""
    credentials: Credentials | None = None
    observe: Observe | None = None
    """Called with commands and replies while the connection is traced. AUTH is shown without the credentials."""

    @property
    def server_name(self) -> str:
        """The name for SNI and certificates."""
        return server_name(self.tls_name or self.host)

    @property
    def context(self) -> ssl.SSLContext:
        return self.ssl_context or client_context(self.tls)

    @property
    def verifies(self) -> bool:
        """Whether the host of an encrypted session is authenticated."""
        return self.check_tls is not None or self.context.check_hostname

    def tell(self, direction: str, text: str) -> None:
        if self.observe is not None:
            self.observe(direction, text)

    def tell_reply(self, reply: tuple[int, str]) -> None:
        if self.observe is None:
            return
        code, text = reply
        for line in text.splitlines() or [""]:
            self.tell("S", f"{code} {readable(line.encode('utf-8', 'surrogateescape'))}")


class HandshakeResult(Struct, frozen=True, kw_only=True):
    """The result of the handshake. The transport's protocol is still aiosmtplib's."""

    transport: asyncio.Transport
    capabilities: dict[str, str]
    """EHLO keywords in upper case, with their parameters."""
    ehlo: bytes
    """A digest of the answer to EHLO and of whether TLS was on. It differs for another machine or configuration."""
    tls_version: str
    """OpenSSL's name of it ("TLSv1.3"); empty for a plain session."""
    tls_cipher: str
    tls_resumed: bool
    """Whether an earlier TLS session was resumed."""


async def open_session(peer: Peer, settings: SmtpSettings) -> HandshakeResult:
    """Connect and perform the handshake. Raises ConnectError, and ValueError for a HELO name that cannot be written."""
    client = aiosmtplib.SMTP(local_hostname=peer.helo_name, start_tls=False, timeout=settings.greeting_timeout_s)
    peer.tell("*", f"connecting to {peer.host} [{peer.address}]:{peer.port}")
    try:
        sock = await _connect(peer, settings.connect_timeout_s)
        await _converse(client, sock, peer)
        session = _take(client)
    except BaseException as error:
        if isinstance(error, ConnectError):
            peer.tell("*", str(error))
        if client.transport is not None:
            _as_transport(client.transport).abort()
        raise
    if session.tls_version:
        peer.tell("*", f"encrypted: {session.tls_version} {session.tls_cipher}")
    return session


async def _connect(peer: Peer, timeout_s: float) -> socket.socket:
    """Connect a socket here, so that connecting and greeting have separate time limits and separate failures."""
    version = ipaddress.ip_address(peer.address).version
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A flight of small commands must not wait for the TCP acknowledgement of the previous one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if peer.source_address is not None:
            sock.bind((peer.source_address, 0))
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, (peer.address, peer.port))
    except TimeoutError:
        sock.close()
        raise ConnectError(Stage.CONNECT, "timed out") from None
    except OSError as error:
        sock.close()
        raise ConnectError(Stage.CONNECT, _reason(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _converse(client: aiosmtplib.SMTP, sock: socket.socket, peer: Peer) -> None:
    stage = Stage.GREETING
    try:
        peer.tell_reply(await client.connect(sock=sock))
        stage = Stage.EHLO
        await _ehlo(client, peer)
        if peer.tls is not TlsLevel.NONE:
            stage = Stage.STARTTLS
            encrypted = await _start_tls(client, peer)
            stage = Stage.EHLO
            if encrypted:
                await _ehlo_encrypted(client, peer)
        if peer.credentials is not None:
            stage = Stage.AUTH
            await _authenticate(client, peer, peer.credentials)
    except aiosmtplib.SMTPResponseException as error:
        raise ConnectError(stage, *_refusal(error)) from None
    except aiosmtplib.SMTPTimeoutError:
        raise ConnectError(stage, "timed out") from None
    except aiosmtplib.SMTPServerDisconnected:
        raise ConnectError(stage, "closed by the peer") from None
    except aiosmtplib.SMTPException as error:
        # At the greeting, aiosmtplib reports a connection that the peer closed as a connect error.
        raise ConnectError(stage, "closed by the peer" if stage is Stage.GREETING else error.message) from None
    except OSError as error:
        raise ConnectError(stage, _reason(error)) from None


async def _ehlo(client: aiosmtplib.SMTP, peer: Peer) -> None:
    peer.tell("C", f"EHLO {peer.helo_name}")
    try:
        peer.tell_reply(await client.ehlo())
    except aiosmtplib.SMTPHeloError as error:
        # RFC 5321 §3.2, §4.1.1.1: a host that does not know EHLO may know HELO. Hosts refuse EHLO with any 5yz.
        if not 500 <= error.code <= 599 or not client.is_connected:
            raise
        peer.tell_reply((error.code, error.message))
        peer.tell("C", f"HELO {peer.helo_name}")
        peer.tell_reply(await client.helo())


async def _ehlo_encrypted(client: aiosmtplib.SMTP, peer: Peer) -> None:
    """EHLO in TLS. In TLS 1.3 the host may refuse the handshake only now, after it seemed complete. The session ticket
    arrives before the reply to EHLO, so the session can be stored for resumption after it."""
    try:
        await _ehlo(client, peer)
    except aiosmtplib.SMTPServerDisconnected:
        _forget_session(peer)
        raise TlsError("closed by the peer after the handshake", TlsFailure.VALIDATION_FAILURE) from None
    except aiosmtplib.SMTPHeloError as error:
        if peer.tls is not TlsLevel.OPPORTUNISTIC:
            raise
        # RFC 7435 §3: plain text is better than no delivery, so the caller may retry without TLS.
        reason = readable(error.message.encode("utf-8", "surrogateescape")[:200])
        raise TlsError(f"EHLO refused in TLS: {error.code} {reason}", TlsFailure.VALIDATION_FAILURE) from None
    tls = client.get_transport_info("ssl_object")
    if isinstance(peer.ssl_context, ResumingContext) and isinstance(tls, ssl.SSLObject):
        peer.ssl_context.remember(peer.server_name, tls)


def _forget_session(peer: Peer) -> None:
    """Do not offer a session again on which the handshake may have failed."""
    if isinstance(peer.ssl_context, ResumingContext):
        peer.ssl_context.forget(peer.server_name)


async def _start_tls(client: aiosmtplib.SMTP, peer: Peer) -> bool:
    """Send STARTTLS as the level requires. Returns whether the session is encrypted."""
    optional = peer.tls is TlsLevel.OPPORTUNISTIC
    if not client.supports_extension("starttls"):
        if optional:
            return False
        raise ConnectError(Stage.STARTTLS, f"not offered, and TLS is {peer.tls}")
    try:
        await _encrypt(client, peer)
    except aiosmtplib.SMTPResponseException as error:
        # RFC 3207 §4: after a refusal the client may continue without TLS.
        if optional and error.code > 0 and error.code != SERVICE_NOT_AVAILABLE:
            return False
        raise
    except TlsError:
        _forget_session(peer)
        raise
    return True


async def _encrypt(client: aiosmtplib.SMTP, peer: Peer) -> None:
    """STARTTLS and the TLS handshake. Raises TlsError, and aiosmtplib's exceptions for the reply to STARTTLS."""
    try:
        # aiosmtplib drops plaintext that follows the 220 before the handshake (RFC 3207 §6; CVE-2011-0411).
        peer.tell("C", "STARTTLS")
        peer.tell_reply(await client.starttls(tls_context=peer.context, server_hostname=peer.server_name))
    except ssl.SSLCertVerificationError as error:
        raise TlsError(f"certificate: {error.verify_message}", of_verify_code(error.verify_code)) from None
    except ssl.SSLError as error:
        raise TlsError(error.reason or str(error), TlsFailure.VALIDATION_FAILURE) from None
    except aiosmtplib.SMTPReadTimeoutError:
        raise
    except aiosmtplib.SMTPTimeoutError:
        raise TlsError("handshake timed out or was aborted", TlsFailure.VALIDATION_FAILURE) from None
    except (aiosmtplib.SMTPServerDisconnected, OSError):
        raise TlsError("closed by the peer", TlsFailure.VALIDATION_FAILURE) from None
    except ValueError as error:
        reason = f"{peer.server_name!r} cannot be a server name: {error}"
        raise TlsError(reason, TlsFailure.VALIDATION_FAILURE) from None
    fault = peer.check_tls(client.get_transport_info("ssl_object")) if peer.check_tls else None
    if fault is not None:
        raise TlsError(fault.reason, fault.failure)


async def _authenticate(client: aiosmtplib.SMTP, peer: Peer, credentials: Credentials) -> None:
    # The TLS level is chosen so that these cases cannot occur; they are checked again before the password is sent.
    is_encrypted = client.get_transport_info("sslcontext") is not None
    if credentials.needs is not AuthNeeds.NOTHING and not is_encrypted:
        raise ConnectError(Stage.AUTH, f"the session is not encrypted; {credentials.needs.reason}")
    if credentials.needs is AuthNeeds.VERIFIED and not peer.verifies:
        raise ConnectError(Stage.AUTH, f"the certificate is not verified; {credentials.needs.reason}")
    peer.tell("C", "AUTH (credentials)")
    peer.tell_reply(await client.login(credentials.username, credentials.password))


def _take(client: aiosmtplib.SMTP) -> HandshakeResult:
    transport = client.transport
    if transport is None or not client.is_connected:
        raise ConnectError(Stage.EHLO, "closed by the peer")
    capabilities = {keyword.upper(): value for keyword, value in client.esmtp_extensions.items()}
    # The client and its protocol reference each other and the transport with its buffers: about 50 KB that would
    # outlive the connection until the garbage collector runs. Without a transport, close() only releases the protocol.
    client.transport = None
    client.close()
    tls = transport.get_extra_info("ssl_object")
    cipher = tls.cipher() if tls is not None else None
    return HandshakeResult(
        transport=_as_transport(transport),
        capabilities=capabilities,
        ehlo=_digest(client.last_ehlo_response, tls is not None),
        tls_version=(tls.version() or "") if tls is not None else "",
        tls_cipher=cipher[0] if cipher else "",
        tls_resumed=bool(tls is not None and tls.session_reused),
    )


def _digest(answer: aiosmtplib.SMTPResponse | None, encrypted: bool) -> bytes:
    """A digest of 16 octets over the whole answer, since its host name distinguishes machines behind one address."""
    text = answer.message if answer is not None else ""
    return hashlib.blake2b(f"{encrypted} {text}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _reason(error: OSError) -> str:
    """The system's error text: asyncio and uvloop add different texts of their own."""
    return os.strerror(error.errno) if error.errno else str(error)


def _refusal(error: aiosmtplib.SMTPResponseException) -> tuple[str, Reply | None]:
    """The reason and the reply of a refusal. aiosmtplib uses a negative code when there was no valid reply."""
    if not 200 <= error.code <= 599:
        return readable(error.message.encode("utf-8", "surrogateescape")[:200]), None
    texts = error.message.encode("utf-8", "surrogateescape").split(b"\n")[:MAX_LINES]
    last = len(texts) - 1
    lines = [
        f"{error.code}{' ' if i == last else '-'}{readable(text[:MAX_LINE_BYTES])}" for i, text in enumerate(texts)
    ]
    return "refused", make_reply(error.code, lines)


def _as_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """uvloop's transports have the interface of Transport but are no subclass of it, so isinstance fails."""
    return cast(asyncio.Transport, transport)
