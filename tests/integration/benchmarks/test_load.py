"""The load: what it sends, how it is timed, and what counts as a failure."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.load import Load, NotAccepted, until

Answer = Callable[[bytes], tuple[int, object]]


@asynccontextmanager
async def server(answer: Answer, seen: list[bytes]) -> AsyncIterator[str]:
    """An HTTP server that keeps its connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                body = await reader.readexactly(length)
                seen.append(body)
                status, said = answer(body)
                text = json.dumps(said).encode()
                half = len(text) // 2
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text[:half])
                await writer.drain()
                writer.write(text[half:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


@asynccontextmanager
async def loaded(answer: Answer, clients: int) -> AsyncIterator[tuple[Load, list[bytes]]]:
    seen: list[bytes] = []
    async with server(answer, seen) as url:
        load = Load(url, "key", clients)
        await load.open()
        try:
            yield load, seen
        finally:
            load.close()
            await asyncio.sleep(0)


def promise(body: bytes) -> tuple[int, object]:
    return 202, {"message_id": body.decode()}


async def test_every_body_is_sent_once_whoever_sends_it() -> None:
    async with loaded(promise, clients=3) as (load, seen):
        await load.as_fast_as_answered(iter([b"%d" % i for i in range(20)]))
    assert sorted(seen) == sorted(b"%d" % i for i in range(20))
    assert sorted(load.message_ids) == sorted(str(i) for i in range(20))
    assert load.promised == 20
    assert all(accepted.took_s > 0 for accepted in load.accepted)


async def test_many_ids_of_one_request() -> None:
    async with loaded(lambda _: (202, {"message_ids": ["a", "b"]}), clients=1) as (load, _):
        await load.as_fast_as_answered(iter([b"x"]))
    assert load.message_ids == ("a", "b")


async def test_the_rate_is_kept() -> None:
    async with loaded(promise, clients=4) as (load, _):
        began = time.perf_counter()
        await load.at_rate(iter([b"%d" % i for i in range(21)]), rate=200)
        assert time.perf_counter() - began >= 20 / 200
    assert load.promised == 21


async def test_a_refusal_ends_the_run_with_its_reason() -> None:
    async with loaded(lambda _: (503, {"detail": "full"}), clients=2) as (load, _):
        with pytest.raises(NotAccepted, match=r"503: .*full"):
            await load.as_fast_as_answered(iter([b"x"] * 5))


def test_until_ends_by_time_or_by_number() -> None:
    assert list(until(60, iter([b"x"] * 9), 4)) == [b"x"] * 4
    now = iter(range(100))
    assert len(list(until(3, iter([b"x"] * 9), 100, clock=lambda: float(next(now))))) == 2
