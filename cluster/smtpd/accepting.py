"""Accepts clients whose session does not begin at once: those that begin with TLS (RFC 8314 §3.3), and those that come
through a proxy.

The event loops tell a server of a client only after its handshake, so clients that never finish one would pass every
bound; here they count from the first packet. A proxy's header is read from the socket itself, to its last octet and no
further, since the handshake follows it.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from cluster.access.client_address import address_key
from cluster.access.terms import within
from cluster.listening import bound
from cluster.policy.routes.networks import Network, plain
from cluster.smtpd import proxy_protocol
from cluster.smtpd.protocol import ServerProtocol, Service, count_down
from cluster.smtpd.proxy_protocol import Client, MalformedHeader

log = logging.getLogger(__name__)

_BACKLOG = 512
_REST_S = 0.1
"""Pause when no client can be accepted, for example because the process has no file descriptors left."""


class Acceptor:
    """Accepts from ``start`` to ``close``. Each client gets a protocol when its proxy has said who it is, and after its
    handshake."""

    def __init__(
        self,
        service: Service,
        make: Callable[[Client, Callable[[], None]], ServerProtocol],
        *,
        tls: ssl.SSLContext | None,
        trusted: Sequence[Network],
    ) -> None:
        """``make`` gets the client, and what the session calls when it counts itself. ``tls``: the handshake comes
        first. ``trusted``: proxies, which must send a header."""
        self._service = service
        self._make = make
        self._tls = tls
        self._trusted = trusted
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()

    def start(self, host: str, port: int, *, shared: bool) -> int:
        """Returns the actual port. Raises OSError when the address is taken."""
        listener = self._listener = bound(host, port, shared=shared)
        listener.listen(_BACKLOG)
        self._accepting = asyncio.create_task(self._accept(listener), name="smtpd-accept")
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """Accept no more; headers and handshakes in progress are given up."""
        for task in (self._accepting, *self._opening):
            if task is not None:
                task.cancel()
        if self._listener is not None:
            self._listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop, service = asyncio.get_running_loop(), self._service
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("no client accepted reason=%r", str(error))
                await asyncio.sleep(_REST_S)
                continue
            is_full = len(service.wires) + service.arriving >= service.options.max_connections
            if is_full and (self._tls is not None or within(plain(str(address[0])), self._trusted)):
                connection.close()  # nothing can be said before the handshake, or the proxy's header
                continue
            task = loop.create_task(self._open(connection, Client(str(address[0]), int(address[1])), _Place(service)))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, peer: Client, place: "_Place") -> None:
        try:
            client = await self._client(connection, peer)
            await self._connect(connection, client, place)
        except MalformedHeader as error:
            log.warning("the proxy %s sent no header that can be read: %s", peer.address, error)
            connection.close()
        except OSError as error:  # includes ssl.SSLError and TimeoutError
            log.info("the connection of %s failed before its session: %s", peer.address, error or "too slow")
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            place.give_up()

    async def _client(self, connection: socket.socket, peer: Client) -> Client:
        """Who the session is with. Raises MalformedHeader, OSError."""
        if not within(plain(peer.address), self._trusted):
            return peer
        async with asyncio.timeout(self._service.options.proxy_header_timeout_s):
            begun = proxy_protocol.start(await _read(connection, proxy_protocol.START_BYTES))
            return proxy_protocol.client(begun, await _read(connection, begun.rest_bytes)) or peer

    async def _connect(self, connection: socket.socket, client: Client, place: "_Place") -> None:
        """The handshake if it comes first, and the session. Raises OSError."""
        loop, options = asyncio.get_running_loop(), self._service.options
        if self._tls is None:
            await loop.connect_accepted_socket(lambda: self._make(client, place.give_up), connection)
        elif self._service.addresses[address_key(client.address)] >= options.max_connections_per_address:
            connection.close()  # nothing can be said before the handshake
        else:
            place.count(address_key(client.address))
            await loop.connect_accepted_socket(
                lambda: self._make(client, place.give_up),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=options.tls_handshake_timeout_s,
            )


class _Place:
    """Counts a client until its session counts itself: never twice, or the last one allowed would be refused."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._address: str | None = None
        self._is_held = True
        service.arriving += 1

    def count(self, address: str) -> None:
        """Also among those of its address."""
        self._address = address
        self._service.addresses[address] += 1

    def give_up(self) -> None:
        if self._is_held:
            self._is_held = False
            self._service.arriving -= 1
            if self._address is not None:
                count_down(self._service.addresses, self._address)


async def _read(connection: socket.socket, count: int) -> bytes:
    """So many octets, and no more: a handshake may follow them."""
    loop, octets = asyncio.get_running_loop(), b""
    while len(octets) < count:
        piece = await loop.sock_recv(connection, count - len(octets))
        if not piece:
            raise MalformedHeader("the connection ended within it")
        octets += piece
    return octets
