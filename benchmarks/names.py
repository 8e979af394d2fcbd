"""A DNS server on loopback with an unlimited number of domains, each with its own mail host.

    python -m benchmarks.names     prints host:port; ends when its input does

``d7.bench.test`` has the MX ``mx.d7.bench.test``, and every ``mx.…`` has the address 127.0.0.1. So each domain is a
site, though one sink accepts the mail of all. Nothing else exists: other types of a name have no data. RFC 1035, over
UDP only.
"""

import asyncio
import os
import struct
import sys
from typing import cast

import uvloop

A, MX = 1, 15
IN = 1
TTL_S = 3600
HEADER_BYTES = 12
MOST_LABELS = 127
MAIL_HOST = b"\x02mx"
ANSWERED = 0x8580
"""A response, authoritative, recursion desired and available, no error."""
LOOPBACK = bytes((127, 0, 0, 1))
TO_QUESTION = b"\xc0\x0c"
"""A pointer to the name in the question (RFC 1035 §4.1.4)."""


def domain(number: int) -> str:
    """The name of the domain with this number."""
    return f"d{number}.bench.test"


def answer(query: bytes) -> bytes | None:
    """The reply to a query; None when the data are not a query."""
    end = _name_end(query)
    if end is None or len(query) < end + 4:
        return None
    question = query[HEADER_BYTES : end + 4]
    kind, _ = struct.unpack_from("!HH", query, end)
    data = b""
    if kind == MX:
        data = struct.pack("!H", 10) + MAIL_HOST + TO_QUESTION
    elif kind == A and question.lower().startswith(MAIL_HOST):
        data = LOOPBACK
    record = TO_QUESTION + struct.pack("!HHIH", kind, IN, TTL_S, len(data)) + data if data else b""
    return query[:2] + struct.pack("!HHHHH", ANSWERED, 1, 1 if data else 0, 0, 0) + question + record


def _name_end(query: bytes) -> int | None:
    """The position after the name in the question; None when the name is malformed."""
    position = HEADER_BYTES
    for _ in range(MOST_LABELS):
        if position >= len(query):
            return None
        length = query[position]
        position += 1 + length
        if length == 0:
            return position
        if length > 63:
            return None
    return None


class _Server(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (reply := answer(data)) is not None:
            self._transport.sendto(reply, addr)


async def serve() -> None:
    """Serve until standard input ends, so that the server never outlives the process that started it."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Server, local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")[:2]
    print(f"{host}:{port}", flush=True)
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), os.fdopen(0, "rb"))
    await ended.read()
    transport.close()


if __name__ == "__main__":
    sys.exit(uvloop.run(serve()))
