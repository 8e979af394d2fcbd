"""The HTTP server with a small application, on both event loops, and a client that sends raw octets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import uvloop

from cluster.http.connections import ConnectionBounds
from cluster.http.server import HttpServer
from tests.integration.http.echo import HEALTH, Echo

MAX_WAIT_S = 20.0
"""Time limit for steps that take no time unless the machine is very busy."""
LARGEST_READ = 256 * 1024
"""Octets that either event loop reads from a connection at once, at most."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> Answer:
        """The next response. Raises IncompleteReadError at the end of the connection."""
        async with asyncio.timeout(MAX_WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def ended(self) -> bytes:
        """The remaining octets until the end of the connection."""
        async with asyncio.timeout(MAX_WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def ask(self, data: bytes) -> Answer:
        self.send(data)
        return await self.answer()

    def close(self) -> None:
        self.writer.transport.abort()


class Site:
    """A server and its clients."""

    server: HttpServer
    """Where it runs in this process."""

    def __init__(self) -> None:
        self.app = Echo()
        self.host, self.port = "", 0
        self.clients: list[Client] = []

    async def client(self, source: str = "127.0.0.1", *, says: bytes = b"") -> Client:
        """A new connection. The server finds these first octets when it accepts it, however slow the test is."""
        connection = socket.create_connection((self.host, self.port), MAX_WAIT_S, (source, 0))
        connection.sendall(says)
        client = Client(*await asyncio.open_connection(sock=connection))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answer:
        """Send a request over a new connection and return the response."""
        client = await self.client()
        try:
            return await client.ask(data)
        finally:
            client.close()

    async def healthy(self) -> None:
        """Make a health check over a new connection."""
        answer = await self.ask(get("/healthz"))
        assert answer.status == 200

    async def busy(self, client: Client) -> None:
        """Open a connection with a request that is in progress until ``app.gate`` opens."""
        before = self.app.seen.count("/slow")
        client.send(get("/slow"))
        async with asyncio.timeout(MAX_WAIT_S):
            while self.app.seen.count("/slow") == before:
                await asyncio.sleep(0)


def get(path: str = "/", *fields: str, version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: x", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(path: str, body: bytes, *fields: str) -> bytes:
    head = get(path, *fields).replace(b"GET ", b"POST ", 1)
    return head + body


@asynccontextmanager
async def serving(around: Callable[[Any], Any] = lambda app: app, **bounds: Any) -> AsyncIterator[Site]:
    """A running server. ``around`` wraps the application."""
    site = Site()
    site.server = server = HttpServer(
        around(site.app), ConnectionBounds(**{"connections": 5000, "per_address": 5000} | bounds), health=HEALTH
    )
    site.host, site.port = await server.start("127.0.0.1", 0)
    try:
        yield site
    finally:
        site.app.gate.set()
        for client in site.clients:
            client.close()
        await server.stop()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def most_in_a_turn(count: Callable[[], int], work: Coroutine[Any, Any, Any]) -> int:
    """The most by which ``count`` grew from one turn of the event loop to the next during this work. Server and test
    share the loop, so what has no bound holds up the test as it would hold up a health check. A count is the same on
    every machine; the time of a turn is not."""
    most, before, task = 0, count(), asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        most, before = max(most, count() - before), count()
    task.result()
    return most


class Calls:
    """Counts the calls of a method, which still does its work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.count = 0
        self.octets = 0
        """The length of all octets that were passed as the first argument."""
        method = getattr(owner, name)

        def counted(itself: Any, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if args and isinstance(args[0], bytes):
                self.octets += len(args[0])
            return method(itself, *args, **kwargs)

        monkeypatch.setattr(owner, name, counted)
