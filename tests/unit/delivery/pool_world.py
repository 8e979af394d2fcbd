"""The hosts of a site as a pool sees them, moved on by hand."""

import asyncio
from collections import deque
from itertools import count
from typing import NoReturn

from actors.delivery.idle_connections import IdleConnections
from actors.delivery.job import Connection, Hop, Job, Report
from actors.delivery.pool import Pool
from actors.delivery.throttle import Throttle
from actors.smtp.commands import Envelope
from actors.smtp.protocol import ConnectError, ConnectionLost, Observe, SmtpFailure
from actors.smtp.reply import make_reply
from actors.smtp.share import Share
from actors.smtp.transaction import TransactionResult
from cluster.policy.limits.session import UNLIMITED, SessionLimits
from cluster.policy.limits.shaping import Limits
from cluster.policy.replies.automation import Adjustments
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import NextHop
from cluster.tasks import Tasks
from tests.unit.delivery.builders import HOP, TAKEN, job
from tests.unit.delivery.virtual_time import settle

BROKEN = ConnectionLost(Stage.MAIL, "connection reset", after_end_of_data=False)
TOLD_TO_GO = ConnectionLost(Stage.MAIL, "closed", after_end_of_data=False, reply=make_reply(421, ["421 4.3.2 later"]))
IN_DOUBT = ConnectionLost(Stage.END_OF_DATA, "connection reset", after_end_of_data=True)
REFUSED = ConnectError(Stage.CONNECT, "connection refused")


class Line:
    """A connection that does nothing before it is told to."""

    source = source_address = tls_version = tls_cipher = ""
    observe: Observe | None = None

    def __init__(self, world: "World", hop: NextHop, number: int) -> None:
        self.hop = hop
        self.host, self.address = hop.hosts[0].name, f"192.0.2.{number}"
        self.alternatives = world.alternatives
        self.transactions = 0
        self.share = Share(limits=world.announced)
        self.opened_at = asyncio.get_running_loop().time()
        self.is_usable = True
        self.has_all_data = True
        self.closed_at = 0.0
        self._world = world

    async def send(self, envelope: Envelope, data: bytes) -> TransactionResult:
        assert self.is_usable, "a pool sends nothing over a connection that is gone"
        self.transactions += 1
        self.envelope = envelope
        self._world.began.append((asyncio.get_running_loop().time(), envelope.recipients[0], self))
        self.answer: asyncio.Future[TransactionResult] = asyncio.get_running_loop().create_future()
        if self._world.takes_s is not None:
            asyncio.get_running_loop().call_later(self._world.takes_s, self.answer.set_result, TAKEN)
        self._world.on_the_wire.append(self)
        try:
            return await self.answer
        except ConnectionLost:
            self.is_usable = False
            raise
        finally:
            self._world.on_the_wire.remove(self)

    def end(self, answer: TransactionResult | ConnectionLost) -> None:
        """End the transaction that is on the wire."""
        if isinstance(answer, ConnectionLost):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

    async def quit(self) -> None:
        self.is_usable = False
        await asyncio.sleep(self._world.quit_takes_s)
        self._world.open.remove(self)
        self.closed_at = asyncio.get_running_loop().time()

    def abort(self) -> None:
        self.is_usable = False
        if self in self._world.on_the_wire and not self.answer.done():
            self.answer.set_exception(IN_DOUBT if self.has_all_data else BROKEN)


class World:
    """The hosts of a site as a pool sees them. ``takes_s``: how long a transaction takes; None waits for ``answer``."""

    def __init__(
        self, limits: Limits, *, behind: int = 0, takes_s: float | None = None, idle_at_most: int = 100
    ) -> None:
        clock = asyncio.get_running_loop().time
        place = Destination("example.com")
        self.behind = behind
        self.takes_s = takes_s
        self.quit_takes_s = 0.0
        self.opening_takes_s = 0.0
        self.alternatives = 0
        self.refusals: deque[Exception] = deque()
        """What the next connections end with instead."""
        self.attempts: list[tuple[float, NextHop]] = []
        self.open: list[Line] = []
        self.most_open = 0
        self.on_the_wire: list[Line] = []
        self.began: list[tuple[float, str, Line]] = []
        self.ended: list[tuple[Connection, bool]] = []
        self.passed_over: list[tuple[Job, SmtpFailure | TransactionResult]] = []
        self.divided: list[Job] = []
        self.reports: list[tuple[Job, Hop, Report]] = []
        self.taught: list[tuple[Connection, SessionLimits]] = []
        self.announced = UNLIMITED
        """What the next connections may carry."""
        self.elsewhere = 0
        """Connections that are open to other sites."""
        self.throttle = Throttle(place, limits, Adjustments((), clock()), clock, lambda: self.behind)
        self.tasks = Tasks(on_crash=_crashed)
        self.pool = Pool(
            throttle=self.throttle,
            tasks=self.tasks,
            connect=self._connect,
            closed=lambda connection, lost: self.ended.append((connection, lost)),
            report=lambda job, hop, report: self.reports.append((job, hop, report)),
            passed_over=lambda job, failure: self.passed_over.append((job, failure)),
            divided=self.divided.append,
            blame=lambda job: None,
            taught=lambda connection, limits: self.taught.append((connection, limits)),
            open_in_all=lambda: len(self.open) + self.elsewhere,
            idle=IdleConnections(idle_at_most),
        )
        self._numbers = count(1)
        self._job_numbers = count(1)
        self._opening = 0

    async def _connect(self, hop: NextHop, job: Job) -> Line:
        self.attempts.append((asyncio.get_running_loop().time(), hop))
        self._opening += 1
        self.most_open = max(self.most_open, len(self.open) + self._opening)
        try:
            await asyncio.sleep(self.opening_takes_s)
        finally:
            self._opening -= 1
        if self.refusals:
            raise self.refusals.popleft()
        line = Line(self, hop, next(self._numbers))
        self.open.append(line)
        return line

    def submit(self, number: int, hop: NextHop = HOP) -> list[Job]:
        jobs = [job(next(self._job_numbers)) for _ in range(number)]
        for one in jobs:
            self.pool.submit(hop, one)
        return jobs

    async def answer(self, with_: TransactionResult | ConnectionLost = TAKEN) -> None:
        """Answer every transaction that is on the wire now."""
        for line in list(self.on_the_wire):
            line.end(with_)
        await settle()

    async def finish(self) -> None:
        """Answer until nothing is left."""
        while self.on_the_wire:
            await self.answer()

    @property
    def reported(self) -> list[Job]:
        return [job for job, _, _ in self.reports]


def _crashed(name: str, error: BaseException) -> NoReturn:
    raise AssertionError(f"{name} crashed") from error
