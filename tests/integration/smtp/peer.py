"""A scripted SMTP server: it follows the protocol except where its script says otherwise."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Self


class Step(Enum):
    DROP = auto()
    """Closes the connection."""
    STALL = auto()
    """Sends nothing more until the client closes the connection."""
    FLOOD = auto()
    """Repeats the line before it endlessly."""
    DRIP = auto()
    """Sends the following bytes one by one, each after DRIP_S."""


DRIP_S = 0.05


Answer = tuple[bytes | Step, ...]
"""Pieces that are written or performed in order instead of the usual reply. Each piece of bytes is a separate write."""

EXTENSIONS = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "SIZE 20000000", "ENHANCEDSTATUSCODES")

_USUAL: Mapping[str, Answer] = {
    "GREETING": (b"220 peer.test ESMTP\r\n",),
    "STARTTLS": (b"220 2.0.0 go ahead\r\n",),
    "AUTH": (b"235 2.7.0 welcome\r\n",),
    "HELO": (b"250 peer.test\r\n",),
    "MAIL": (b"250 2.1.0 sender ok\r\n",),
    "RCPT": (b"250 2.1.5 recipient ok\r\n",),
    "DATA": (b"354 go ahead\r\n",),
    "END": (b"250 2.0.0 accepted\r\n",),
    "CHUNK": (b"250 2.0.0 go on\r\n",),
    "BDAT": (b"250 2.0.0 accepted chunk\r\n",),
    "RSET": (b"250 2.0.0 reset\r\n",),
    "QUIT": (b"221 2.0.0 bye\r\n",),
}


def each_byte(reply: bytes) -> Answer:
    return tuple(reply[i : i + 1] for i in range(len(reply)))


class Peer:
    """``script``: an answer for a verb, or a list of answers for its successive occurrences, of which the last repeats.
    GREETING, END (the final dot) and CHUNK (a BDAT that is not the last) count as verbs. ``lacks``: extensions that it
    may announce but does not implement. Without CHUNKING it reads the octets of a chunk as commands; without PIPELINING
    it discards the input that arrives together with a command."""

    def __init__(
        self,
        script: Mapping[str, Answer | list[Answer]] | None = None,
        *,
        extensions: tuple[str, ...] = EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        lacks: frozenset[str] = frozenset(),
    ) -> None:
        self.commands: list[bytes] = []
        self.messages: list[bytes] = []
        self.encrypted_mail: list[bool] = []
        """For each MAIL, whether the session was encrypted."""
        self.connections = 0
        self.dripped = 0
        """Bytes sent one by one, in all."""
        self.disconnected = asyncio.Event()
        self.body_may_be_read = asyncio.Event()
        self.body_may_be_read.set()
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self._script = {verb: list(a) if isinstance(a, list) else [a] for verb, a in (script or {}).items()}
        self._extensions = extensions
        self._tls = tls
        self._lacks = lacks
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def verbs(self) -> list[str]:
        return [command.split(b" ")[0].decode() for command in self.commands]

    @asynccontextmanager
    async def listening(self, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._accept, address, port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for handler in self._handlers:
                handler.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        self.writers.append(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client closed the connection, as in many tests
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's server would log a cancelled handler as an error
        finally:
            writer.transport.abort()
            self.disconnected.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer("GREETING", reader, writer)
        chunks: list[bytes] = []
        while line := await reader.readline():
            self.commands.append(line.rstrip(b"\r\n"))
            verb = line.split()[0].decode().upper() if line.split() else ""
            if verb == "MAIL":
                self.encrypted_mail.append(is_encrypted(writer))
            if "PIPELINING" in self._lacks:
                reader._buffer.clear()  # type: ignore[attr-defined]  # there is no public way to discard the buffer
            if verb == "BDAT" and "CHUNKING" not in self._lacks:
                size = int(line.split()[1])
                if size:
                    await self.body_may_be_read.wait()
                chunks.append(await reader.readexactly(size))
                if line.split()[-1] == b"LAST":
                    self.messages.append(b"".join(chunks))
                    chunks.clear()
                else:
                    verb = "CHUNK"
            answered = await self._answer(verb, reader, writer)
            if verb == "STARTTLS" and answered.startswith(b"220"):
                assert self._tls is not None
                await writer.start_tls(self._tls)
            elif verb == "DATA" and answered.startswith(b"354"):
                await self._read_message(reader)
                await self._answer("END", reader, writer)
            elif verb == "QUIT":
                return

    async def _read_message(self, reader: asyncio.StreamReader) -> None:
        await self.body_may_be_read.wait()
        lines: list[bytes] = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise asyncio.IncompleteReadError(b"", None)
            lines.append(line[1:] if line.startswith(b".") else line)
        self.messages.append(b"".join(lines))

    async def _answer(self, verb: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        answer = self._next(verb, writer)
        drips = False
        for step in answer:
            if step is Step.DRIP:
                drips = True
            elif isinstance(step, bytes) and drips:
                for byte in step:
                    await asyncio.sleep(DRIP_S)
                    writer.write(bytes((byte,)))
                    await writer.drain()
                    self.dripped += 1
            elif isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
                if len(answer) > 3:
                    await asyncio.sleep(0)  # lets the client read this piece alone
            elif step is Step.DROP:
                raise ConnectionAbortedError
            elif step is Step.STALL:
                await reader.read()
                raise ConnectionAbortedError
            else:
                while True:
                    writer.write(b"".join(part for part in answer if isinstance(part, bytes)) * 100)
                    await writer.drain()
        return b"".join(step for step in answer if isinstance(step, bytes))

    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        answers = self._script.get(verb)
        if answers is not None:
            return answers.pop(0) if len(answers) > 1 else answers[0]
        if verb == "BDAT" and "CHUNKING" in self._lacks:
            return (b"500 5.5.1 unknown command\r\n",)
        if verb == "EHLO":
            offered = ["peer.test", *self._extensions]
            if self._tls is not None and not is_encrypted(writer):
                offered.append("STARTTLS")
            return (
                "".join(f"250{'-' if i < len(offered) - 1 else ' '}{x}\r\n" for i, x in enumerate(offered)).encode(),
            )
        return _USUAL.get(verb, (b"500 5.5.1 unknown command\r\n",))


def is_encrypted(writer: asyncio.StreamWriter) -> bool:
    return writer.get_extra_info("ssl_object") is not None
