"""Live pages: the part of a page that changes, sent again as HTML by server-sent events while it is looked at."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from litestar.response import ServerSentEventMessage, Stream

from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Unavailable

log = logging.getLogger(__name__)

EVERY_S = 2.0
CHECKED_EVERY = 5
"""After so many times ``EVERY_S`` it is looked whether the operator is still logged in."""
LONGEST_PARTS = 1800
"""An hour; then the browser asks anew."""
MOST_STREAMS = 100
"""Of one process."""


class Live:
    """The streams that are open."""

    def __init__(self, every_s: float = EVERY_S, most: int = MOST_STREAMS) -> None:
        self._every_s = every_s
        self._most = most
        self._open = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all streams."""
        self._stopping.set()

    def stream(self, part: Callable[[], Awaitable[str]], is_admitted: Callable[[], Awaitable[bool]]) -> Stream:
        """An answer that has the part again whenever it has changed. ``is_admitted`` tells whether the operator is
        still logged in. Raises Overloaded."""
        return self.follow(self._changes(part), is_admitted)

    async def _changes(self, part: Callable[[], Awaitable[str]]) -> AsyncIterator[bytes]:
        yield b": live\n\n"  # the head of the answer leaves now
        before = ""
        for _ in range(1, LONGEST_PARTS):
            await asyncio.sleep(self._every_s)
            html = await part()
            if html != before:
                before = html
                yield event("part", html)

    def follow(self, parts: AsyncIterator[bytes], is_admitted: Callable[[], Awaitable[bool]]) -> Stream:
        """An answer that has the events of ``parts`` as they come. Raises Overloaded."""
        if self._open >= self._most:
            raise Overloaded("Too many live pages are open in this process; try again later")
        return Stream(
            self._followed(parts, is_admitted), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    async def _followed(
        self, parts: AsyncIterator[bytes], is_admitted: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        self._open += 1
        clock = asyncio.get_running_loop().time
        stopping = asyncio.create_task(self._stopping.wait())
        coming: asyncio.Task[bytes | None] | None = None
        checked = clock()
        try:
            while True:
                coming = coming or asyncio.create_task(_next(parts))
                await asyncio.wait((coming, stopping), timeout=self._every_s, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    return
                if clock() - checked > CHECKED_EVERY * self._every_s:
                    checked = clock()
                    if not await is_admitted():
                        yield event("ended", "")
                        return
                if coming.done():
                    part, coming = coming.result(), None
                    if part is None:
                        return
                    yield part
        except Unavailable as error:  # the browser asks again, and is told
            log.warning("a live page ends reason=%r", error.reason)
        finally:
            self._open -= 1
            for task in (coming, stopping):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*filter(None, (coming, stopping)), return_exceptions=True)


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    return await anext(parts, None)


def event(name: str, data: str) -> bytes:
    """A server-sent event."""
    return ServerSentEventMessage(event=name, data=data).encode()
