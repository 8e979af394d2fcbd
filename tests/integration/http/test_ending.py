"""The end of the HTTP server: what a client has sent by then is answered, on whatever connection it comes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.http.accepting import BATCH
from cluster.http.connections import ConnectionBounds
from cluster.http.ending import Ending
from cluster.http.server import HttpServer
from tests.integration.http.conftest import MAX_WAIT_S, Client, Site, get, serving
from tests.integration.http.echo import Echo

LEAVING_S = 2.0
SOON = Ending(listens_s=0.1, quiet_s=0.3, grace_s=MAX_WAIT_S, leaving_s=LEAVING_S)
SHORT_S = 0.3
"""Less than the second after which a client tries to connect again."""


class Leaving:
    """An application that answers nothing, and ends when it may."""

    def __init__(self) -> None:
        self.is_asked, self.leaves, self.may_leave = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.has_left = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.is_asked.set()
            await asyncio.Event().wait()
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.leaves.set()
        await self.may_leave.wait()
        self.has_left = True
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@asynccontextmanager
async def ending(site: Site, ending: Ending = SOON) -> AsyncIterator[asyncio.Task[None]]:
    """Within this context the server ends; at its end it has."""
    stopping = asyncio.create_task(site.server.stop(ending))
    await asyncio.sleep(0.01)
    yield stopping
    async with asyncio.timeout(MAX_WAIT_S):
        await stopping


async def test_requests_that_wait_in_the_kernel_are_answered(site: Site) -> None:
    waiting = [socket.create_connection((site.host, site.port), MAX_WAIT_S) for _ in range(3 * BATCH)]
    for one in waiting:
        one.sendall(get())
    await site.server.stop(SOON)
    for one in waiting:
        answer = await asyncio.to_thread(one.recv, 65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        one.close()


async def test_a_request_that_comes_a_moment_later_is_answered_as_the_last(site: Site) -> None:
    new, idle = await site.client(), await site.client()
    assert "connection" not in (await idle.ask(get())).headers
    async with ending(site):
        for client in (new, idle):
            answer = await client.ask(get())
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.ended() == b""


async def test_a_request_in_progress_is_answered_as_the_last(site: Site) -> None:
    client = await site.client()
    await site.busy(client)
    async with ending(site) as stopping:
        await asyncio.sleep(SOON.quiet_s + 0.1)
        assert not stopping.done()
        site.app.gate.set()
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_silent_connection_is_closed_before_the_grace_is_over(site: Site) -> None:
    idle = await site.client()
    await idle.ask(get())
    async with ending(site, Ending(listens_s=0.0, quiet_s=0.1, grace_s=2 * MAX_WAIT_S, leaving_s=LEAVING_S)):
        assert await idle.ended() == b""


async def test_what_takes_too_long_is_cut_off(site: Site) -> None:
    client = await site.client()
    await site.busy(client)
    await site.server.stop(Ending(listens_s=0.0, quiet_s=0.0, grace_s=0.1, leaving_s=LEAVING_S))
    assert b" 500 " in await client.ended()


async def test_no_connection_is_begun_while_it_ends(site: Site) -> None:
    begun = await site.client()
    async with ending(
        site, Ending(listens_s=2 * SHORT_S, quiet_s=3 * SHORT_S, grace_s=MAX_WAIT_S, leaving_s=LEAVING_S)
    ):
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(socket.create_connection, (site.host, site.port), SHORT_S)
        assert (await begun.ask(get())).status == 200


async def test_another_process_takes_over_what_comes(site: Site) -> None:
    """As on a machine with two API processes: a stream of requests notices nothing of the end of one."""
    first = HttpServer(Echo(), ConnectionBounds(connections=100, per_address=100))
    other = HttpServer(Echo(), ConnectionBounds(connections=100, per_address=100))
    host, port = await first.start("127.0.0.1", 0, shared=True)
    await other.start(host, port, shared=True)
    try:
        stopping = asyncio.create_task(first.stop(SOON))
        while not stopping.done():
            client = Client(*await asyncio.open_connection(host, port))
            assert (await client.ask(get())).status == 200
            client.close()
        await stopping
    finally:
        await first.stop()
        await other.stop()


async def test_a_second_stop_shortens_the_first(site: Site) -> None:
    client = await site.client()
    await site.busy(client)
    async with ending(site):
        await site.server.stop(Ending(listens_s=0.0, quiet_s=0.0, grace_s=0.1, leaving_s=LEAVING_S))
        assert b" 500 " in await client.ended()


async def test_a_server_that_refuses_takes_nothing_more_and_its_application_ends_with_the_stop() -> None:
    """So that several servers refuse together, and what they share ends after all of them."""
    app = Leaving()
    server = HttpServer(app, ConnectionBounds(connections=100, per_address=100))
    host, port = await server.start("127.0.0.1", 0)
    server.refuse(Ending(listens_s=0.0, quiet_s=0.0, grace_s=0.2, leaving_s=LEAVING_S))
    async with asyncio.timeout(MAX_WAIT_S):
        while True:
            try:
                (await asyncio.open_connection(host, port))[1].close()
            except ConnectionError:
                break
    await asyncio.sleep(0.3)
    assert server.running() and not app.leaves.is_set()
    stopping = asyncio.create_task(server.stop())
    async with asyncio.timeout(MAX_WAIT_S):
        await app.leaves.wait()
    app.may_leave.set()
    await stopping
    assert app.has_left


async def test_what_is_cut_off_takes_no_time_from_what_the_application_does_at_its_end() -> None:
    app = Leaving()
    server = HttpServer(app, ConnectionBounds(connections=100, per_address=100))
    host, port = await server.start("127.0.0.1", 0)
    client = Client(*await asyncio.open_connection(host, port))
    client.send(get("/slow"))
    async with asyncio.timeout(MAX_WAIT_S):
        await app.is_asked.wait()
    ending = Ending(listens_s=0.0, quiet_s=0.0, grace_s=0.1, leaving_s=LEAVING_S)
    server.refuse(ending)
    async with asyncio.timeout(MAX_WAIT_S):
        assert b" 500 " in await client.ended()
    # As while another server goes on until its grace is over, and longer.
    await asyncio.sleep(0.3)
    stopping = asyncio.create_task(server.stop(ending))
    async with asyncio.timeout(MAX_WAIT_S):
        await app.leaves.wait()
    await asyncio.sleep(LEAVING_S / 2)
    app.may_leave.set()
    await stopping
    assert app.has_left
    client.close()
