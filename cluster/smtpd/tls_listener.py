"""Clients that begin with TLS (RFC 8314 §3.3): they count from the first packet, not from the end of the handshake.

The event loops tell a server of a client only after its handshake, so clients that never finish one would pass every
bound. This listener accepts them itself.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from cluster.smtpd.protocol import ServerProtocol, Service, count_down

log = logging.getLogger(__name__)

_BACKLOG = 512
_REST_S = 0.1
"""Pause when no client can be accepted, for example because the process has no file descriptors left."""


class TlsListener:
    """Accepts from ``start`` to ``close``. Each client that finishes its handshake gets a protocol."""

    def __init__(self, service: Service, context: ssl.SSLContext, make: Callable[[], ServerProtocol]) -> None:
        self._service = service
        self._context = context
        self._make = make
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, *, shared: bool) -> int:
        """Returns the actual port. Raises OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener), name="smtpd-tls-accept")
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """Accept no more; handshakes in progress are given up."""
        for task in (self._accepting, *self._handshakes):
            if task is not None:
                task.cancel()
        if self._listener is not None:
            self._listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop, service = asyncio.get_running_loop(), self._service
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("no client accepted reason=%r", str(error))
                await asyncio.sleep(_REST_S)
                continue
            host = str(address[0])
            open_now = len(service.wires) + service.handshaking
            options = service.options
            if open_now >= options.max_connections or service.addresses[host] >= options.max_connections_per_address:
                client.close()  # nothing can be said before the handshake
                continue
            service.handshaking += 1
            service.addresses[host] += 1
            task = loop.create_task(self._shake_hands(client, host))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, client: socket.socket, host: str) -> None:
        service = self._service
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                client,
                ssl=self._context,
                ssl_handshake_timeout=service.options.tls_handshake_timeout_s,
            )
        except OSError as error:  # includes ssl.SSLError
            log.info("the TLS handshake with %s failed: %s", host, error)
            client.close()
        finally:
            # A session counts itself.
            service.handshaking -= 1
            count_down(service.addresses, host)
