"""The jobs and the connections of one site: connections are opened on demand, kept open and reused.

A worker has one connection and sends the jobs of one next hop. Workers are started as jobs queue up, up to the site's
limit. A worker ends when it has been idle for a while, has reached its age or its number of transactions, has lost its
connection, or when another next hop waits for a connection. courier.py has the work itself; this module has the state
that the workers of a site share. Every submitted job is reported by its worker exactly once, or taken back.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from actors.delivery.idle_connections import IdleConnections, wake_worker
from actors.delivery.job import Connection, Job
from actors.delivery.onward import fit
from actors.delivery.pool_group import HopGroup, QueuedJob
from actors.delivery.throttle import Throttle
from actors.delivery.turns import RateTurns
from actors.delivery.workers import Workers
from cluster.policy.limits.connections import AddressStates
from cluster.policy.limits.session import SessionLimits, Spent
from cluster.policy.routes.next_hop import NextHop

TURN = 10
"""Transactions after which a worker ends in favour of a next hop without one, if the site is at its limit."""
PAUSE_S = 1.0
"""Wait after a failed attempt to open a connection to a next hop, before the next attempt."""
DRAINED_LOOK_S = 0.01


class Pool:
    """``addresses`` counts the connections of all sites; ``idle`` holds the idle ones. ``start`` starts a worker."""

    def __init__(
        self, throttle: Throttle, addresses: AddressStates, idle: IdleConnections, start: Callable[[HopGroup], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = throttle
        self._idle = idle
        self._waiting = 0
        self._in_transaction: dict[QueuedJob, Connection] = {}
        self.turns = RateTurns(throttle)
        self.workers = Workers(throttle, self.turns, addresses, start)
        self._groups = self.workers.groups
        self.open: set[Connection] = set()

    @property
    def outstanding(self) -> int:
        """Jobs submitted and not yet reported."""
        return self._waiting + len(self._in_transaction)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a connection, or for the turn of their rate."""
        return self._waiting

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
        return self.workers.count

    def fills_addresses(self) -> bool:
        """Whether each address in use has as many connections as it may."""
        limit = self._throttle.connections_per_address()
        if not limit or not self.open:
            return False
        return min(Counter(connection.address for connection in self.open).values()) >= limit

    def limits_described(self) -> tuple[str, ...]:
        """The connection limits of the hosts of the open connections, in words."""
        said = {connection.share.described(connection.host) for connection in self.open}
        return tuple(sorted(said - {""}))

    def submit(self, hop: NextHop, job: Job) -> None:
        self.enqueue(hop, QueuedJob(job))

    def enqueue(self, hop: NextHop, queued: QueuedJob) -> None:
        """Queue a job for its next hop, at the end."""
        group = self.workers.group(hop)
        group.jobs.append(queued)
        self._waiting += 1
        self.workers.serve(group)

    def jobs(self) -> Iterator[tuple[Job, bool]]:
        """Every job that is not reported yet, and whether it is in a transaction."""
        for group in self._groups.values():
            for queued in group.jobs:
                yield queued.job, False
        for queued in self.turns.waiting:
            yield queued.job, False
        for queued in self._in_transaction:
            yield queued.job, True

    def take_back(self) -> list[Job]:
        """Remove and return every job without a transaction; these are not reported."""
        # One that waited for its turn is seen again until its worker has noticed.
        waiting = [*self.turns.waiting, *(queued for group in self._groups.values() for queued in group.jobs)]
        queued = [one for one in waiting if not one.taken]
        for one in queued:
            one.taken = True
        for group in self._groups.values():
            group.jobs.clear()
        self._waiting -= len(queued)
        return [one.job for one in queued]

    def stop(self) -> list[Job]:
        """Begin nothing more, and take back every job whose message no host has in full, closing its connection. The
        others stay until their hosts reply. A further call takes back what was submitted meanwhile."""
        self.workers.is_stopping = True
        jobs = self.take_back()
        for queued, connection in self._in_transaction.items():
            if not queued.taken and not connection.has_all_data:
                queued.taken = True
                connection.abort()
                jobs.append(queued.job)
        self.disconnect()
        return jobs

    def unanswered(self) -> list[str]:
        """The host of each message on the wire."""
        return [connection.host for connection in self._in_transaction.values()]

    def give_up(self) -> None:
        """Close the connections whose hosts have not replied; their jobs are reported as lost."""
        for connection in self._in_transaction.values():
            connection.abort()

    def disconnect(self) -> None:
        """Close idle connections now."""
        for group in self._groups.values():
            while group.idle:
                wake_worker(group.idle.popleft(), False)

    # What its workers ask

    def next_unsent(self, group: HopGroup) -> QueuedJob | None:
        """Remove and return the next job of a next hop that accepts no connection."""
        if not group.jobs:
            return None
        self._waiting -= 1
        return group.jobs.popleft()

    def pause(self, group: HopGroup) -> None:
        """No connection could be opened: delay the next attempt."""
        group.not_before = self._loop.time() + PAUSE_S

    def may_go_on(self, connection: Connection) -> bool:
        """Whether a worker keeps its connection for another transaction."""
        limits = self._throttle.limits
        if self.workers.is_stopping or not connection.is_usable or self.workers.are_too_many:
            return False
        if connection.share.is_full(connection.transactions, limits.messages_per_connection):
            return False
        if connection.transactions >= TURN and self.workers.others_starve():
            return False
        return self._loop.time() < connection.opened_at + limits.connection_age_s

    async def wait_for_job(self, group: HopGroup, connection: Connection) -> bool:
        """Wait for a job until the connection has been idle, or open, for too long. Returns whether there is one."""
        if group.jobs:
            return True
        limits = self._throttle.limits
        deadline = min(connection.opened_at + limits.connection_age_s, self._loop.time() + limits.connection_idle_s)
        while not group.jobs:
            if self.workers.others_starve():
                return False
            waiter: asyncio.Future[bool] = self._loop.create_future()
            timer = self._loop.call_at(deadline, wake_worker, waiter, False)
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

    def fit(
        self, group: HopGroup, connection: Connection, queued: QueuedJob
    ) -> tuple[QueuedJob | None, QueuedJob | None]:
        """The part of this job, or of another one, that the next transaction of a connection may carry, and the rest of
        that job. No part if the connection may carry none of the queued jobs, and is to be closed."""
        fitting, left = fit(queued, connection.share)
        if fitting is not None:
            return fitting, left
        # The bound keeps later jobs from delaying the first one for too long.
        other = group.take_fitting(connection.share) if connection.transactions < TURN else None
        group.jobs.appendleft(queued)
        if other is not None:
            return self.fit(group, connection, other)
        connection.share.is_used_up = True
        return None, None

    def move(self, group: HopGroup, queued: QueuedJob) -> None:
        """Queue a job at the front, for any connection that may carry it."""
        self._waiting += 1
        group.jobs.appendleft(queued)
        self.workers.serve(group)

    def redirect(self, hop: NextHop, queued: QueuedJob) -> None:
        """Queue a job whose transaction has not begun for another next hop, or for its own again, at the end."""
        group = self.workers.group(hop)
        group.jobs.append(queued)
        self.workers.serve(group)

    def begin(self, queued: QueuedJob, connection: Connection) -> None:
        """The job's transaction begins."""
        self._waiting -= 1
        self._in_transaction[queued] = connection

    def end(self, queued: QueuedJob) -> None:
        """The job's transaction has ended."""
        del self._in_transaction[queued]

    def use_up(self, connection: Connection, job: Job, spent: Spent, accepted: int) -> SessionLimits | None:
        """A host has replied that a connection reached its limit; ``accepted``: recipients of this job before that.
        Returns the limits that this shows, which apply at once to all connections to the host here."""
        shown = connection.share.use_up(spent, connection.transactions - 1, len(job.deliveries), accepted)
        if shown is not None:
            for other in self.open:
                if other.host == connection.host:
                    other.share.limits = other.share.limits.narrowed(shown)
        return shown

    async def drain(self) -> None:
        """Wait until no job is left (in a stopped pool: none on the wire) and every connection is closed."""
        while self.on_the_wire if self.workers.is_stopping else self.outstanding:
            await asyncio.sleep(DRAINED_LOOK_S)
        while self.workers.count:
            self.disconnect()
            await asyncio.sleep(DRAINED_LOOK_S)
