"""Reads the bodies of large requests within a memory limit and gives them to the worker one by one, tenants in turn."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec.structs import replace

from api.http.body import ApiRequest, BegunBody
from api.http.inflating import too_large
from api.http.refusals import Stalled
from api.http.sharing import FairShare
from api.send.drafts import Dialect
from api.send.large.frames import Promised, Setup, WorkerJob, pickled
from api.send.large.process import Due, WorkerProcess
from api.send.large.spool import Spool
from cluster.journal.records import ApiKey
from cluster.tenancy.limiter import TenantLimiter

BODIES_BYTES = 128 * 1024**2
"""The memory for all bodies that are read, wait or are processed. Further bodies are read when there is room."""
MAX_WAIT_S = 30.0
"""The longest wait of a request for memory, and again for the worker."""


class Large(Protocol):
    """Accepts large requests."""

    async def send(
        self,
        request: ApiRequest,
        key: ApiKey,
        begun: BegunBody,
        dialect: Dialect,
        idempotency_key: str | None = None,
    ) -> Promised:
        """Commit a request; returns its message ids."""

    async def stop(self) -> None: ...


class LargeRequests:
    """Reads large requests and passes them to the worker, tenants in turn."""

    def __init__(self, setup: Setup, due: Due, limiter: TenantLimiter, pools: Callable[[], Iterable[str]]) -> None:
        """``pools`` returns those of the active routing."""
        self._limiter = limiter
        self._pools = pools
        self._memory = FairShare(BODIES_BYTES, BODIES_BYTES // 2, MAX_WAIT_S)
        self._turns = FairShare(1, 1, MAX_WAIT_S)
        self._worker = WorkerProcess(setup, due)

    async def send(
        self,
        request: ApiRequest,
        key: ApiKey,
        begun: BegunBody,
        dialect: Dialect,
        idempotency_key: str | None = None,
    ) -> Promised:
        """Commit a request; returns its message ids. ``begun`` is the part of its body that was read. With an
        idempotency key, the worker looks for the first answer.

        Raises Overloaded, Stalled, TooLarge, KeyReused, LimitExceeded, and the errors of ``Sending.send``.
        """
        async with self._memory.hold(key.tenant_id, request.length or request.limit):
            spool = Spool()
            try:
                await _read(request, begun, spool)
                job = WorkerJob(
                    key=key,
                    pools=frozenset(self._pools()),
                    dialect=pickled(dialect),
                    is_gzip=request.is_gzip and not begun.inflated,
                    size=spool.size,
                    idempotency_key=idempotency_key,
                )
                return await self._work_while_connected(request, job, spool)
            finally:
                spool.close()

    async def stop(self) -> None:
        await self._worker.stop()

    async def _work_while_connected(self, request: ApiRequest, job: WorkerJob, spool: Spool) -> Promised:
        """Run the job, unless the client disconnects while it waits. Raises Stalled then."""
        begun = asyncio.Event()

        async def work() -> Promised:
            async with self._turns.hold(job.key.tenant_id, 1):
                begun.set()
                return await self._charged(job, spool)

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

    async def _charged(self, job: WorkerJob, spool: Spool) -> Promised:
        """Run the job. The worker finds out how many messages it has, so they are charged afterwards."""
        tenant_id = job.key.tenant_id
        may_be_repeat = job.idempotency_key is not None
        quota = await self._limiter.begin_elsewhere(tenant_id, sandbox=job.key.sandbox, may_be_repeat=may_be_repeat)
        promised = await self._worker.run(replace(job, quota=quota), spool)
        if not promised.is_repeat:
            self._limiter.spend(tenant_id, len(promised.message_ids), counted=promised.counted)
        return promised


async def _gone(request: ApiRequest) -> None:
    """Return when the client has closed the connection. Its body must have been read to the end."""
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
