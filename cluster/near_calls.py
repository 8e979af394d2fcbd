"""Calls between two processes of one machine, over a unix socket in its run folder: bytes go, bytes come back.

A call through Ray wakes some ten threads and takes milliseconds; this wakes the two event loops. It is a short cut and
never the only way: the process may run on another machine, or be about to start. So whatever fails here is ``NotNear``,
and the caller goes the way through Ray (``peers``), which also tells what failed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from struct import Struct as Packed
from typing import cast

from cluster.installation import run_folder

log = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]

HEAD = Packed("!IBI")
"""Of a frame: the number of the call, ``DONE`` or ``FAILED`` (of a question: ``DONE``), and how many bytes follow."""
DONE, FAILED = 0, 1
MOST_BYTES = 64 * 1024**2
"""In a frame; a larger answer fails."""
AT_ONCE = 1000
"""Calls of one connection; more fail. So do calls while more than ``MOST_BYTES`` of answers wait to be read."""
ANSWER_S = 1.0
"""A process from which nothing was heard for longer stands still, maybe while its successor works elsewhere."""
RETRY_S = 1.0
"""Where no process listens or answers, calls go the other way for so long."""


class NotNear(Exception):
    """The call failed; it is not known whether it was made."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


def socket_of(data_dir: Path, actor: str) -> Path | None:
    """Where an actor listens on this machine; None while postray has no run folder here."""
    folder = run_folder.find(data_dir)
    return folder / f"{actor}.sock" if folder is not None else None


class _Frames(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, took: Callable[[int, int, bytes], None], lost: Callable[[], None] = lambda: None) -> None:
        """``took`` gets each frame, ``lost`` is called at the end."""
        self._took = took
        self._lost = lost
        self._data = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= HEAD.size:
            number, outcome, size = HEAD.unpack_from(self._data)
            if size > MOST_BYTES:
                self.transport.abort()
                return
            if len(self._data) < HEAD.size + size:
                return
            body = bytes(self._data[HEAD.size : HEAD.size + size])
            del self._data[: HEAD.size + size]
            self._took(number, outcome, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def send(self, number: int, outcome: int, body: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(HEAD.pack(number, outcome, len(body)) + body)


class NearServer:
    """Answers calls. Call ``start`` and ``stop`` once each."""

    def __init__(self, answer: Answer) -> None:
        """What ``answer`` raises is logged, and the call fails."""
        self._answer = answer
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_Frames] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen; what a former process left there is replaced. Where that fails, calls go the other way."""
        try:
            path.unlink(missing_ok=True)
            self._server = await asyncio.get_running_loop().create_unix_server(self._connection, str(path))
        except OSError as error:
            log.warning("not listening on this machine path=%s reason=%r", path, error)

    async def stop(self) -> None:
        """Break off what is under way, and end."""
        if self._server is not None:
            self._server.close()
        for one in self._answering:
            one.cancel()
        for connection in self._connections:
            connection.transport.abort()

    def _connection(self) -> _Frames:
        at_once = 0
        own: set[asyncio.Task[None]] = set()

        def took(number: int, _: int, body: bytes) -> None:
            nonlocal at_once
            if at_once >= AT_ONCE or frames.transport.get_write_buffer_size() > MOST_BYTES:
                frames.send(number, FAILED, b"")
                return
            at_once += 1
            answering = asyncio.ensure_future(self._answered(frames, number, body))
            self._answering.add(answering)
            own.add(answering)
            answering.add_done_callback(ended)

        def ended(answering: "asyncio.Task[None]") -> None:
            nonlocal at_once
            at_once -= 1
            self._answering.discard(answering)
            own.discard(answering)

        def lost() -> None:
            self._connections.discard(frames)
            for one in own:  # their callers ask the other way
                one.cancel()

        frames = _Frames(took, lost)
        self._connections.add(frames)
        return frames

    async def _answered(self, frames: _Frames, number: int, body: bytes) -> None:
        try:
            answer = await self._answer(body)
        except Exception as error:
            log.info("a call failed reason=%r", error)  # the caller asks again, and tells what failed then
            frames.send(number, FAILED, b"")
            return
        if len(answer) > MOST_BYTES:
            frames.send(number, FAILED, b"")
        else:
            frames.send(number, DONE, answer)


class NearCalls:
    """Calls the process that listens at one place. It connects at the first call, and again when it must."""

    def __init__(self, find: Callable[[], Path | None], clock: Callable[[], float] = time.monotonic) -> None:
        """``find`` returns where it listens, if it is on this machine. ``clock``: monotonic seconds."""
        self._find = find
        self._clock = clock
        self._link: _Link | None = None
        self._connecting = False
        self._not_before = 0.0

    async def call(self, data: bytes) -> bytes:
        """Raises NotNear."""
        if self._link is None or not self._link.is_open:
            self._link = await self._connected()
        link = self._link
        asked = asyncio.ensure_future(link.call(data))
        try:
            while not (await asyncio.wait((asked,), timeout=ANSWER_S))[0]:
                if asyncio.get_running_loop().time() - link.heard >= ANSWER_S:
                    raise TimeoutError
            return asked.result()
        except asyncio.CancelledError:
            asked.cancel()
            raise
        except TimeoutError:
            asked.cancel()
            self._not_before = self._clock() + RETRY_S
            link.close()
            raise NotNear(f"no answer within {ANSWER_S:.0f} s") from None

    def close(self) -> None:
        """End the connection."""
        if self._link is not None:
            self._link.close()

    async def _connected(self) -> "_Link":
        if self._connecting or self._clock() < self._not_before:
            raise NotNear("not connected")
        self._connecting = True
        try:
            path = self._find()
            if path is None:
                raise FileNotFoundError("there is no run folder")
            async with asyncio.timeout(ANSWER_S):
                return await _Link.open(path)
        except (OSError, TimeoutError) as error:
            self._not_before = self._clock() + RETRY_S
            raise NotNear(str(error)) from error
        finally:
            self._connecting = False


class _Link:
    """A connection to a server."""

    def __init__(self) -> None:
        self._frames = _Frames(self._took, self._lost)
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self.is_open = True
        self.heard = 0.0
        """When something came last, in seconds of the event loop."""

    @classmethod
    async def open(cls, path: Path) -> "_Link":
        """Raises OSError."""
        link = cls()
        await asyncio.get_running_loop().create_unix_connection(lambda: link._frames, str(path))
        return link

    async def call(self, data: bytes) -> bytes:
        """Raises NotNear."""
        if self._frames.transport.is_closing():
            raise NotNear("the connection was lost")
        number = next(self._numbers) & 0xFFFFFFFF
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._frames.send(number, DONE, data)
        try:
            return await answer
        finally:
            del self._waiting[number]

    def close(self) -> None:
        self.is_open = False
        self._frames.transport.abort()

    def _took(self, number: int, outcome: int, body: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return  # its caller has given up
        if outcome == DONE:
            answer.set_result(body)
        else:
            answer.set_exception(NotNear("it failed there"))

    def _lost(self) -> None:
        self.is_open = False
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NotNear("the connection was lost"))
