"""Accepting connections, each onto a seat, without failing permanently when descriptors run out.

At EMFILE, uvloop's own server accepts waiting clients only to close them, including health checks; asyncio's pauses for
a second. Neither frees descriptors. asyncio also accepts up to a whole backlog in one iteration of the event loop.

A listener that is just closed resets every connection that the kernel has opened for it and that was not accepted yet,
though the client may have sent its request already. So the end has two steps: ``refuse``, and a moment later ``close``.
"""

import asyncio
import ctypes
import errno
import logging
import socket
import struct
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
SO_ATTACH_FILTER = 26
"""Linux's number, on most architectures (socket(7)); Python has no name for it."""
_NO_SYN = b"".join(
    struct.pack("=HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the octet of the TCP header with the flags
        (0x54, 0, 0, 0x12),  # of these, SYN and ACK
        (0x15, 0, 1, 0x02),  # is it SYN alone?
        (0x06, 0, 0, 0),  # then drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # otherwise take it
    )
)
"""A classic BPF program: no connection is begun, and those that were are completed."""
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

    @property
    def is_opening(self) -> bool:
        """Whether a connection was accepted that has no protocol yet."""
        return bool(self._opening)

    def refuse(self) -> None:
        """Begin no further connections; those that clients have begun are accepted. A client whose first packet
        is dropped tries again: after ``close`` it finds another process that listens there, or is refused."""
        program = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
        attached = struct.pack("@HP", len(_NO_SYN) // 8, ctypes.addressof(program))
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        except OSError as error:  # a kernel without it: what is begun from now on may be reset
            log.info("connections are taken until the end reason=%s", error.strerror)

    def close(self) -> None:
        """Accept what waits, and listen no more."""
        self._ticking.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            for _ in range(BACKLOG):
                try:
                    client, peer = self._listener.accept()
                except ConnectionAbortedError:
                    continue
                except OSError:  # there is none, or no descriptor
                    break
                self._seat(client, address_key(peer[0]))
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
