"""What a delivery actor does every second: its heartbeat, the policies in force, warm-ups, and letting go of what is
idle, stalled, suspended or another's.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import date, datetime, timedelta

from actors.delivery.claims import Claims
from actors.delivery.job import Job
from actors.delivery.ledger import Ledger
from actors.delivery.ownership import Ownership
from actors.delivery.reporting import Reporter
from actors.delivery.site import Ready, Site
from actors.delivery.sites import Sites
from cluster.journal.journal import Journal, Unavailable
from cluster.lookup.tls_results import TlsResults
from cluster.policy.limits.shaping import TenantLimits
from cluster.policy.limits.warm_up import Allowance
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.routing import Source
from cluster.routing.active_policy import InForce, today

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
UNSETTLED_S = 0.1
"""Between heartbeats while members change: until they are settled, destinations wait."""
UPKEEP_S = 1.0
COUNTS_S = 30.0
"""Between two flushes of the counts for TLS reports."""
WARM_UPS_KEPT = timedelta(days=7)
TOUCHED_KEPT = 10_000
"""Idle sites whose limits automation has changed are kept so that it is not forgotten; not more than these."""


class Upkeep:
    """``clock``: seconds that never go back; ``now``: seconds since the epoch."""

    def __init__(
        self,
        journal: Journal,
        in_force: InForce,
        ownership: Ownership,
        sites: Sites,
        claims: Claims,
        reporter: Reporter,
        tls_results: TlsResults,
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._in_force = in_force
        self._ownership = ownership
        self._sites = sites
        self._claims = claims
        self._reporter = reporter
        self._tls_results = tls_results
        self._clock = clock
        self._now = now
        self._wanted = asyncio.Event()
        self._counts_at = clock() + COUNTS_S
        self._day: date | None = None
        self._made_way_at = -1
        """The standing's changes when all that is held was its own: nothing else comes in before the next one."""

    # The heartbeat

    async def beat_for_ever(self, ledger: Ledger) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S if self._ownership.is_settled else UNSETTLED_S)
            try:
                await self.beat()
                await self._claims.give_back_doubtful()
            except Unavailable as error:
                log.warning("heartbeat failed reason=%r", error.reason)
            ledger.retry()
            # Sites that were refused claims, while outcomes piled up or members changed, are looked at again.
            self._sites.look_at_all()

    async def beat(self) -> None:
        """Say that this life goes on, and make way for whom it shows. Raises Superseded, Unavailable."""
        self._ownership.has(self.local_sources())  # an address may have come, or gone
        await self._ownership.beat(made_way=not self._holds_what_is_not_its_own())
        self._in_force.sources_are(member.sources for member in self._ownership.members)
        await self._make_way()

    def _holds_what_is_not_its_own(self) -> bool:
        changes = self._ownership.changes
        if self._made_way_at == changes:
            return False
        if any(not site.is_idle and not self._ownership.owns(site.destination) for site in self._sites):
            return True
        self._made_way_at = changes
        return False

    async def _make_way(self) -> None:
        """Give back what waits for destinations that are another's now, or that make no progress; what is on the wire
        there is finished."""
        if self._holds_what_is_not_its_own():
            for site in self._sites:
                if not self._ownership.owns(site.destination):
                    site.pool.disconnect()
                    await self._give_back(site, site.queue.clear(), [])
        for site in self._sites.at_work():
            if back := site.surplus(len(self._claims.held)):
                log.warning("site makes no progress site=%s given_back=%d", site.destination, len(back))
                await self._give_back(site, back, [])

    async def _give_back(self, site: Site, waiting: Iterable[Ready], jobs: Iterable[Job]) -> None:
        """To the journal: to wait in the lane of the site, and what was claimed for it but not begun, to be due.

        Raises Unavailable: then what waited is found again when its lease ends, the rest with the next heartbeat.
        """
        deliveries = [ready.waiting for ready in waiting]
        self._claims.release(deliveries)
        if jobs := list(jobs):
            for job in jobs:
                site.ended(job.deliveries[0].tenant_id)
            await self._claims.give_back(jobs)
        if deliveries:
            await self._journal.scheduling.park(deliveries, [str(site.destination)] * len(deliveries))

    async def _give_back_shut(self) -> None:
        """What waited at sites that were suspended. Raises Unavailable; the rest is tried again with the next look."""
        while self._reporter.shut:
            await self._give_back(*self._reporter.shut.pop())

    # What is in force

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), UPKEEP_S)
            self._wanted.clear()
            try:
                await self.follow()
                await self._allow()
                await self._tell()
                await self._drop_idle()
            except Unavailable as error:
                log.warning("upkeep failed reason=%r", error.reason)
                await asyncio.sleep(UPKEEP_S)

    async def end(self) -> None:
        """Write down what is only here. Raises Unavailable."""
        await self._tell()
        await self._tls_results.flush(self._journal.tls_results)
        for site in self._sites:
            await self._leave(site)

    async def follow(self) -> None:
        """Look what operators and automation have put in force. Raises Unavailable."""
        change = await self._in_force.follow()
        for site in self._sites if change else ():
            if change.policies:
                self._shape(site)
            for name, tenant_id in change.ended:
                if name in ("", site.destination.site):
                    site.resume(tenant_id)
            if change.begun:
                self._reporter.shut.append((site, *self.suspend_if_due(site)))
            self._sites.look_at(site)
        # Only now: a change is told once, and must reach every site even if the journal does not answer.
        await self._give_back_shut()

    def _shape(self, site: Site) -> None:
        place = site.destination
        site.shape(self._in_force.limits(place.site, place.source), self.tenant_limits_at(place))
        site.adjustments.follow(self._in_force.triggers(place.site, place.source))
        site.allowance = site.allowance or self.allowance(place)

    def tenant_limits_at(self, place: Destination) -> Callable[[str], TenantLimits]:
        """What limits a tenant has at a destination, by the rules that are in force when it is asked."""
        return lambda tenant_id: self._in_force.shaping.tenant_limits(place.site, tenant_id, source=place.source)

    def suspend_if_due(self, site: Site) -> tuple[list[Ready], list[Job]]:
        """Suspend a site, or tenants at it, if that is in force; returns what waited, and what was claimed for it and
        not begun."""
        name = site.destination.site
        waiting: list[Ready] = []
        jobs: list[Job] = []
        if (until := self._in_force.suspended_until(name, "")) is not None:
            waiting += site.suspend("", self._loop_time(until))
            jobs = site.pool.take_back()
            site.pool.disconnect()
        for tenant_id in self._in_force.suspended_tenants(name):
            if (until := self._in_force.suspended_until(name, tenant_id)) is not None:
                waiting += site.suspend(tenant_id, self._loop_time(until))
        return waiting, jobs

    def _loop_time(self, at: datetime) -> float:
        return self._clock() + at.timestamp() - self._now()

    def local_sources(self) -> tuple[str, ...]:
        """The sources whose addresses this machine has."""
        return tuple(name for name, source in self._in_force.routing.sources.items() if _is_local(source))

    # Warm-ups

    def allowance(self, place: Destination) -> Allowance | None:
        """Of a source in warm-up, for a site; nothing is granted yet, which is asked for at once. None: it has no
        plan."""
        if self._in_force.source(place.source).warm_up is None:
            return None
        self._wanted.set()
        day = today()
        return Allowance(day, self._in_force.routing.cap(place.source, place.site, day))

    async def _allow(self) -> None:
        """Renew the allowances, and take portions of the days' caps for those that are short. Raises Unavailable."""
        day = today()
        if day != self._day:
            self._day = day
            await self._journal.warm_up.trim(day - WARM_UPS_KEPT)
        for site in self._sites:
            place, allowance = site.destination, site.allowance
            if allowance is None:
                continue
            allowance.renew(day, self._in_force.routing.cap(place.source, place.site, day))
            if not self._in_force.is_exhausted(place.source, place.site):
                allowance.reopen()
            if (want := allowance.wanted()) and allowance.cap is not None:
                granted = await self._journal.warm_up.take(place.source, place.site, day, want, allowance.cap)
                allowance.granted(day, want, granted)
                self._sites.look_at(site)
            if allowance.is_exhausted and site.queue:
                # Another source of the pool may take it from the lane.
                await self._give_back(site, site.queue.clear(), [])

    async def _leave(self, site: Site) -> None:
        if site.allowance is not None and (left := site.allowance.leave()):
            place = site.destination
            await self._journal.warm_up.give_back(place.source, place.site, site.allowance.day, left)

    # What was done, and what is over

    async def _tell(self) -> None:
        """Tell the journal what automation did, and give back what waited for it. Raises Unavailable."""
        await self._give_back_shut()
        reporter = self._reporter
        while reporter.suspended:
            one = reporter.suspended[0]
            reason = f"{one.action.trigger}: {one.action.reply}"
            await self._journal.suspensions.suspend(one.site, one.action.tenant_id, one.until, reason, "automation")
            del reporter.suspended[0]
        if actions := list(reporter.actions):
            await self._journal.site_actions.record(actions)
            del reporter.actions[: len(actions)]
        if self._clock() >= self._counts_at:
            self._counts_at = self._clock() + COUNTS_S
            await self._tls_results.flush(self._journal.tls_results)

    async def _drop_idle(self) -> None:
        """Let go of sites without work. What automation knows of them is kept, as long as there are not too many."""
        now = self._clock()
        for site in self._sites.at_work():
            if not site.is_busy:
                site.progressed()
        for site in self._sites:
            if not site.is_idle or now < site.blocked_until:
                continue
            if site.adjustments.is_untouched(now) or len(self._sites) > TOUCHED_KEPT:
                self._sites.drop(site)
                self._ownership.forget(site.destination)
                await self._leave(site)


def _is_local(source: Source) -> bool:
    """Whether connections can be bound to the source's addresses here."""
    for address in filter(None, (source.address, source.address6)):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
    return True
