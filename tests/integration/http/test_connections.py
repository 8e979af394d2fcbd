"""The limits of connections, which of them are closed first, and that health checks are answered under load."""

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.http.unread import UnreadBodies
from cluster.http.accepting import BATCH
from cluster.http.connections import Connections
from cluster.http.protocol import HttpProtocol
from tests.integration.http.conftest import MAX_WAIT_S, Calls, Client, Site, get, most_in_a_turn, post, serving
from tests.integration.http.echo import BIG

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-"


@pytest.fixture(scope="module", autouse=True)
def many_descriptors() -> None:
    """Client and server of 3,000 connections run in one process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def half_open(site: Site, count: int) -> list[Client]:
    return [await site.client(says=HALF) for _ in range(count)]


async def test_3000_half_open_heads_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = Calls(monkeypatch, Connections, "admit")
    async with serving(head_timeout_s=3) as site:
        opening = asyncio.create_task(half_open(site, 3000))
        others = []
        while not opening.done():
            before = accepted.count
            await site.healthy()
            others.append(accepted.count - before - 1)
        # A health check is no longer under way than the few others that came at the same moment.
        assert sorted(others)[len(others) // 2] <= BATCH
        for _ in range(20):
            await site.healthy()
        statuses = {(await client.answer()).status for client in opening.result()}
        assert statuses == {408}


async def test_3000_heads_that_end_together_are_ended_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Calls(monkeypatch, HttpProtocol, "expire")
    async with serving(head_timeout_s=1) as site:
        clients = await half_open(site, 3000)
        await site.healthy()  # all were heard
        time.sleep(1)  # whatever the loop is busy with: now all that are left are due

        async def ended() -> None:
            for client in clients:
                assert (await client.answer()).status == 408

        assert await most_in_a_turn(lambda: ends.count, ended()) <= 200
    assert ends.count >= 3000


async def test_at_the_bound_idle_ones_go_first_then_unfinished_heads() -> None:
    async with serving(connections=4, reserved=1) as site:
        half, idle, later = await site.client(), await site.client(), await site.client()
        half.send(HALF)
        for client in (idle, later):
            assert (await client.ask(get())).status == 200
        busy = await site.client()
        await site.busy(busy)
        await site.busy(await site.client())
        assert await idle.ended() == b""
        await site.busy(await site.client())
        assert await later.ended() == b""
        await site.busy(await site.client())
        assert await half.ended() == b""
        site.app.gate.set()
        assert (await busy.answer()).status == 200  # requests in progress are not affected


async def test_who_was_answered_before_its_body_came_makes_room() -> None:
    async with serving(lambda app: UnreadBodies(app, 10**7), connections=4, reserved=1) as site:
        lingering = [await site.client() for _ in range(4)]
        for client in lingering:
            assert (await client.ask(post("/early", b"a", "Content-Length: 1000000"))).status == 200
        for _ in range(4):
            await site.busy(await site.client())
        for client in lingering:
            assert await client.ended() == b""


async def test_one_address_has_its_own_bound() -> None:
    async with serving(connections=100, per_address=3, reserved=1) as site:
        other = await site.client("127.0.0.2")
        assert (await other.ask(get())).status == 200
        first = await site.client()
        assert (await first.ask(get())).status == 200
        for _ in range(3):
            await site.busy(await site.client())
        assert await first.ended() == b""
        refused = await (await site.client()).ask(get())
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert (await other.ask(get())).status == 200
        await site.healthy()


async def test_health_checks_have_places_of_their_own() -> None:
    async with serving(connections=2, reserved=2) as site:
        for _ in range(2):
            await site.busy(await site.client())
        silent = [await site.client() for _ in range(5)]
        for _ in range(5):
            await site.healthy()
        assert await silent[0].ended() == b""
        client = await site.client()
        client.send(get("/healthz") + get("/healthz"))
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended() == b""  # at the bound, a health check's connection is not kept


@pytest.mark.parametrize(("says", "limit"), [(b"", "head_timeout_s"), (get(), "idle_timeout_s")])
async def test_idle_connections_end(says: bytes, limit: str) -> None:
    bounds: dict[str, Any] = {"head_timeout_s": 3600, "idle_timeout_s": 3600, limit: 0.3}
    async with serving(**bounds) as site:
        client = await site.client(says=says)
        if says:
            assert (await client.answer()).status == 200
        assert await client.ended() == b""


async def test_who_does_not_read_is_cut_off() -> None:
    async with serving(unread_timeout_s=0.3) as site:
        client = await site.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(get("/big"))
        async with asyncio.timeout(MAX_WAIT_S):
            while site.app.done != ["/big"]:
                await asyncio.sleep(0.01)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await client.ended()) < BIG


async def test_who_reads_slowly_is_served() -> None:
    """A client that a busy machine held up for longer than it meant to wait is no proof: it tries with more time."""
    limit_s = 0.5
    while not await is_served_to_the_end(limit_s):
        limit_s *= 2


async def is_served_to_the_end(limit_s: float) -> bool:
    """Read a large answer in parts for longer than the limit; fails unless the client itself was late."""
    pauses_s = [0.0]
    async with serving(unread_timeout_s=limit_s) as site:
        client = await site.client(says=get("/big"))
        began = last = time.monotonic()
        received = 0
        while received < BIG:
            if not (data := await client.reader.read(BIG // 64)):
                assert max(pauses_s) > limit_s / 2
                return False
            received += len(data)
            await asyncio.sleep(limit_s / 25)
            pauses_s.append(time.monotonic() - last)
            last += pauses_s[-1]
    assert last - began > limit_s
    return True


@asynccontextmanager
async def program(descriptors: int) -> AsyncIterator[Site]:
    """The server in a separate process with this limit of descriptors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.http.echo",
        str(descriptors),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    site = Site()
    try:
        site.host, site.port = "127.0.0.1", int(await process.stdout.readline())
        yield site
        assert process.returncode is None
    finally:
        for client in site.clients:
            client.close()
        process.stdin.close()
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    assert process.returncode == 0


async def test_260_connections_are_no_end_of_a_server_with_256_descriptors() -> None:
    async with program(256) as site:
        for _ in range(4):
            await half_open(site, 260)
            await site.healthy()
        answers = await asyncio.gather(*(site.ask(get()) for _ in range(50)))
        assert {answer.status for answer in answers} == {200}


async def test_descriptors_that_others_take_are_no_end_of_a_server() -> None:
    async with program(256) as site:
        kept = await site.client()
        assert (await kept.ask(get())).status == 200
        idle = [await site.client() for _ in range(20)]
        await asyncio.gather(*(client.ask(get()) for client in idle))
        kept.send(get("/hog"))
        assert (await kept.answer()).status == 200  # no descriptor is left
        for _ in range(5):
            await site.healthy()  # idle connections were closed to make room
        assert await idle[0].ended() == b""
        assert (await site.ask(get("/free"))).status == 200
        await site.healthy()
