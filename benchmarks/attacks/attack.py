"""Attacks, and how they are sent: whole requests, repeatedly, each over a new connection."""

import asyncio
from collections import Counter
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

CONNECT_S = 5.0
ANSWER_S = 120.0
AGAIN_S = 0.05
"""The pause between a failed connection and the next."""
HEAD_BYTES = 64 * 1024


class Target(Struct, frozen=True):
    """The server to attack, and the attacker's key."""

    host: str
    port: int
    key: str
    """The key of the attacker's own tenant."""

    @classmethod
    def of(cls, url: str, key: str) -> "Target":
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, key)


class AttackAnswers(Struct):
    """The answers that the attacker got."""

    by_status: Counter[int]
    """0: no answer, or no connection."""

    def told(self) -> str:
        return " ".join(f"{status}x{count}" for status, count in sorted(self.by_status.items())) or "no answers yet"


class Attack(Protocol):
    """One kind of attack. ``run`` attacks until it is cancelled, and counts the answers."""

    @property
    def name(self) -> str: ...

    async def run(self, target: Target, answers: AttackAnswers) -> None: ...


class Requests:
    """The same requests over ``at_once`` connections in parallel, each repeated as soon as it is answered."""

    def __init__(self, name: str, at_once: int, requests: tuple["Request", ...]) -> None:
        self.name = name
        self._at_once = at_once
        self._requests = requests

    async def run(self, target: Target, answers: AttackAnswers) -> None:
        async def one(number: int) -> None:
            while True:
                request = self._requests[number % len(self._requests)]
                number += self._at_once
                status = await sent(target, request)
                answers.by_status[status] += 1
                if not status:
                    await asyncio.sleep(AGAIN_S)

        async with asyncio.TaskGroup() as group:
            for number in range(self._at_once):
                group.create_task(one(number))


class Request(Struct, frozen=True):
    """One prepared request."""

    body: bytes = b""
    method: str = "POST"
    path: str = "/v3/mail/send"
    encoding: str = ""

    def head(self, target: Target) -> bytes:
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {target.host}:{target.port}",
            f"Authorization: Bearer {target.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
        ]
        if self.encoding:
            lines.append(f"Content-Encoding: {self.encoding}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def sent(target: Target, request: Request) -> int:
    """Send a request; returns the status of its answer, 0 for none."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port, limit=HEAD_BYTES)
    except (OSError, TimeoutError):
        return 0
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(request.head(target))
            writing = asyncio.create_task(write_all(writer, request.body))
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            finally:
                writing.cancel()
                await asyncio.wait({writing})
            return int(head.split(None, 2)[1])
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, TimeoutError):
        return 0
    finally:
        writer.transport.abort()


async def write_all(writer: asyncio.StreamWriter, body: bytes) -> None:
    view = memoryview(body)
    try:
        for start in range(0, len(body), HEAD_BYTES):
            writer.write(view[start : start + HEAD_BYTES])
            await writer.drain()
    except OSError:
        return  # refused before its end: the answer gives the reason
