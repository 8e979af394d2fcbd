"""A relay on loopback: passes bytes on between a client and a server, unchanged, and shows them to an observer.

So what is counted is what went over the wire, whoever wrote it and however: the product is not touched.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast


class Observer(Protocol):
    """Of one connection."""

    def asked(self, data: bytes) -> None:
        """Bytes from the client."""

    def answered(self, data: bytes) -> None:
        """Bytes from the server."""


Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[Any]]
"""Connects to the server with a protocol of this making."""


class _Server(asyncio.Protocol):
    """The far side: what it says goes to the client."""

    def __init__(self, client: asyncio.Transport, observer: Observer) -> None:
        self._client = client
        self._observer = observer
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # which uvloop's is in all but name

    def data_received(self, data: bytes) -> None:
        self._observer.answered(data)
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class _Client(asyncio.Protocol):
    """The near side: what it says goes to the server, and waits here until that is connected."""

    def __init__(self, connect: Connect, observer: Observer) -> None:
        self._connect = connect
        self._observer = observer
        self._early: list[bytes] = []
        self._server: _Server | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connecting = asyncio.create_task(self._reach(cast(asyncio.Transport, transport)))

    async def _reach(self, client: asyncio.Transport) -> None:
        server = _Server(client, self._observer)
        try:
            await self._connect(lambda: server)
        except OSError:
            client.abort()
            return
        assert server.transport is not None
        self._server = server
        server.transport.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        self._observer.asked(data)
        if self._server is None or self._server.transport is None:
            self._early.append(data)
        else:
            self._server.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._server is not None and self._server.transport is not None:
            self._server.transport.close()


def relaying(connect: Connect, observe: Callable[[], Observer]) -> Callable[[], asyncio.Protocol]:
    """Makes the protocol of each connection to a relay."""
    return lambda: _Client(connect, observe())
