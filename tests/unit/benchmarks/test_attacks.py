"""The attacks are what they claim to be, and end when they are told to."""

import asyncio
import gzip
from collections import Counter

import pytest

from api.send.large.crowding import crowded
from benchmarks.attacks import bodies
from benchmarks.attacks.attack import Answers, Request, Requests, Target, sent
from benchmarks.attacks.table import ATTACKS


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_requests_are_sent_again_and_again_until_they_are_cancelled() -> None:
    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    target = Target("127.0.0.1", server.sockets[0].getsockname()[1], "key")
    answers = Answers(Counter())
    running = asyncio.create_task(Requests("some", 2, (Request(b"x" * 200_000),)).run(target, answers))
    async with asyncio.timeout(20):
        while answers.by_status[202] < 5:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    assert set(answers.by_status) == {202}
    server.close()
    await server.wait_closed()
    assert await sent(target, Request()) == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_each_is_known_by_its_name(name: str) -> None:
    if "MB" not in name and name not in ("many keys", "odd JSON", "packed recipients", "huge heads", "commands"):
        assert ATTACKS[name]().name == name


def test_what_is_packed_is_crowded() -> None:
    request = bodies.packed(bodies.empty_recipients(500_000))
    assert len(request.body) < 20_000
    fault = crowded(gzip.decompress(request.body))
    assert fault is not None and fault.field == "personalizations[0]"
