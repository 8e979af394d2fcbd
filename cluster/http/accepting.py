"""Accepting connections, each onto a seat, without failing permanently when descriptors run out.

At EMFILE, uvloop's own server accepts waiting clients only to close them, including health checks; asyncio's pauses for
a second. Neither frees descriptors. asyncio also accepts up to a whole backlog in one iteration of the event loop.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from cluster.access.client_address import address_key
from cluster.http.connections import Connections, Seat

log = logging.getLogger(__name__)

BATCH = 16
"""Connections accepted before the event loop continues with other work."""
PAUSE_S = 0.05
"""The pause after a failed accept. Freed descriptors are available one loop iteration later."""
TICK_S = 0.25
"""The interval of checks for expired connections. They are closed at most this much late."""
EXPIRED_AT_ONCE = 64
BACKLOG = 2048
UNSENT_BYTES = 64 * 1024
"""How much of the answers the kernel buffers before sending. Without a limit it buffers megabytes for each client that
reads nothing, and the server, which cannot see them, produces more."""
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Listens on a bound socket from construction to ``close``, in the running event loop."""

    def __init__(
        self, listener: socket.socket, connections: Connections, connect: Callable[[Seat], asyncio.Protocol]
    ) -> None:
        """``connect`` makes the protocol for a seat. This object owns the listener and closes it."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._connections = connections
        self._connect = connect
        self._opening: set[asyncio.Task[None]] = set()
        self._short = False
        listener.setblocking(False)
        for option, value in ((socket.TCP_NODELAY, 1), (socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)  # accepted connections inherit it
        listener.listen(BACKLOG)
        self._loop.add_reader(listener.fileno(), self._accept)
        self._ticking = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        self._ticking.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                client, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._short = False
            self._seat(client, address_key(peer[0]))

    def _seat(self, client: socket.socket, address: str) -> None:
        client.setblocking(False)
        seat, victim = self._connections.admit(address, self._loop.time())
        if victim is not None:
            _evict(victim)
        opening = self._loop.create_task(self._open(client, seat, self._connect(seat)))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket, seat: Seat, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, client)
        except OSError as error:  # the client has gone already
            log.debug("lost while accepting client=%s reason=%s", seat.address, error)
            client.close()
            self._connections.remove(seat)

    def _pause(self, error: OSError) -> None:
        """Stop accepting for ``PAUSE_S``; clients wait in the kernel. A registered reader would be called again at
        once."""
        spared = self._connections.spare(BATCH) if error.errno in _SHORT else []
        for seat in spared:
            _evict(seat)
        if not self._short:
            log.warning(
                "cannot accept reason=%s closed=%d open=%d", error.strerror, len(spared), len(self._connections)
            )
        self._short = True
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _tick(self) -> None:
        expired = self._connections.expired(self._loop.time(), EXPIRED_AT_ONCE)
        for seat in expired:
            if seat.holder is not None:
                seat.holder.expire()
        # Connections that opened together expire together: close them over several loop iterations.
        wait_s = 0.0 if len(expired) == EXPIRED_AT_ONCE else TICK_S
        self._ticking = self._loop.call_later(wait_s, self._tick)


def _evict(seat: Seat) -> None:
    if seat.holder is not None:
        seat.holder.evict()
