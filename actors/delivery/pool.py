"""The jobs and the connections of one site: connections are opened to need, kept open and reused.

A worker is a connection and its turn at the jobs of one next hop. Workers come as jobs wait, up to what the site may
have; one leaves when it has been idle for a while, has done its time or its number of transactions, lost its
connection, or when another next hop waits for a place. What a worker does is the courier's (courier.py); here stands
what the workers of a site share. Every job that is submitted is reported by its worker exactly once, or taken back.
"""

import asyncio
from collections.abc import Callable, Iterator

from actors.delivery.idle_connections import IdleConnections, tell
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
"""Transactions after which a worker makes way for a next hop that has none, when the site may have no more."""
PAUSE_S = 1.0
"""After an attempt that gave no connection to a next hop, before the next one: what waits has other connections, or
waits for one of them to go."""
DRAINED_LOOK_S = 0.01


class Pool:
    """``addresses`` counts the connections of all sites; ``idle``: those of them that wait. ``start`` begins the work
    of a worker that was hired."""

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

    def limits_described(self) -> tuple[str, ...]:
        """What the hosts of the open connections let one carry, in words."""
        said = {connection.share.described(connection.host) for connection in self.open}
        return tuple(sorted(said - {""}))

    def submit(self, hop: NextHop, job: Job) -> None:
        self.enqueue(hop, QueuedJob(job))

    def enqueue(self, hop: NextHop, queued: QueuedJob) -> None:
        """Let it go to its next hop after all that waits for that."""
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
        """Every job that no transaction has begun for; they are reported no more."""
        queued = [*self.turns.waiting, *(queued for group in self._groups.values() for queued in group.jobs)]
        for one in queued:
            one.taken = True
        for group in self._groups.values():
            group.jobs.clear()
        self._waiting -= len(queued)
        return [one.job for one in queued]

    def stop(self) -> list[Job]:
        """Begin nothing more. Every job whose message no host has in full is taken back, its connection closed. The
        others stay until their hosts answer. Called again, it takes back what was submitted meanwhile."""
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

    # What its workers ask

    def next_unsent(self, group: HopGroup) -> QueuedJob | None:
        """The next job of a next hop that gives no connection; it waits no more."""
        if not group.jobs:
            return None
        self._waiting -= 1
        return group.jobs.popleft()

    def pause(self, group: HopGroup) -> None:
        """No connection was to be had: try again in a while, not at once."""
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
        """Whether there is one, at once or before the connection has been idle, or open, for too long."""
        if group.jobs:
            return True
        limits = self._throttle.limits
        deadline = min(connection.opened_at + limits.connection_age_s, self._loop.time() + limits.connection_idle_s)
        while not group.jobs:
            if self.workers.others_starve():
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

    def fit(
        self, group: HopGroup, connection: Connection, queued: QueuedJob
    ) -> tuple[QueuedJob | None, QueuedJob | None]:
        """The part of a job that the next transaction of a connection may carry, or of another job, and the rest of
        that job. No part when the connection may carry nothing of what waits, and is done with."""
        fitting, left = fit(queued, connection.share)
        if fitting is not None:
            return fitting, left
        # The first job is not kept waiting by too many that come after it.
        other = group.take_fitting(connection.share) if connection.transactions < TURN else None
        group.jobs.appendleft(queued)
        if other is not None:
            return self.fit(group, connection, other)
        connection.share.is_used_up = True
        return None, None

    def move(self, group: HopGroup, queued: QueuedJob) -> None:
        """Let it go before all that waits, over whichever connection may carry it."""
        self._waiting += 1
        group.jobs.appendleft(queued)
        self.workers.serve(group)

    def begin(self, queued: QueuedJob, connection: Connection) -> None:
        """Its transaction begins."""
        self._waiting -= 1
        self._in_transaction[queued] = connection

    def end(self, queued: QueuedJob) -> None:
        """Its transaction has ended."""
        del self._in_transaction[queued]

    def use_up(self, connection: Connection, job: Job, spent: Spent, accepted: int) -> SessionLimits | None:
        """A connection's host says that it has had its share; ``accepted``: recipients of this job before it did.
        Returns what that shows of the host's connections, which holds for all of them here at once."""
        shown = connection.share.use_up(spent, connection.transactions - 1, len(job.deliveries), accepted)
        if shown is not None:
            for other in self.open:
                if other.host == connection.host:
                    other.share.limits = other.share.limits.narrowed(shown)
        return shown

    async def drain(self) -> None:
        """Return when no job is left, of a stopped pool none on the wire, and every connection has been told to go."""
        while self.on_the_wire if self.workers.is_stopping else self.outstanding:
            await asyncio.sleep(DRAINED_LOOK_S)
        while self.workers.count:
            self.disconnect()
            await asyncio.sleep(DRAINED_LOOK_S)
