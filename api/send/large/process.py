"""The API process's control of the worker process: it starts the worker on demand and ends it when it is idle.

After any failure, the next request gets a new worker.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec
import psutil

from api.send.large.frames import LENGTH, Promised, Setup, WorkerAnswer, WorkerJob, decode_page, frame, unpickled
from api.send.large.spool import Spool
from cluster.installation.own_python import run_module
from cluster.intake.backpressure import Overloaded
from cluster.journal.records import DueDelivery
from cluster.metrics import Gauge, Seconds

log = logging.getLogger(__name__)

IDLE_S = 5.0
"""A worker that is idle for this long is ended, which frees its memory."""
RETIRED_BYTES = 256 * 1024**2
"""A worker with at least this much memory is ended at once."""
JOB_S = 90.0
"""The timeout of a job: longer than reading, checking and commit take together on a busy machine."""

Due = Callable[[list[DueDelivery]], object]


class WorkerProcess:
    """Runs one worker at a time, for one request at a time."""

    processor = Seconds(
        "postray_large_worker_cpu_seconds_total",
        "Processor time of the processes that take in large requests, those that have ended included.",
        lambda worker: worker._ended_cpu_s + worker._cpu_s(),
    )
    memory = Gauge(
        "postray_large_worker_resident_memory_bytes",
        "Memory of the process that takes in large requests; 0 while there is none.",
        lambda worker: worker._of_worker(lambda process: process.memory_info().rss),
    )
    files = Gauge(
        "postray_large_worker_open_fds",
        "Its open files and sockets.",
        lambda worker: worker._of_worker(lambda process: process.num_fds()),
    )

    def __init__(self, setup: Setup, due: Due) -> None:
        """``due`` receives the committed deliveries, page by page."""
        self._setup = setup
        self._due = due
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._idle: asyncio.TimerHandle | None = None
        self._ended_cpu_s = 0.0

    def _of_worker(self, read: Callable[[psutil.Process], float]) -> float:
        """0 while there is no worker, or it has just ended."""
        if self._process is None:
            return 0.0
        try:
            return read(psutil.Process(self._process.pid))
        except psutil.NoSuchProcess:
            return 0.0

    def _cpu_s(self) -> float:
        return self._of_worker(lambda process: sum(process.cpu_times()[:2]))

    async def run(self, job: WorkerJob, body: Spool) -> Promised:
        """Return the ids of a request's messages once it is committed. Raises the worker's exception, and Overloaded
        when the worker dies."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            async with asyncio.timeout(JOB_S):
                if self._process is None or self._process.poll() is not None:
                    await self._start()
                answer = await self._ask(job, body)
        except (OSError, EOFError, TimeoutError) as error:
            log.warning("worker lost pid=%s reason=%s", self._pid(), str(error) or type(error).__name__)
            self.end()
            raise Overloaded("The request could not be worked on; try again later") from error
        except asyncio.CancelledError:
            self.end()
            raise
        if answer.resident_bytes > RETIRED_BYTES:
            self.end()
        else:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.end)
        if answer.refusal:
            raise unpickled(answer.refusal)
        return answer.promised

    async def _start(self) -> None:
        self.end()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                run_module("api.send.large.worker"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(frame(self._setup))
        log.info("worker started pid=%d", self._process.pid)

    async def _ask(self, job: WorkerJob, body: Spool) -> WorkerAnswer:
        self._writer.write(frame(job))
        for piece in body.pieces():
            self._writer.write(piece)
            await self._writer.drain()
        answer = msgspec.msgpack.decode(await self._read_frame(), type=WorkerAnswer)
        for _ in range(answer.pages):
            self._due(decode_page(await self._read_frame()))
            await asyncio.sleep(0)
        return answer

    async def _read_frame(self) -> bytes:
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        return await self._reader.readexactly(length)

    def _pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def stop(self) -> None:
        """End the worker, and return when its process has exited."""
        if (process := self._process) is not None:
            self.end()
            await asyncio.to_thread(process.wait)

    def end(self) -> None:
        """End the worker, if there is one, without waiting for its exit."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._process is None:
            return
        self._ended_cpu_s += self._cpu_s()
        process, self._process = self._process, None
        self._writer.transport.abort()
        process.kill()
        # The kernel needs some time to free hundreds of megabytes; the event loop does not wait for it.
        threading.Thread(target=process.wait, daemon=True).start()
