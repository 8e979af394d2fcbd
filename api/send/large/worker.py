"""The worker process (``python -m api.send.large.worker``): it takes one large request at a time to its commit.

It exchanges ``frames`` over the socket at its standard input and ends when the other end is closed, so it does not
outlive its parent. It runs at a lower priority and with a memory limit, and loads neither Ray nor the web framework.
"""

import asyncio
import os
import resource
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO, cast

import msgspec
from msgspec.structs import replace

from api.http.idempotency import named_request
from api.http.refusals import Fault, Invalid, Refusal, TooLarge
from api.send.drafts import Dialect
from api.send.effort import MOST_S, TOO_MANY_KEYS, effort_of
from api.send.large.frames import (
    LENGTH,
    Setup,
    WorkerAnswer,
    WorkerJob,
    frame,
    pickled,
    promised,
    repeated,
    unpickled,
)
from api.send.large.reading import inflated, read_draft
from api.send.notes import Notes
from api.send.sending import Sending, Sent
from cluster.intake.backpressure import Overloaded
from cluster.intake.idempotency import Idempotency, KeyReused
from cluster.intake.intake import KeyTaken
from cluster.journal.idempotency import FirstAnswer, IdempotencyKey
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.records import NewRequest
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.exceeded import LimitExceeded
from cluster.tenancy.quota import QuotaLeft

NICE = 5
"""A lower priority, so that small requests run first."""
MOST_DATA_BYTES = 1024**3
"""20 MB of JSON take at most some 600 MB as objects (crowding.py limits their number)."""
COMMIT_MAX_WAIT_S = 30.0
PAGE = 1000
MOST_OFFERED = 50_000
"""The most deliveries of a request that are offered; the scheduler finds the others."""
CONNECTIONS = 2


def main() -> None:
    os.nice(NICE)
    _bound_memory()
    stream = cast(BinaryIO, socket.socket(fileno=os.dup(0)).makefile("rwb"))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        asyncio.run(_serve(stream))


def _bound_memory() -> None:
    if sys.platform == "linux":  # on other systems the limit does not count mapped memory
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))


async def _serve(stream: BinaryIO) -> None:
    """Raises EOFError when the parent has exited."""
    setup = msgspec.msgpack.decode(await asyncio.to_thread(_read_frame, stream), type=Setup)
    worker = Worker(setup)
    while True:
        job = msgspec.msgpack.decode(await asyncio.to_thread(_read_frame, stream), type=WorkerJob)
        body = await asyncio.to_thread(_read, stream, job.size)
        answer, pages = await worker.work(job, body)
        stream.write(frame(answer))
        for page in pages:
            stream.write(page)
        stream.flush()


class Worker:
    """The worker's processing, independent of the socket."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._journal: Journal | None = None
        self._sending: Sending | None = None
        self._pools: frozenset[str] = frozenset()
        self._charging = _QuotaCheck()

    async def work(self, job: WorkerJob, body: bytes) -> tuple[WorkerAnswer, list[bytes]]:
        """The answer to a job, and the frames that follow it."""
        try:
            sent = await self._accept(job, body)
            if isinstance(sent, FirstAnswer):
                return WorkerAnswer(promised=repeated(sent), resident_bytes=_resident_bytes()), []
        except MemoryError:
            refusal: Exception = TooLarge("The request takes too much memory to decode")
        except (Refusal, LimitExceeded, Rejected, Unavailable, Overloaded, KeyReused) as error:
            refusal = error.with_traceback(None)
        else:
            due = sent.request.due(datetime.now(UTC))[:MOST_OFFERED]
            pages = [frame(due[start : start + PAGE]) for start in range(0, len(due), PAGE)]
            return WorkerAnswer(promised=promised(sent), pages=len(pages), resident_bytes=_resident_bytes()), pages
        return WorkerAnswer(refusal=pickled(refusal), resident_bytes=_resident_bytes()), []

    async def _accept(self, job: WorkerJob, body: bytes) -> Sent | FirstAnswer:
        if job.is_gzip:
            body = inflated(body, self._setup.max_body_bytes)
        if job.idempotency_key is None:
            return await self._send(job, body)
        named = named_request(job.idempotency_key, job.key, body)
        await self._ready()
        assert self._journal is not None
        once = Idempotency(self._journal).once
        return await once(job.key.tenant_id, named, lambda: self._send(job, body, named))

    async def _send(self, job: WorkerJob, body: bytes, named: IdempotencyKey | None = None) -> Sent:
        notes = Notes()
        dialect: Dialect = unpickled(job.dialect)
        draft = read_draft(dialect, body, notes)
        if effort_of(draft.mail).keys_s > MOST_S:
            raise Invalid([Fault(TOO_MANY_KEYS, "personalizations")])
        self._pools = job.pools
        self._charging.left = job.quota
        return await (await self._ready()).send(draft, notes, job.key, named=named, access=dialect.access)

    async def _ready(self) -> Sending:
        """Raises Unavailable when the journal cannot be opened."""
        if self._sending is None:
            setup = self._setup
            journal = Journal(
                setup.dsn,
                application=setup.application,
                connections=CONNECTIONS,
                offer_grace_s=setup.offer_grace_s,
            )
            try:
                await journal.open()
            except Unavailable:
                await journal.close()
                raise
            self._journal = journal
            self._sending = Sending(
                journal,
                TenantDirectory(journal),
                self._commit,
                self._charging,
                pools=lambda: self._pools,
                lifetime_s=setup.lifetime_s,
                public_url=setup.public_url,
                limits=setup.limits,
            )
        return self._sending

    async def _commit(self, request: NewRequest) -> None:
        assert self._journal is not None
        try:
            async with asyncio.timeout(COMMIT_MAX_WAIT_S):
                taken = await self._journal.intake.accept([request])
        except TimeoutError:
            raise Unavailable(f"no commit within {COMMIT_MAX_WAIT_S:g} s") from None
        if taken:
            raise KeyTaken


class _QuotaCheck:
    """Holds the messages of a request against what is left of its tenant's day. The parent charges them."""

    def __init__(self) -> None:
        self.left: QuotaLeft | None = None

    async def charge(self, request: NewRequest) -> NewRequest:
        """Raises QuotaExceeded."""
        if self.left is None or request.messages[0].sandbox:
            return request
        self.left.require(len(request.messages), time.time())
        return replace(request, uses_quota=True)

    def give_back(self, request: NewRequest) -> None:
        """The parent charges only what is committed."""


def _read_frame(stream: BinaryIO) -> bytes:
    (length,) = LENGTH.unpack(_read(stream, LENGTH.size))
    return _read(stream, length)


def _read(stream: BinaryIO, size: int) -> bytes:
    """Raises EOFError."""
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _resident_bytes() -> int:
    """The memory of this process; 0 when the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


if __name__ == "__main__":
    main()
