"""A name server for any number of domains: each has its own mail host, all at one address."""

import asyncio
import socket
import struct

_MX, _A = 15, 1
_ANSWERED = struct.pack(">HHHHH", 0x8580, 1, 1, 0, 0)
_EMPTY = struct.pack(">HHHHH", 0x8580, 1, 0, 0, 0)


class ManyDomains(asyncio.DatagramProtocol):
    """Answers from the raw bytes, because queries are many: "x.test" has the mail host "mx.x.test"."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.asked = 0
        self.port = 0
        self._address = socket.inet_aton(address)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a datagram's
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        end = data.index(b"\0", 12) + 5
        (kind,) = struct.unpack_from(">H", data, end - 4)
        record = b""
        if kind == _MX:
            record = struct.pack(">H", 10) + b"\2mx\xc0\x0c"
        elif kind == _A:
            record = self._address
        answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 3600, len(record)) + record if record else b""
        assert self._transport is not None
        self._transport.sendto(data[:2] + (_ANSWERED if record else _EMPTY) + data[12:end] + answer, addr)
