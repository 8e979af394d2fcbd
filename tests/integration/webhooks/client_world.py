"""A client of endpoints over a DNS of ours, and servers that answer in their own way."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from actors.webhooks.client import Client
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import UNGUARDED
from cluster.policy.routes.networks import networks
from cluster.settings import DnsSettings
from cluster.webhooks.answer import Answer

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NAME = "hooks.example.test"
TIMEOUT_S = 1.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ClientWorld:
    def __init__(self, allowed: tuple[str, ...], dns_port: int, trusted: ssl.SSLContext | None = None) -> None:
        self.clock = Clock()
        resolver = Resolver(
            DnsSettings(nameservers=(f"127.0.0.1:{dns_port}",), timeout_s=0.3, tries=1),
            clock=self.clock,
            random=random.random,
            guard=UNGUARDED,
        )
        allow = networks(allowed=allowed, setting="webhooks.allow_networks")
        self.client = Client(resolver, allow, trusted or ssl.create_default_context(), timeout_s=TIMEOUT_S)

    async def post(self, url: str) -> Answer:
        return await self.client.post("wh_1", url, {"X-Name": "value"}, b'{"event_id":"evt_1"}')

    async def error(self, url: str) -> str:
        """Of a post that has no answer."""
        answer = await self.post(url)
        assert answer.result.status == 0
        assert answer.result.error
        return answer.result.error


@asynccontextmanager
async def a_client(
    *allowed: str, dns_port: int = 9, trusted: ssl.SSLContext | None = None
) -> AsyncIterator[ClientWorld]:
    world = ClientWorld(allowed, dns_port, trusted)
    try:
        yield world
    finally:
        await world.client.close()


@asynccontextmanager
async def raw(handle: Handler, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server that answers in its own way; yields its port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except OSError:
            pass  # the client closed the connection
        finally:
            writer.close()

    server = await asyncio.start_server(one, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(20)
