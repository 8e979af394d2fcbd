"""The connections of one site, opened to need, kept open and reused.

A worker is a connection and its turn at the jobs of one next hop. Workers come as jobs wait, up to what the site may
have; one leaves when it has been idle for a while, has done its time or its number of transactions, lost its
connection, or when another next hop waits for a place. Every job that is submitted is reported exactly once, or taken
back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from actors.delivery.idle_connections import IdleConnections, tell
from actors.delivery.job import Connection, Hop, Job, NoRoute, Report, hop_of
from actors.delivery.onward import Division, after_loss, divide, fit
from actors.delivery.pool_group import Group, Queued
from actors.delivery.throttle import Throttle
from actors.delivery.turns import Turns
from actors.delivery.workers import SLOW_S, Workers
from actors.smtp.protocol import ConnectError, ConnectionLost, SmtpFailure
from actors.smtp.transaction import TransactionResult
from cluster.policy.limits.session import UNLIMITED, SessionLimits, Spent
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import NextHop
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

TURN = 10
"""Transactions after which a worker makes way for a next hop that has none, when the site may have no more."""
PAUSE_S = 1.0
"""After an attempt that gave no connection to a next hop, before the next one: what waits has other connections, or
waits for one of them to go."""
DRAINED_LOOK_S = 0.01


class Crowded(Exception):
    """Every address of the next hop has as many connections as it may have."""


class Pool:
    """``connect`` opens a connection to a next hop (ConnectError, NoRoute, Crowded), ``closed`` is told when one has
    ended and whether it was lost, ``report`` takes what became of a job, ``passed_over`` a failure that ended none,
    ``divided`` a job of which one more part than before will be reported, ``blame`` one that is about to end the
    process, ``taught`` what a connection's host has shown that its connections may carry.
    ``open_in_all``: the connections of all sites together; ``idle``: those of them that wait."""

    def __init__(
        self,
        *,
        throttle: Throttle,
        tasks: Tasks,
        connect: Callable[[NextHop, Job], Awaitable[Connection]],
        closed: Callable[[Connection, bool], None],
        report: Callable[[Job, Hop, Report], None],
        passed_over: Callable[[Job, SmtpFailure | TransactionResult], None],
        divided: Callable[[Job], None],
        blame: Callable[[Job], None],
        taught: Callable[[Connection, SessionLimits], None],
        open_in_all: Callable[[], int],
        idle: IdleConnections,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = throttle
        self._connect = connect
        self._closed = closed
        self._report = report
        self._passed_over = passed_over
        self._divided = divided
        self._blame = blame
        self._taught = taught
        self._idle = idle
        self._waiting = 0
        self._turns = Turns(throttle)
        self._workers = Workers(throttle, self._turns, tasks, self._work, open_in_all)
        self._groups = self._workers.groups
        self._in_transaction: dict[Queued, Connection] = {}
        self.open: set[Connection] = set()

    @property
    def outstanding(self) -> int:
        """Jobs submitted and not yet reported."""
        return self._waiting + len(self._in_transaction)

    @property
    def on_the_wire(self) -> int:
        """Jobs in a transaction now."""
        return len(self._in_transaction)

    @property
    def connecting(self) -> int:
        """Connections being opened."""
        return sum(group.connecting for group in self._groups.values())

    @property
    def connections(self) -> int:
        """Connections open, being opened or being closed."""
        return self._workers.count

    def limits_described(self) -> tuple[str, ...]:
        """What the hosts of the open connections let one carry, in words."""
        said = {connection.share.described(connection.host) for connection in self.open}
        return tuple(sorted(said - {""}))

    def submit(self, hop: NextHop, job: Job) -> None:
        self._enqueue(hop, Queued(job))

    def _enqueue(self, hop: NextHop, queued: Queued) -> None:
        group = self._workers.group(hop)
        group.jobs.append(queued)
        self._waiting += 1
        self._workers.serve(group)

    def jobs(self) -> Iterator[tuple[Job, bool]]:
        """Every job that is not reported yet, and whether it is in a transaction."""
        for group in self._groups.values():
            for queued in group.jobs:
                yield queued.job, False
        for queued in self._turns.waiting:
            yield queued.job, False
        for queued in self._in_transaction:
            yield queued.job, True

    def take_back(self) -> list[Job]:
        """Every job that no transaction has begun for; they are reported no more."""
        queued = [*self._turns.waiting, *(queued for group in self._groups.values() for queued in group.jobs)]
        for one in queued:
            one.taken = True
        for group in self._groups.values():
            group.jobs.clear()
        self._waiting -= len(queued)
        return [one.job for one in queued]

    def stop(self) -> list[Job]:
        """Begin nothing more. Every job whose message no host has in full is taken back, its connection closed. The
        others stay until their hosts answer. Called again, it takes back what was submitted meanwhile."""
        self._workers.is_stopping = True
        jobs = self.take_back()
        for queued, connection in self._in_transaction.items():
            if not queued.taken and not connection.has_all_data:
                queued.taken = True
                connection.abort()
                jobs.append(queued.job)
        self.disconnect()
        return jobs

    def unanswered(self) -> list[str]:
        """The hosts that messages are on the wire to, one for each."""
        return [connection.host for connection in self._in_transaction.values()]

    def give_up(self) -> None:
        """Close the connections whose hosts have not answered; their jobs are reported as lost."""
        for connection in self._in_transaction.values():
            connection.abort()

    def disconnect(self) -> None:
        """Let idle connections go now."""
        for group in self._groups.values():
            while group.idle:
                tell(group.idle.popleft(), False)

    # A worker's life

    async def _work(self, group: Group) -> None:
        connection = None
        lost = False
        try:
            connection = await self._open(group)
            while connection is not None and not lost and self._may_go_on(connection):
                if not await self._wait_for_job(group, self._ages_at(connection)):
                    break
                if connection.transactions and not connection.is_usable:
                    break  # it ended while it was idle, which is nothing to any job, nor against the host
                lost = await self._send(group, connection)
            if connection is not None:
                # Its place is free only when the host has seen it go.
                await connection.quit()
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            raise
        finally:
            self._workers.count -= 1
            group.workers -= 1
            if connection is not None:
                self.open.discard(connection)
                self._closed(connection, lost)
        self._workers.left(group)

    async def _open(self, group: Group) -> Connection | None:
        """A connection, or None when there is none to be had and the jobs have been told."""
        try:
            if not group.jobs:
                return None
            connection = await self._connected(group.hop, group.jobs[0].job)
            self.open.add(connection)
            return connection
        except Crowded:
            group.not_before = self._loop.time() + PAUSE_S
            return None
        except (ConnectError, NoRoute) as failure:
            # Other connections to it still work: they carry the jobs, only slower than hoped.
            group.not_before = self._loop.time() + PAUSE_S
            if group.workers - group.connecting <= 0:
                while group.jobs:
                    self._waiting -= 1
                    self._report_unsent(group.jobs.popleft(), failure)
            return None
        finally:
            group.connecting -= 1

    async def _connected(self, hop: NextHop, job: Job) -> Connection:
        try:
            return await self._connect(hop, job)
        except (ConnectError, NoRoute, Crowded):
            raise
        except Exception as error:
            # A defect that shows with one next hop must not end the process, life after life: other mail is in it.
            log.exception("a connection could not be set up hosts=%s", [host.name for host in hop.hosts])
            raise ConnectError(Stage.CONNECT, f"no connection could be set up: {type(error).__name__}") from error

    def _report_unsent(self, queued: Queued, failure: ConnectError | NoRoute) -> None:
        if queued.instead is None:
            self._report(queued.job, Hop(), failure)
            return
        if isinstance(failure, ConnectError):
            self._passed_over(queued.job, failure)
        self._report(queued.job, *queued.instead)

    def _may_go_on(self, connection: Connection) -> bool:
        limits = self._throttle.limits
        if self._workers.is_stopping or not connection.is_usable or self._workers.are_too_many:
            return False
        if connection.share.is_full(connection.transactions, limits.messages_per_connection):
            return False
        if connection.transactions >= TURN and self._workers.others_starve():
            return False
        return self._loop.time() < self._ages_at(connection)

    def _ages_at(self, connection: Connection) -> float:
        return connection.opened_at + self._throttle.limits.connection_age_s

    async def _wait_for_job(self, group: Group, until: float) -> bool:
        """Whether there is one, at once or before the connection has been idle for too long, or ``until``."""
        if group.jobs:
            return True
        deadline = min(until, self._loop.time() + self._throttle.limits.connection_idle_s)
        while not group.jobs:
            if self._workers.others_starve():
                return False
            waiter: asyncio.Future[bool] = self._loop.create_future()
            timer = self._loop.call_at(deadline, tell, waiter, False)
            group.idle.append(waiter)
            self._idle.add(waiter)
            try:
                if not await waiter:
                    break
            finally:
                timer.cancel()
                self._idle.remove(waiter)
                if waiter in group.idle:
                    group.idle.remove(waiter)
        return bool(group.jobs)

    async def _send(self, group: Group, connection: Connection) -> bool:
        """Send the next job. Returns whether the connection was lost with it, or its host is not worth another."""
        queued = group.jobs.popleft()
        try:
            return await self._carry(group, connection, queued)
        except Exception:
            # Nothing foresees it, so it ends the process, and the message would end the next one as well.
            self._blame(queued.job)
            raise

    async def _carry(self, group: Group, connection: Connection, queued: Queued) -> bool:
        group.taken_at = self._loop.time()
        if connection.share.limits is not UNLIMITED:
            fitting = self._fit(group, connection, queued)
            if fitting is None:
                return False
            queued = fitting
        if not await self._turns.take(queued):
            return False
        self._waiting -= 1
        self._in_transaction[queued] = connection
        began, reused = self._loop.time(), connection.transactions > 0
        connection.share.begin(queued.job.envelope)
        is_host_done = False
        try:
            report: Report = await connection.send(queued.job.envelope, queued.job.data)
        except ConnectionLost as lost:
            if queued.taken:
                return False
            division = after_loss(queued, group.hop, lost, connection.alternatives, reused)
            is_host_done = division.is_host_done
            if division.goes_on:
                self._carry_out(group, connection, queued, division, lost.accepted)
                return is_host_done
            report = lost
        finally:
            del self._in_transaction[queued]
        if queued.taken:
            return False
        if self._loop.time() - began > SLOW_S and group.jobs and self._workers.may_be_more:
            self._workers.hire(group)
        if isinstance(report, TransactionResult):
            return self._settle(group, connection, queued, report, reused)
        self._report(queued.job, hop_of(connection), report)
        return is_host_done

    def _fit(self, group: Group, connection: Connection, queued: Queued) -> Queued | None:
        """The part of a job that the next transaction of a connection may carry, the rest being left to others; or of
        another job. None when it may carry nothing of what waits, and is done with."""
        fitting, left = fit(queued, connection.share)
        if fitting is None:
            # The first job is not kept waiting by too many that come after it.
            other = group.take_fitting(connection.share) if connection.transactions < TURN else None
            group.jobs.appendleft(queued)
            if other is not None:
                return self._fit(group, connection, other)
            connection.share.is_used_up = True
        elif left is not None:
            self._divided(queued.job)
            self._move(group, left)
        return fitting

    def _move(self, group: Group, queued: Queued) -> None:
        """Let it go before all that waits, over whichever connection may carry it."""
        self._waiting += 1
        group.jobs.appendleft(queued)
        self._workers.serve(group)

    def _use_up(self, connection: Connection, job: Job, spent: Spent, accepted: int) -> None:
        """A connection's host says that it has had its share; ``accepted``: recipients of this job before it did."""
        shown = connection.share.use_up(spent, connection.transactions - 1, len(job.deliveries), accepted)
        if shown is not None:
            self._taught(connection, shown)
            for other in self.open:
                if other.host == connection.host:
                    other.share.limits = other.share.limits.narrowed(shown)

    def _settle(
        self, group: Group, connection: Connection, queued: Queued, result: TransactionResult, reused: bool
    ) -> bool:
        """Report what a transaction has settled, and go on with the rest. Returns whether its host takes no mail."""
        if result.is_taken_for_all:
            self._report(queued.job, hop_of(connection), result)
            return False
        division = divide(queued, group.hop, hop_of(connection), result, self._throttle.limits.next_host, reused)
        self._carry_out(group, connection, queued, division, result.accepted)
        return division.is_host_done

    def _carry_out(
        self, group: Group, connection: Connection, queued: Queued, division: Division, accepted: int
    ) -> None:
        """``accepted``: recipients of the job that the host took before it said what divides it."""
        if division.spent is not None:
            self._use_up(connection, queued.job, division.spent, accepted)
        for _ in range(division.parts - 1):
            self._divided(queued.job)
        if division.settled is not None:
            # First of all: what was accepted is written down here.
            job, told = division.settled
            self._report(job, hop_of(connection), told)
        if division.put_off is not None:
            self._passed_over(*division.put_off)
        for hop, rest in division.rest:
            self._enqueue(hop, rest)
        if division.moved is not None:
            self._move(group, division.moved)

    async def drain(self) -> None:
        """Return when no job is left, of a stopped pool none on the wire, and every connection has been told to go."""
        while self.on_the_wire if self._workers.is_stopping else self.outstanding:
            await asyncio.sleep(DRAINED_LOOK_S)
        while self._workers.count:
            self.disconnect()
            await asyncio.sleep(DRAINED_LOOK_S)
