"""The hosts of a site as a pool sees them; the test advances them by hand."""

import asyncio
from collections import deque
from itertools import count
from typing import Any, NoReturn, cast

from msgspec.structs import replace

from actors.delivery.courier import Courier
from actors.delivery.idle_connections import IdleConnections
from actors.delivery.job import Connection, Hop, Job, Report
from actors.delivery.site import Site
from actors.delivery.tracing import Tracer
from actors.smtp.commands import Envelope
from actors.smtp.protocol import ConnectError, ConnectionLost, Observe, SmtpFailure
from actors.smtp.reply import make_reply
from actors.smtp.share import Share
from actors.smtp.transaction import TransactionResult
from cluster.journal.records import Claimed
from cluster.policy.limits.session import UNLIMITED, SessionLimits
from cluster.policy.limits.shaping import NO_TENANT_LIMITS, Limits
from cluster.policy.replies.automation import Adjustments
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import NextHop
from cluster.policy.routes.routing import Source
from cluster.policy.tls.policy import TenantTls
from cluster.tasks import Tasks
from tests.unit.delivery.builders import HOP, TAKEN, job
from tests.unit.virtual_time import settle

BROKEN = ConnectionLost(Stage.MAIL, "connection reset", after_end_of_data=False)
TOLD_TO_GO = ConnectionLost(Stage.MAIL, "closed", after_end_of_data=False, reply=make_reply(421, ["421 4.3.2 later"]))
IN_DOUBT = ConnectionLost(Stage.END_OF_DATA, "connection reset", after_end_of_data=True)
REFUSED = ConnectError(Stage.CONNECT, "connection refused")


class Line:
    """A connection that does nothing until the test acts on it."""

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
        self.behind = behind
        self.takes_s = takes_s
        self.quit_takes_s = 0.0
        self.opening_takes_s = 0.0
        self.alternatives = 0
        self.refusals: deque[Exception] = deque()
        """The failure of the next connections."""
        self.attempts: list[tuple[float, NextHop]] = []
        self.open: list[Line] = []
        self.most_open = 0
        self.on_the_wire: list[Line] = []
        self.began: list[tuple[float, str, Line]] = []
        self.ended: list[tuple[Connection, bool]] = []
        self.passed_over: list[tuple[Job, SmtpFailure | TransactionResult]] = []
        self.divided: list[str] = []
        """The jobs that were divided: one entry for each further part."""
        self.reports: list[tuple[Job, Hop, Report]] = []
        self.taught: list[tuple[Connection, SessionLimits]] = []
        self.announced = UNLIMITED
        """The limits that the next connections announce."""
        self.elsewhere = 0
        """Connections that are open to other sites."""
        self.tasks = Tasks(on_crash=_crashed)
        self.enforced_tls = _EnforcedTls()
        courier = Courier(
            cast(Any, _Connector(self)),
            cast(Any, _Sources()),
            cast(Any, self.enforced_tls),
            Tracer(clock, clock),
            cast(Any, _Reporter(self)),
            cast(Any, _Marker()),
            self.tasks,
            IdleConnections(idle_at_most),
        )
        self.site = _Site(
            Destination("example.com"),
            limits,
            Adjustments((), clock()),
            clock,
            100,
            courier.pool_for,
            lambda tenant_id: NO_TENANT_LIMITS,
        )
        self.site.parts = self.divided
        self.throttle, self.pool = self.site.throttle, self.site.pool
        self.throttle.behind = lambda: self.behind
        self.numbers = count(1)
        self._job_numbers = count(1)
        self.opening = 0

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


class _Site(Site):
    parts: list[str]

    def divided(self, tenant_id: str) -> None:
        self.parts.append(tenant_id)
        super().divided(tenant_id)


class _Sources:
    def source(self, name: str) -> Source:
        return Source(name=name)


class _EnforcedTls:
    """``required``: what the tenant of all jobs requires; ``is_known``: whether that is known, or must be learnt."""

    def __init__(self) -> None:
        self.required: TenantTls | None = None
        self.is_known = True

    def next_hop(self, job: Job, hop: NextHop) -> NextHop | None:
        if not self.is_known:
            return None
        return hop if hop.tenant_tls == self.required else replace(hop, tenant_tls=self.required)

    async def learn(self, tenant_id: str) -> None:
        self.is_known = True


class _Reporter:
    def __init__(self, world: World) -> None:
        self._world = world

    def report(self, site: Site, job: Job, hop: Hop, report: Report) -> None:
        self._world.reports.append((job, hop, report))

    def passed_over(self, site: Site, job: Job, failure: SmtpFailure | TransactionResult) -> None:
        self._world.passed_over.append((job, failure))


class _Marker:
    def blame(self, delivery: Claimed) -> None:
        """The test fails with the error itself."""


class _Connector:
    """``addresses``: as Connector has them, as far as connections are counted there."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.addresses = self

    @property
    def open(self) -> int:
        return len(self._world.open) + self._world.elsewhere

    def closed(self, connection: Connection, place: Destination, lost: bool) -> None:
        self._world.ended.append((connection, lost))

    def taught(self, connection: Connection, limits: SessionLimits) -> None:
        self._world.taught.append((connection, limits))

    async def connect(self, hop: NextHop, domain: str, source: Source, **others: Any) -> Line:
        world = self._world
        world.attempts.append((asyncio.get_running_loop().time(), hop))
        world.opening += 1
        world.most_open = max(world.most_open, len(world.open) + world.opening)
        try:
            await asyncio.sleep(world.opening_takes_s)
        finally:
            world.opening -= 1
        if world.refusals:
            raise world.refusals.popleft()
        line = Line(world, hop, next(world.numbers))
        world.open.append(line)
        return line


def _crashed(name: str, error: BaseException) -> NoReturn:
    raise AssertionError(f"{name} crashed") from error
