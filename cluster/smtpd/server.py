"""A fast SMTP server that relays nothing: that of submission, of mail in, of the capture sink, and the peer of tests.

It owns the listening sockets and their connections. It never stores or relays: it passes a message to ``on_message``,
whose answer is the reply, and a login to ``authenticate``. Runs on asyncio and uvloop. RFC 5321, 2920 (PIPELINING),
3030 (CHUNKING), 3207 (STARTTLS), 4954 (AUTH), 3461 (DSN), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 2034
(ENHANCEDSTATUSCODES).
"""

import asyncio
import ssl
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from cluster.metrics import Counter, Gauge
from cluster.policy.routes.networks import Network
from cluster.smtpd.accepting import Acceptor
from cluster.smtpd.envelope import (
    Answer,
    Authenticate,
    Behaviour,
    Extension,
    Login,
    OnMessage,
    ReceivedMessage,
    ServerAction,
    ServerOptions,
    ServerReply,
    Then,
)
from cluster.smtpd.protocol import Service
from cluster.smtpd.session import ServerSession

__all__ = [
    "Answer",
    "Authenticate",
    "Behaviour",
    "Extension",
    "Login",
    "OnMessage",
    "ReceivedMessage",
    "ServerAction",
    "ServerOptions",
    "ServerReply",
    "SmtpServer",
    "Then",
    "Totals",
]


class Totals(Struct, frozen=True):
    """Counts since the start, except ``open``."""

    open: int
    """Current connections."""
    connected: int
    handshakes: int
    """Completed TLS handshakes."""
    accepted: int
    """Messages answered with 2xx."""
    refused: int
    """Messages read to their end and not accepted."""


class SmtpServer:
    """``on_message`` may be synchronous (fastest) or return a future or coroutine; the answer None accepts."""

    connections = Gauge(
        "postray_smtpd_open_connections", "SMTP connections open now.", lambda server: server.totals.open
    )
    connected = Counter(
        "postray_smtpd_connections_total", "SMTP connections taken.", lambda server: server.totals.connected
    )
    handshakes = Counter(
        "postray_smtpd_handshakes_total", "TLS handshakes completed.", lambda server: server.totals.handshakes
    )
    accepted = Counter(
        "postray_smtpd_accepted_total", "Messages answered with 2xx.", lambda server: server.totals.accepted
    )
    refused = Counter(
        "postray_smtpd_refused_total",
        "Messages read to their end and not accepted.",
        lambda server: server.totals.refused,
    )

    def __init__(
        self,
        on_message: OnMessage,
        options: ServerOptions = ServerOptions(),  # noqa: B008 (frozen)
        *,
        tls: ssl.SSLContext | None = None,
        behaviour: Behaviour | None = None,
        authenticate: Authenticate | None = None,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        """``authenticate``: with it, who has not authenticated may not send. ``trusted_proxies``: connections from them
        begin with a header of the PROXY protocol, version 2; the client is the one that it names."""
        self._service = Service(
            options=options,
            on_message=on_message,
            tls=tls,
            behaviour=behaviour or Behaviour(),
            authenticate=authenticate,
        )
        self._trusted = trusted_proxies
        self._servers: list[asyncio.Server | Acceptor] = []

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, tls_at_once: bool = False, shared: bool = False
    ) -> tuple[str, int]:
        """Listens, at another address with each call; returns the host and the actual port. ``tls_at_once``: clients
        begin with the handshake (RFC 8314 §3.3). ``shared``: several processes of this machine may listen there, and
        the kernel spreads the connections. Raises OSError when the address is taken."""
        service = self._service
        if tls_at_once and service.tls is None:
            raise ValueError("TLS at once needs a TLS context")
        make = partial(ServerSession, service)
        if tls_at_once or self._trusted:
            acceptor = Acceptor(service, make, tls=service.tls if tls_at_once else None, trusted=self._trusted)
            port = acceptor.start(host, port, shared=shared)
            self._servers.append(acceptor)
            return host, port
        server = await asyncio.get_running_loop().create_server(make, host, port, backlog=512, reuse_port=shared)
        self._servers.append(server)
        return host, int(server.sockets[0].getsockname()[1])

    async def stop(self, grace_s: float = 5.0) -> None:
        """Sends 421 to all clients; messages already received get their answer, for ``grace_s`` at most."""
        if not self._servers:
            return
        for server in self._servers:
            server.close()
        self._servers.clear()
        service = self._service
        service.closing = True
        for wire in tuple(service.wires):
            wire.shut_down()
        if service.wires:
            try:
                await asyncio.wait_for(service.all_closed.wait(), grace_s)
            except TimeoutError:
                for wire in tuple(service.wires):
                    wire.abort()
                await service.all_closed.wait()

    @property
    def totals(self) -> Totals:
        service = self._service
        return Totals(
            len(service.wires) + service.arriving,
            service.connected,
            service.handshakes,
            service.accepted,
            service.refused,
        )
