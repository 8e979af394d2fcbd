"""Taking connections, each onto a seat. Never does: fail for good when descriptors are short.

At EMFILE, uvloop's own server accepts who waits only to drop them, health checks too; asyncio's pauses for a second.
Neither makes room. asyncio also takes up to a whole backlog of connections in one turn of the loop.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from cluster.http.connections import Connections, Seat, address_key

log = logging.getLogger(__name__)

BATCH = 16
"""Connections taken before the loop goes on with what else it has to do."""
PAUSE_S = 0.05
"""After an accept that failed. Freed descriptors are there one turn of the loop later."""
TICK_S = 0.25
"""Between looks for connections whose time is over. At most this much later they are closed."""
EXPIRED_AT_ONCE = 64
BACKLOG = 2048
UNSENT_BYTES = 64 * 1024
"""What the kernel takes of answers ahead of sending them. Without a bound it takes megabytes for each client that reads
nothing, and the server, which cannot see them, makes more."""
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Listens on a bound socket from its making to ``close``; in the running event loop."""

    def __init__(
        self, listener: socket.socket, connections: Connections, connect: Callable[[Seat], asyncio.Protocol]
    ) -> None:
        """``connect`` makes the protocol for a seat. The listener is this object's to close."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._connections = connections
        self._connect = connect
        self._opening: set[asyncio.Task[None]] = set()
        self._short = False
        listener.setblocking(False)
        for option, value in ((socket.TCP_NODELAY, 1), (socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)  # and so for each connection
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
        except OSError as error:  # it has gone already
            log.debug("lost while accepting client=%s reason=%s", seat.address, error)
            client.close()
            self._connections.remove(seat)

    def _pause(self, error: OSError) -> None:
        """The kernel keeps who waits meanwhile. A reader that stays would be called again at once, and again."""
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
        # Many end together when many came together: not all in one turn of the loop.
        wait_s = 0.0 if len(expired) == EXPIRED_AT_ONCE else TICK_S
        self._ticking = self._loop.call_later(wait_s, self._tick)


def _evict(seat: Seat) -> None:
    if seat.holder is not None:
        seat.holder.evict()
