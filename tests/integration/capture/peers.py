"""A raw SMTP client for the tests of the capture server: it sends the given bytes unchanged."""

import asyncio
import contextlib
import ssl
from types import TracebackType

from cluster.smtpd.server import Behaviour, OnMessage, ReceivedMessage, ServerOptions, SmtpServer

MAX_WAIT_S = 30.0
"""Time limit of each wait, so that a failing test does not hang."""


def no_verification() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RawClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "RawClient":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def greeted(cls, port: int) -> "RawClient":
        """A connection after the greeting and EHLO."""
        client = await cls.connect(port)
        await client.reply()
        assert (await client.ask("EHLO client.example")).startswith("250")
        return client

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> str:
        """The next reply, its lines joined by newlines; "" at the end of the connection."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), MAX_WAIT_S)).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def replies(self, count: int) -> list[str]:
        return [await self.reply() for _ in range(count)]

    async def ask(self, command: str) -> str:
        self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def start_tls(self) -> None:
        assert (await self.ask("STARTTLS")).startswith("220")
        await asyncio.wait_for(self.writer.start_tls(no_verification()), MAX_WAIT_S)

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), MAX_WAIT_S) == b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):  # the server's script may close the connection
            await self.writer.wait_closed()

    async def __aenter__(self) -> "RawClient":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.close()


class Peer:
    """A running server that keeps the messages it accepted."""

    def __init__(
        self,
        options: ServerOptions | None = None,
        behaviour: Behaviour | None = None,
        tls: ssl.SSLContext | None = None,
        on_message: OnMessage | None = None,
    ) -> None:
        self.taken: list[ReceivedMessage] = []
        self.port = 0
        self.server = SmtpServer(
            on_message or self.taken.append, options or ServerOptions(), tls=tls, behaviour=behaviour
        )

    async def __aenter__(self) -> "Peer":
        _, self.port = await self.server.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.server.stop(grace_s=1.0)
