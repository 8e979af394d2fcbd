"""Connections to the SMTP server in memory, on an event loop whose clock jumps."""

import asyncio
import ssl
from random import Random
from typing import Any, cast

from cluster.smtpd.protocol import ServerProtocol, Service
from cluster.smtpd.session import ServerSession
from tests.unit.virtual_time import VirtualLoop


class Wire(asyncio.Transport):
    """The server's side of a connection."""

    def __init__(self, protocol: ServerProtocol, address: str, tls: "_Tls | None" = None) -> None:
        super().__init__({"peername": (address, 40000), "ssl_object": tls})
        self.protocol = protocol
        self.address = address
        self.sent = bytearray()
        self.is_read = True
        """Whether the server reads."""
        self.client_reads = True
        self.is_lost = False
        self.upgraded: Wire | None = None
        self._is_closing = False

    def lose(self, error: Exception | None = None) -> None:
        """The connection ends, as the event loop tells its protocol."""
        self._is_closing = True
        if not self.is_lost:
            self.is_lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)

    def stop_reading(self) -> None:
        """The client does not read on, and all buffers are full."""
        if self.client_reads and not self._is_closing:
            self.client_reads = False
            self.protocol.pause_writing()

    def read_on(self) -> None:
        if not self.client_reads:
            self.client_reads = True
            if self._is_closing:
                self.lose()
            else:
                self.protocol.resume_writing()

    # What the protocol calls

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self.sent += data

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        if self.client_reads:  # else what is written has first to be read
            self.lose()

    def abort(self) -> None:
        self.lose()


class _Tls:
    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return ("TLS_AES_128_GCM_SHA256", "TLSv1.3", 128)


HANDSHAKEN = _Tls()


def connected(service: Service, address: str = "192.0.2.1", tls: _Tls | None = None) -> Wire:
    """A new connection to a server."""
    session = ServerSession(service)
    wire = Wire(session, address, tls)
    session.connection_made(wire)
    return wire


class WireLoop(VirtualLoop):
    """Handshakes take some time; some fail, some find the connection lost."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random

    async def start_tls(self, transport: Any, protocol: Any, sslcontext: ssl.SSLContext, **_: Any) -> Any:
        wire = cast(Wire, transport)
        await asyncio.sleep(self.random.choice((0, 0, 0, 0.1)))
        if wire.is_lost:
            return None
        kind = self.random.random()
        if kind < 0.1:
            raise ssl.SSLError("a broken handshake")
        if kind < 0.15:
            raise ConnectionAbortedError("SSL handshake is taking longer than 30 seconds")
        wire.upgraded = Wire(protocol, wire.address, HANDSHAKEN)
        wire.upgraded.sent += wire.sent
        return wire.upgraded
