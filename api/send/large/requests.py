"""Large requests: their bodies read as memory allows, and the worker given to one after the other, tenants in turn."""

import asyncio
from typing import Protocol

from api.http.body import ApiRequest, BegunBody
from api.http.inflating import too_large
from api.http.refusals import Stalled
from api.http.sharing import FairShare
from api.send.large.frames import Promised, Setup, WorkerJob
from api.send.large.process import Due, WorkerProcess
from api.send.large.spool import Spool
from cluster.journal.records import ApiKey

BODIES_BYTES = 128 * 1024**2
"""Memory for bodies that are read, wait or are worked on, all together. Who finds no room is read from later."""
MAX_WAIT_S = 30.0
"""How long a request waits for memory, and then for the worker."""


class Large(Protocol):
    """Whatever takes large requests."""

    async def send(self, request: ApiRequest, key: ApiKey, begun: BegunBody) -> Promised:
        """What is promised of its messages, once they are committed."""

    async def stop(self) -> None: ...


class LargeRequests:
    """See the module."""

    def __init__(self, setup: Setup, due: Due) -> None:
        self._memory = FairShare(BODIES_BYTES, BODIES_BYTES // 2, MAX_WAIT_S)
        self._turns = FairShare(1, 1, MAX_WAIT_S)
        self._worker = WorkerProcess(setup, due)

    async def send(self, request: ApiRequest, key: ApiKey, begun: BegunBody) -> Promised:
        """What is promised of its messages, once they are committed. ``begun`` is what was read of its body.

        Raises Overloaded, Stalled, TooLarge, and all that refuses a request.
        """
        async with self._memory.hold(key.tenant_id, request.length or request.limit):
            spool = Spool()
            try:
                await _read(request, begun, spool)
                job = WorkerJob(key=key, is_gzip=request.is_gzip and not begun.inflated, size=spool.size)
                return await self._work_while_connected(request, job, spool)
            finally:
                spool.close()

    async def stop(self) -> None:
        await self._worker.stop()

    async def _work_while_connected(self, request: ApiRequest, job: WorkerJob, spool: Spool) -> Promised:
        """Nothing is begun for a client that went away while it waited."""
        begun = asyncio.Event()

        async def work() -> Promised:
            async with self._turns.hold(job.key.tenant_id, 1):
                begun.set()
                return await self._worker.run(job, spool)

        working = asyncio.create_task(work())
        gone = asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and not begun.is_set():
                raise Stalled("The client went away")
            return await working
        finally:
            gone.cancel()
            if not working.done():
                working.cancel()
            await asyncio.wait({working, gone})


async def _gone(request: ApiRequest) -> None:
    """Return when the client has closed the connection. Its body was read to the end."""
    while True:
        if (await request.receive())["type"] != "http.request":
            return


async def _read(request: ApiRequest, begun: BegunBody, spool: Spool) -> None:
    spool.write(begun.data)
    more = not begun.ended
    while more:
        chunk, more = await request.next_chunk()
        if spool.size + len(chunk) > request.limit:
            raise too_large(request.limit)
        spool.write(chunk)
