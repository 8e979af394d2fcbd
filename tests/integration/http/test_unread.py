"""Clients that send many requests and read no responses: what is started and kept for them, and who is still served."""

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cluster.http.protocol import UNREAD_BYTES
from tests.integration.http.conftest import MAX_WAIT_S, Site, get, post, serving
from tests.integration.http.echo import BIG
from tests.live_objects import objects_of


@asynccontextmanager
async def unread(site: Site, count: int, data: bytes) -> AsyncIterator[list[socket.socket]]:
    """``count`` clients that send these bytes and read nothing."""
    loop = asyncio.get_running_loop()
    clients = []
    try:
        for _ in range(count):
            clients.append(client := socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, (site.host, site.port))
            await loop.sock_sendall(client, data)
        yield clients
    finally:
        for client in clients:
            client.close()


async def settled(site: Site) -> int:
    """The number of requests that were started, once it no longer rises."""
    before = -1
    while before != len(site.app.seen):
        before = len(site.app.seen)
        for _ in range(20):
            await site.healthy()
            site.app.seen.remove("/healthz")
    return before


def is_open(client: socket.socket) -> bool:
    """Whether the server has not closed the connection."""
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


async def test_the_next_request_waits_until_the_answer_before_is_read(site: Site) -> None:
    requests = b"".join(get(f"/long?{n}") for n in range(300))
    async with unread(site, 1, requests) as [client]:
        assert await settled(site) < 20  # some are in the kernel's buffers
        reader, writer = await asyncio.open_connection(sock=client)
        for n in range(300):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), MAX_WAIT_S)
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            assert f'"query": "{n}"'.encode() in await reader.readexactly(length)
        writer.transport.abort()


async def test_what_is_pipelined_is_kept_as_it_came(site: Site) -> None:
    gc.collect()
    async with unread(site, 50, get("/long") * 300):
        await settled(site)
        assert len(objects_of(RequestResponseCycle)) <= 3 * 50  # one in progress, one waiting, one just answered


@pytest.mark.parametrize("per_address", [100, 25])
async def test_unread_answers_are_bounded_in_all(per_address: int) -> None:
    bytes_ = 160 * 1024
    of_all = bytes_ * 100 // per_address
    async with serving(connections=100, per_address=per_address, unread_bytes=of_all) as site:
        async with unread(site, 25, get("/big")) as clients:
            await settled(site)
            left = [number for number, client in enumerate(clients) if is_open(client)]
            assert left == list(range(25))[-len(left) :]  # those unread for longest were closed
            assert 1 <= len(left) <= bytes_ // UNREAD_BYTES
        await site.healthy()


async def test_one_answer_may_be_larger_than_the_bound() -> None:
    async with serving(unread_bytes=1000) as site:
        for _ in range(2):
            client = await site.client()
            client.send(get("/big"))
            assert len((await client.answer()).body) == BIG


@pytest.mark.parametrize("path", ["/long", "/big", "/slow", "/"])
async def test_clients_that_go_away_leave_nothing_in_the_log(
    site: Site, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with unread(site, 20, get(path) * 30):
        await settled(site)
    site.app.gate.set()
    async with asyncio.timeout(MAX_WAIT_S):
        while len(site.app.done) < len(site.app.seen):
            await asyncio.sleep(0.01)
    await settled(site)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_goes_away_in_the_middle_of_a_body(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for data in (post("/", b"abc", "Content-Length: 9"), get("/big") + post("/", b"abc", "Content-Length: 9") + get()):
        async with unread(site, 5, data):
            await settled(site)
    await settled(site)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_health_check_is_not_behind_all_that_is_ready(site: Site) -> None:
    clients = [await site.client() for _ in range(300)]
    for client in clients:
        client.send(get("/busy") * 50)

    async def read() -> None:
        for client in clients:
            for _ in range(50):
                await client.answer()

    reading = asyncio.create_task(read())
    begun = []
    while not reading.done():
        before = len(site.app.seen)
        await site.healthy()
        begun.append(len(site.app.seen) - before)
    await reading
    assert len(begun) > 3
    assert max(begun[1:]) < 300 * 3  # without the limit, each turn of the loop started all 300
    assert site.app.seen.count("/busy") == 300 * 50
