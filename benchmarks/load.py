"""The load of the measuring scenarios: kept-alive HTTP connections, each answer timed. Bounded in count and time.

The chaos scenario has a separate client (``client.py``), which must report what may have been accepted when a
connection breaks. This one must be cheap, and ends the run at any answer but a 202.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

SEND = "/v3/mail/send"
ANSWER_S = 60.0


class NotAccepted(Exception):
    """An answer other than 202, or none: the measurement is worthless."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Accepted(Struct, frozen=True):
    """A request that was answered with 202."""

    at: float
    """When the answer was read, in seconds since the epoch."""
    took_s: float
    message_ids: tuple[str, ...]


class _Promise(Struct):
    message_id: str = ""
    message_ids: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Promise).decode


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._input = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the same interface

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NotAccepted(f"the connection was lost: {exc or 'closed by the server'}"))

    def data_received(self, data: bytes) -> None:
        self._input += data
        end = self._input.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._input[:end]).lower()
        _, _, rest = head.partition(b"content-length:")
        length = int(rest.partition(b"\r\n")[0] or 0)
        if len(self._input) >= end + 4 + length and self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), bytes(self._input[end + 4 : end + 4 + length])))
            self._input.clear()

    async def ask(self, request: list[bytes]) -> tuple[int, bytes]:
        """Returns status and body. Raises Refused, TimeoutError."""
        if self._transport is None:
            raise NotAccepted("the connection was closed by the server")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Load:
    """Sends to one server, with one key, over ``clients`` connections. ``accepted``: the accepted requests."""

    def __init__(self, url: str, key: str, clients: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._key = key
        self._clients = clients
        self._free: asyncio.Queue[_Connection] = asyncio.Queue()
        self._connections: list[_Connection] = []
        self.accepted: list[Accepted] = []

    @property
    def promised(self) -> int:
        """Messages answered with 202."""
        return sum(len(accepted.message_ids) for accepted in self.accepted)

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The ids of those messages."""
        return tuple(message_id for accepted in self.accepted for message_id in accepted.message_ids)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._clients):
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
            self._connections.append(connection)
            self._free.put_nowait(connection)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    async def as_fast_as_answered(self, bodies: Iterator[bytes]) -> None:
        """Every client sends its next body when the last one is answered, until there are none left. Raises Refused."""

        async def one_client(connection: _Connection) -> None:
            for body in bodies:
                await self._send(connection, body, time.perf_counter())

        async with _first_failure(), asyncio.TaskGroup() as group:
            for connection in self._connections:
                group.create_task(one_client(connection))

    async def at_rate(self, bodies: Iterator[bytes], rate: float) -> None:
        """Send a body every 1/``rate`` s, whether or not earlier ones are answered. Each is timed from its turn, so
        that a server that delays one request is also charged for those that waited behind it. Raises Refused."""
        began, number = time.perf_counter(), 0
        async with _first_failure(), asyncio.TaskGroup() as group:
            for body in bodies:
                turn = began + number / rate
                number += 1
                await asyncio.sleep(max(0.0, turn - time.perf_counter()))
                group.create_task(self._send_when_free(body, turn))

    async def _send_when_free(self, body: bytes, turn: float) -> None:
        connection = await self._free.get()
        try:
            await self._send(connection, body, turn)
        finally:
            self._free.put_nowait(connection)

    async def get(self, path: str, expected: int = 200, fields: str = "") -> tuple[float, bytes]:
        """The duration of a GET in seconds, and its body. ``fields``: header fields, each with its CRLF. Raises
        NotAccepted for any status but the expected one."""
        connection = await self._free.get()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_S):
                status, answer = await connection.ask([self._head("GET", path, 0, fields)])
            took_s = time.perf_counter() - began
        finally:
            self._free.put_nowait(connection)
        if status != expected:
            raise NotAccepted(f"{status}: {answer[:500].decode('utf-8', 'replace')}")
        return took_s, answer

    async def _send(self, connection: _Connection, body: bytes, turn: float) -> None:
        async with asyncio.timeout(ANSWER_S):
            status, answer = await connection.ask([self._head("POST", SEND, len(body)), body])
        took_s, at = time.perf_counter() - turn, time.time()
        if status != 202:
            raise NotAccepted(f"{status}: {answer[:500].decode('utf-8', 'replace')}")
        promise = _decode(answer)
        self.accepted.append(Accepted(at, took_s, promise.message_ids or (promise.message_id,)))

    def _head(self, method: str, path: str, length: int, fields: str = "") -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n"
        ).encode("ascii")


@asynccontextmanager
async def _first_failure() -> AsyncIterator[None]:
    """Raises the first of a group's exceptions instead of the group."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


def until(
    seconds: float, bodies: Iterator[bytes], most: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Bodies for ``seconds``, but at most ``most``."""
    ends = clock() + seconds
    for number, body in enumerate(bodies):
        if number == most or clock() >= ends:
            return
        yield body
