"""The connections of one site, kept open and reused.

A worker is a connection and its turn at the site's jobs. Workers come as jobs wait, up to the limit; one leaves when
it has been idle for a while, has carried its number of transactions, or lost its connection. Every job that is
submitted is reported exactly once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from actors.delivery.connection import ConnectError, ConnectionLost
from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.smtp import SmtpConnection
from cluster.settings import DeliverySettings
from cluster.tasks import Tasks


class Pool:
    """``connect`` opens a connection to the site (ConnectError, NoRoute); ``report`` takes what became of a job."""

    def __init__(
        self,
        *,
        limit: int,
        settings: DeliverySettings,
        tasks: Tasks,
        connect: Callable[[], Awaitable[SmtpConnection]],
        report: Callable[[Job, Hop, Report], None],
    ) -> None:
        self.limit = limit
        self._settings = settings
        self._tasks = tasks
        self._connect = connect
        self._report = report
        self._jobs: deque[Job] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers = 0
        self._connecting = 0
        self._sending = 0

    @property
    def outstanding(self) -> int:
        """Jobs submitted and not yet reported."""
        return len(self._jobs) + self._sending

    @property
    def connections(self) -> int:
        """Connections open or being opened."""
        return self._workers

    def submit(self, job: Job) -> None:
        self._jobs.append(job)
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        if self._workers < self.limit and len(self._jobs) > self._connecting:
            self._workers += 1
            self._connecting += 1
            self._tasks.spawn("connection", self._work())

    async def _work(self) -> None:
        connection = None
        try:
            connection = await self._open()
            while connection is not None and connection.is_usable and await self._wait_for_job():
                await self._send(connection, self._jobs.popleft())
                if connection.transactions >= self._settings.messages_per_connection:
                    break
        finally:
            self._workers -= 1
            if connection is not None:
                self._replace_if_needed()
        if connection is not None:
            await connection.quit()

    async def _open(self) -> SmtpConnection | None:
        """A connection, or None when there is none to be had and the jobs have been told."""
        try:
            return await self._connect()
        except (ConnectError, NoRoute) as failure:
            # Other connections of the site still work: they carry the jobs, only slower than hoped.
            if self._workers - self._connecting <= 0:
                while self._jobs:
                    self._report(self._jobs.popleft(), Hop(), failure)
            return None
        finally:
            self._connecting -= 1

    async def _wait_for_job(self) -> bool:
        if self._jobs:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(self._settings.connection_idle_s, waiter.cancel)
        self._idle.append(waiter)
        try:
            await asyncio.wait((waiter,))
        finally:
            timer.cancel()
            if waiter in self._idle:
                self._idle.remove(waiter)
        return bool(self._jobs)

    async def _send(self, connection: SmtpConnection, job: Job) -> None:
        hop = Hop(
            mx_host=connection.host,
            mx_ip=connection.address,
            tls_version=connection.tls_version,
            tls_cipher=connection.tls_cipher,
        )
        reused = connection.transactions > 0
        self._sending += 1
        try:
            report: Report = await connection.send(job.envelope, job.data)
        except ConnectionLost as lost:
            if reused and not lost.after_end_of_data and lost.reply is None:
                # The peer closed a connection that had been idle: that says nothing about the message.
                self._jobs.appendleft(job)
                return
            report = lost
        finally:
            self._sending -= 1
        self._report(job, hop, report)

    def _replace_if_needed(self) -> None:
        """A worker that leaves while jobs wait is replaced: nobody else may come to take them."""
        if self._jobs and self._workers < self.limit:
            self._workers += 1
            self._connecting += 1
            self._tasks.spawn("connection", self._work())

    async def drain(self) -> None:
        """Return when no job is left, the idle connections told to go."""
        while self.outstanding or self._connecting:
            await asyncio.sleep(0.01)
        while self._idle:
            self._idle.popleft().cancel()
