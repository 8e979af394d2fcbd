"""What a worker does: open a connection to a next hop, send the jobs queued for it, report the result of each.

From here a delivery goes down to the socket (connector, ``actors.smtp``) and comes back as a value: the result of a
transaction, or the division of a job whose recipients got different replies (onward.py). The courier performs the
division: it reports the settled part and puts the rest back into the pool. One courier serves the workers of all sites.
"""

import asyncio
import logging
from functools import partial

from actors.delivery.connector import Connector, Crowded
from actors.delivery.enforced_tls import EnforcedTls
from actors.delivery.idle_connections import IdleConnections
from actors.delivery.job import Connection, Hop, Job, NoRoute, Report, hop_of
from actors.delivery.marker import Marker
from actors.delivery.onward import Division, after_loss, divide
from actors.delivery.pool import Pool
from actors.delivery.pool_group import HopGroup, QueuedJob
from actors.delivery.reporting import Reporter
from actors.delivery.site import Site
from actors.delivery.tracing import Tracer
from actors.delivery.workers import SLOW_S
from actors.smtp.protocol import ConnectError, ConnectionLost
from actors.smtp.transaction import TransactionResult
from cluster.policy.limits.session import UNLIMITED
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import NextHop
from cluster.routing.active_policy import ActivePolicy
from cluster.tasks import Tasks

log = logging.getLogger(__name__)


class Courier:
    """``marker`` records the job that is about to end the process."""

    def __init__(
        self,
        connector: Connector,
        active_policy: ActivePolicy,
        enforced_tls: EnforcedTls,
        tracer: Tracer,
        reporter: Reporter,
        marker: Marker,
        tasks: Tasks,
        idle: IdleConnections,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = connector
        self._active_policy = active_policy
        self._enforced_tls = enforced_tls
        self._tracer = tracer
        self._reporter = reporter
        self._marker = marker
        self._tasks = tasks
        self._idle = idle

    def pool_for(self, site: Site) -> Pool:
        """A pool whose workers are run by this courier."""
        return Pool(site.throttle, self._connector.addresses, self._idle, partial(self._start, site))

    def _start(self, site: Site, group: HopGroup) -> None:
        self._tasks.spawn("connection", self._work(site, group))

    async def _work(self, site: Site, group: HopGroup) -> None:
        """Run one worker from opening its connection to closing it."""
        pool = site.pool
        connection = None
        lost = False
        try:
            connection = await self._open(site, group)
            while connection is not None and not lost and pool.may_go_on(connection):
                if not await pool.wait_for_job(group, connection):
                    break
                if connection.transactions and not connection.is_usable:
                    break  # it ended while it was idle: no job is affected, and it is no failure of the host
                lost = await self._send(site, group, connection)
            if connection is not None:
                # Its slot is free only when the host has seen it close.
                await connection.quit()
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            raise
        finally:
            pool.workers.gone(group)
            if connection is not None:
                pool.open.discard(connection)
                self._connector.closed(connection, site.destination, lost)
        pool.workers.left(group)

    # Opening

    async def _open(self, site: Site, group: HopGroup) -> Connection | None:
        """A connection; None if none can be opened: then the jobs stay for other connections or are reported."""
        pool = site.pool
        try:
            if not group.jobs:
                return None
            connection = await self._connected(site, group.hop, group.jobs[0].job)
            pool.open.add(connection)
            return connection
        except Crowded:
            pool.pause(group)
            return None
        except (ConnectError, NoRoute) as failure:
            # If other connections to the next hop work, they carry the jobs.
            pool.pause(group)
            if group.workers - group.connecting <= 0:
                while (queued := pool.next_unsent(group)) is not None:
                    self._report_unsent(site, queued, failure)
            return None
        finally:
            group.connecting -= 1

    async def _connected(self, site: Site, hop: NextHop, job: Job) -> Connection:
        place = site.destination
        try:
            return await self._connector.connect(
                hop,
                job.deliveries[0].domain,
                self._active_policy.source(place.source),
                place=place,
                per_address=site.throttle.connections_per_address(),
                observe=self._tracer.observer(place.site),
                passed_over=partial(self._reporter.passed_over, site, job),
            )
        except (ConnectError, NoRoute, Crowded):
            raise
        except Exception as error:
            # A defect that one next hop triggers must not end the process in every life: it holds other mail too.
            log.exception("a connection could not be set up hosts=%s", [host.name for host in hop.hosts])
            raise ConnectError(Stage.CONNECT, f"no connection could be set up: {type(error).__name__}") from error

    def _report_unsent(self, site: Site, queued: QueuedJob, failure: ConnectError | NoRoute) -> None:
        if queued.instead is None:
            self._reporter.report(site, queued.job, Hop(), failure)
            return
        if isinstance(failure, ConnectError):
            self._reporter.passed_over(site, queued.job, failure)
        self._reporter.report(site, queued.job, *queued.instead)

    # Sending

    async def _send(self, site: Site, group: HopGroup, connection: Connection) -> bool:
        """Send the next job. Returns whether the connection was lost, or its host takes no more mail for now."""
        queued = group.jobs.popleft()
        try:
            return await self._carry(site, group, connection, queued)
        except Exception:
            # An unexpected error ends the process, and without a strike the message would end the next one too.
            self._marker.blame(queued.job.deliveries[0])
            raise

    async def _carry(self, site: Site, group: HopGroup, connection: Connection, queued: QueuedJob) -> bool:
        pool = site.pool
        group.taken_at = self._loop.time()
        if connection.share.limits is not UNLIMITED:
            fitting = self._fit(site, group, connection, queued)
            if fitting is None:
                return False
            queued = fitting
        if not await pool.turns.take(queued):
            return False
        job = queued.job
        # Only now: the tenant may have changed what it requires while the job waited.
        hop = self._enforced_tls.next_hop(job, group.hop)
        if hop is not group.hop:
            pool.redirect(hop or group.hop, queued)
            if hop is None:
                await self._enforced_tls.learn(job.deliveries[0].tenant_id)
            return False
        began, reused = self._loop.time(), connection.transactions > 0
        is_host_done = False
        pool.begin(queued, connection)
        connection.share.begin(job.envelope)
        try:
            report: Report = await connection.send(job.envelope, job.data)
        except ConnectionLost as lost:
            if queued.taken:
                return False
            division = after_loss(queued, group.hop, lost, connection.alternatives, reused)
            is_host_done = division.is_host_done
            if division.goes_on:
                self._perform(site, group, connection, queued, division, lost.accepted)
                return is_host_done
            report = lost
        finally:
            pool.end(queued)
        if queued.taken:
            return False
        if self._loop.time() - began > SLOW_S and group.jobs and pool.workers.may_be_more:
            pool.workers.hire(group)
        if not isinstance(report, TransactionResult):
            self._reporter.report(site, job, hop_of(connection), report)
            return is_host_done
        if report.is_taken_for_all:
            self._reporter.report(site, job, hop_of(connection), report)
            return False
        division = divide(queued, group.hop, hop_of(connection), report, site.throttle.limits.next_host, reused)
        self._perform(site, group, connection, queued, division, report.accepted)
        return division.is_host_done

    def _fit(self, site: Site, group: HopGroup, connection: Connection, queued: QueuedJob) -> QueuedJob | None:
        """The part of a job that the next transaction of a connection may carry; the rest is left to other connections.
        None if it may carry none of the queued jobs, and is to be closed."""
        fitting, left = site.pool.fit(group, connection, queued)
        if left is not None:
            site.divided(left.job.deliveries[0].tenant_id)
            site.pool.move(group, left)
        return fitting

    def _perform(
        self, site: Site, group: HopGroup, connection: Connection, queued: QueuedJob, division: Division, accepted: int
    ) -> None:
        """Report the settled part of a job, and queue the rest. ``accepted``: recipients of the job that the host
        accepted before the reply that divides it."""
        pool = site.pool
        if division.spent is not None:
            shown = pool.use_up(connection, queued.job, division.spent, accepted)
            if shown is not None:
                self._connector.taught(connection, shown)
        for _ in range(division.parts - 1):
            site.divided(queued.job.deliveries[0].tenant_id)
        if division.settled is not None:
            # First, since this writes acceptances to the ledger.
            job, report = division.settled
            self._reporter.report(site, job, hop_of(connection), report)
        if division.passed_over is not None:
            self._reporter.passed_over(site, *division.passed_over)
        for hop, rest in division.rest:
            pool.enqueue(hop, rest)
        if division.moved is not None:
            pool.move(group, division.moved)
