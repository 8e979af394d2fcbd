"""An attack ends when it is cancelled."""

import asyncio
from collections import Counter

from benchmarks.attacks.attack import AttackAnswers, Request, Requests, Target, sent


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
    answers = AttackAnswers(Counter())
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
