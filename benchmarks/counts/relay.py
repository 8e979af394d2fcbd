"""A relay on loopback: passes bytes between a client and a server, unchanged, and shows them to an observer.

So the counts are of the traffic on the wire, whatever code wrote it, and the product is unchanged.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Observer(Protocol):
    """Observes one connection."""

    def asked(self, data: bytes) -> None:
        """Bytes from the client."""

    def answered(self, data: bytes) -> None:
        """Bytes from the server."""


Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[Any]]
"""Connects to the server with a protocol from this factory."""


class _Server(asyncio.Protocol):
    """The server's side: its data goes to the client."""

    def __init__(self, client: asyncio.Transport, observer: Observer) -> None:
        self._client = client
        self._observer = observer
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the same interface

    def data_received(self, data: bytes) -> None:
        self._observer.answered(data)
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class _Client(asyncio.Protocol):
    """The client's side: its data goes to the server, and waits here until the server is connected."""

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
    """A factory for the protocol of each connection to a relay."""
    return lambda: _Client(connect, observe())


@asynccontextmanager
async def relayed_journal(dsn: str, folder: Path, observe: Callable[[], Observer]) -> AsyncIterator[str]:
    """The DSN of a relay, in a new folder, to the Postgres at a unix socket."""
    told = conninfo_to_dict(dsn)
    name = f".s.PGSQL.{told.get('port') or 5432}"
    loop = asyncio.get_running_loop()
    connect = partial(loop.create_unix_connection, path=f"{told['host']}/{name}")
    folder.mkdir()
    server = await loop.create_unix_server(relaying(connect, observe), f"{folder}/{name}")
    try:
        yield make_conninfo(dsn, host=str(folder))
    finally:
        server.close()
