"""The deliverer: a delivery actor's whole. It owns the destinations that hash to it and brings their mail out.

Work comes in by ``offer``, waits at its site, is claimed in the journal (the fence against cancelling), composed,
sent over the site's connections, and its outcome committed with its events. Everything held here can be rebuilt from
the journal: the process may be killed at any moment.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from actors.delivery.claims import Claims, key_of
from actors.delivery.committer import Committer
from actors.delivery.composing import Composer
from actors.delivery.connector import Connector
from actors.delivery.held import HeldDeliveries
from actors.delivery.idle_connections import IdleConnections
from actors.delivery.inspection import find_held, state_of
from actors.delivery.job import Connection, Hop, Job, Report
from actors.delivery.lanes import LaneFetcher
from actors.delivery.leaving import Leaving
from actors.delivery.ledger import Ledger
from actors.delivery.marker import Marker
from actors.delivery.ownership import Ownership
from actors.delivery.pool import Pool
from actors.delivery.put_off import PutOff
from actors.delivery.reporting import Reporter
from actors.delivery.setting_aside import settle_marker
from actors.delivery.site import Ready, Site
from actors.delivery.sites import Sites
from actors.delivery.stall_watch import StallWatch
from actors.delivery.tracing import Tracer
from actors.delivery.unresolved import Misrouted, Unresolved
from actors.delivery.upkeep import Upkeep
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Waiting
from cluster.journal.scheduling import Lane
from cluster.lookup.tls_results import TlsResults
from cluster.policy.replies.automation import Adjustments
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import NextHop
from cluster.routing.active_policy import InForce
from cluster.routing.offer import OfferAnswer, Shared, decode_offer
from cluster.routing.router import Placed, Placer
from cluster.routing.site_state import Held, SiteState, TraceLine
from cluster.settings import DeliverySettings
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

CLAIMERS = 2
"""One claims while the other's messages are composed."""
TELL_S = 5.0
"""For telling the journal what is known, when an actor stops."""


class Deliverer:
    """``now``: seconds since the epoch; ``random``: in [0, 1). ``close`` is called when it has stopped. ``stall_watch``
    is None where the process is not its own."""

    def __init__(
        self,
        name: str,
        node_id: str,
        *,
        settings: DeliverySettings,
        journal: Journal,
        composer: Composer,
        connector: Connector,
        placer: Placer,
        in_force: InForce,
        ledger: Ledger,
        marker: Marker,
        stall_watch: StallWatch | None,
        tls_results: TlsResults,
        close: Callable[[], Awaitable[None]],
        random: Callable[[], float],
        now: Callable[[], float],
        make_tasks: Callable[[], Tasks] = Tasks,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._composer = composer
        self._connector = connector
        self._placer = placer
        self._in_force = in_force
        self._clock = asyncio.get_running_loop().time
        self._now = now
        self._close = close
        self._tasks = make_tasks()
        self._ledger = ledger
        self._marker = marker
        self._stall_watch = stall_watch
        self._committer = Committer(journal, ledger)
        self._ownership = Ownership(journal, name, node_id, self._clock)
        self._tracer = Tracer(self._clock, now)
        self._idle = IdleConnections()
        self._work = asyncio.Event()
        self._light_work = asyncio.Event()
        self._stopping = False
        held = HeldDeliveries(settings.window)
        self._sites = Sites(self._make_site, self._wake, held.has_few_of)
        put_off = PutOff(self._clock)
        self._reporter = Reporter(
            self._committer,
            in_force,
            settings,
            put_off=put_off,
            random=random,
            clock=self._clock,
            after=self._after_report,
        )
        self._claims = Claims(
            journal=journal,
            composer=composer,
            committer=self._committer,
            ownership=self._ownership,
            sites=self._sites,
            put_off=put_off,
            work=self._work,
            light_work=self._light_work,
            may_claim=self._may_claim,
            lease_s=settings.sending_lease_s,
            report=self._reporter.report,
            take_again=self._hold_or_park,
            held=held,
        )
        self._leaving = Leaving(self._sites, self._claims, wait_s=settings.stop_wait_s, clock=self._clock)
        self._unresolved = Unresolved(placer, self._tasks, self._take_found, self._park)
        self._lane_fetcher = LaneFetcher(
            journal,
            self._ownership,
            self._sites,
            room=self._room,
            most=settings.window,
            lease_s=settings.lease_s,
            is_shut=self._is_shut,
            take=self._hold_or_park,
            clock=self._clock,
        )
        self._upkeep = Upkeep(
            journal,
            in_force,
            self._ownership,
            self._sites,
            self._claims,
            self._reporter,
            tls_results,
            clock=self._clock,
            now=now,
        )

    # What other actors call

    async def start(self) -> None:
        """Begin this life, and finish what the last one had left. Raises Unavailable, LedgerInUse, OSError."""
        try:
            await self._committer.settle_former()
            await settle_marker(self._marker, self._journal, self._ownership.name)
            await self._in_force.follow()
            await self._ownership.begin(self._upkeep.local_sources())
            self._marker.begin(self._ownership.epoch)
            self._committer.begin(self._ownership.epoch)
            await self._upkeep.beat()
        except BaseException:
            # The next attempt, perhaps in this process, must be able to open them.
            self._marker.close()
            self._ledger.close()
            raise
        if self._stall_watch is not None:
            self._tasks.spawn("stall watch", self._stall_watch.run())
        self._tasks.spawn("outcomes", self._committer.run())
        self._tasks.spawn("heartbeat", self._upkeep.beat_for_ever(self._ledger))
        self._tasks.spawn("upkeep", self._upkeep.run())
        self._tasks.spawn("refill", self._lane_fetcher.run())
        for _ in range(CLAIMERS):
            self._tasks.spawn("claiming", self._claims.run())
        self._tasks.spawn("claiming what is light", self._claims.run(light_only=True))
        self._tasks.spawn("large messages", self._claims.large.run())

    async def offer(self, batch: bytes, contents: Mapping[str, Shared]) -> OfferAnswer:
        """Take deliveries to wait for their turn; what finds no room is refused. Offering one twice is harmless."""
        self._composer.expect(contents)
        deliveries = decode_offer(batch)
        if self._stopping:
            return OfferAnswer(list(range(len(deliveries))), 0)
        refused = [i for i, waiting in enumerate(deliveries) if not self._take_in_turn(waiting)]
        return OfferAnswer(refused, self._lane_fetcher.leaves_room())

    def _take_in_turn(self, waiting: Waiting) -> bool:
        """Hold a delivery unless others wait before it. What is refused is parked by whoever offered it: there is
        something to take as soon as there is room."""
        placed = self._placer.known(waiting)
        lane = None
        if placed is not None and self._ownership.owns(placed.destination):
            lane = Lane(str(placed.destination), waiting.tenant_id)
        held = self._claims.held
        goes = lane is None or not self._lane_fetcher.goes_before(lane, is_short=not held.has_few_of(waiting.tenant_id))
        if (goes or key_of(waiting) in held) and self._take(waiting, placed):
            return True
        if lane is not None:
            self._lane_fetcher.expect(lane)
        return False

    async def refill(self, lanes: Sequence[Lane]) -> None:
        """Deliveries are parked in these lanes of ours: take them as there is room."""
        self._lane_fetcher.add(lanes)

    def _room(self) -> int:
        """How many more deliveries may wait here."""
        return 0 if self._stopping else self._claims.held.room

    async def problem(self) -> str | None:
        return self._claims.problem or self._ledger.problem

    async def follow(self) -> None:
        """What operators have put in force is another. Raises Unavailable."""
        await self._upkeep.follow()

    async def sites(self, pattern: str = "", limit: int = 200) -> list[SiteState]:
        """The sites whose names contain ``pattern``, the deepest first."""
        found = [site for site in self._sites if pattern in site.destination.site]
        found.sort(key=lambda site: len(site.queue) + site.in_flight, reverse=True)
        offset = self._now() - self._clock()
        return [state_of(site, self._ownership.name, self._clock(), offset) for site in found[:limit]]

    async def known_sites(self) -> list[str]:
        """The names of sites that are in memory, or were within a day."""
        return self._sites.names()

    async def held(self, message_id: str) -> list[Held]:
        """Where the deliveries of a message are in this actor's memory."""
        return find_held(message_id, self._sites, self._claims.held)

    async def try_now(self, places: Sequence[tuple[str, str]]) -> None:
        """An operator has made deferred mail due, for these (domain, tenant): their sites are tried at once, also where
        the last connections failed."""
        placed = (self._placer.known(Waiting("", 0, tenant_id, domain)) for domain, tenant_id in places)
        names = {one.destination.site for one in placed if one is not None}
        for site in self._sites:
            if site.destination.site in names:
                site.try_now()
                self._sites.look_at(site)
        self._lane_fetcher.look()

    async def moved(self, batch: bytes) -> None:
        """An operator has moved these to other pools or routes: what waits here as it was before is not to be sent."""
        now = {key_of(waiting): waiting for waiting in decode_offer(batch)}
        if any(key in self._claims.held for key in now):
            for site in self._sites:
                stale = site.queue.remove(lambda ready: now.get(key_of(ready.waiting), ready.waiting) != ready.waiting)
                self._claims.release(ready.waiting for ready in stale)

    async def trace(self, site: str, after: int, seconds: float) -> list[TraceLine]:
        """Trace the SMTP dialogue with a site for so many seconds more; its lines numbered above ``after``."""
        is_new = not self._tracer.is_traced(site)
        lines = self._tracer.follow(site, after, seconds)
        if is_new:
            for known in self._sites:
                if known.destination.site == site:
                    for connection in known.pool.open:
                        connection.observe = observe = self._tracer.observer(site)
                        if observe is not None:
                            observe("*", f"open to {connection.host} [{connection.address}]")
        return lines

    async def stop(self) -> None:
        """Give back what no host has in full, wait for the answers to the rest, and end this life."""
        self._stopping = True
        await self._leaving.finish()
        try:
            async with asyncio.timeout(TELL_S):
                await self._committer.flushed()
                await self._upkeep.end()
                await self._ownership.retire()
        except (TimeoutError, Unavailable) as error:
            # The next life takes back what this one leaves.
            log.warning("stopped before everything was finished reason=%r", str(error))
        await self._tasks.stop()
        self._marker.close()
        self._ledger.close()
        await self._close()

    async def hurry(self) -> None:
        """Wait for no more answers: ``stop`` is under way, or comes."""
        self._leaving.hurry()

    async def unanswered(self) -> Mapping[str, int]:
        """How many messages wait for the answer of each host."""
        return self._leaving.unanswered()

    # Work that waits

    def _take(self, waiting: Waiting, placed: Placed | None) -> bool:
        """Hold a delivery, if there is room for it and it is ours. One whose way is not known is held until it is."""
        key = key_of(waiting)
        if key in self._claims.held:
            self._claims.offered_again(waiting)
            return True
        if not self._claims.held.has_room_for(waiting.tenant_id) or self._committer.holds(*key):
            return False
        if placed is None:
            self._claims.held.add(key, waiting.tenant_id)
            self._unresolved.add(waiting)
            return True
        return self._queue(Ready(waiting, placed.hop), placed.destination)

    def _queue(self, ready: Ready, place: Destination) -> bool:
        if not self._ownership.owns(place):
            return False
        site = self._sites.of(place)
        if not site.offer(ready):
            return False
        self._claims.held.add(key_of(ready.waiting), ready.waiting.tenant_id)
        self._sites.look_at(site, ready.waiting.tenant_id)
        return True

    def _take_found(self, placed: Iterable[tuple[Ready, Destination]]) -> Misrouted:
        """Let deliveries wait at their sites; those of others, and those without room there, are held no more."""
        misrouted = [(ready.waiting, place) for ready, place in placed if not self._queue(ready, place)]
        self._claims.release(waiting for waiting, _ in misrouted)
        return misrouted

    async def _park(self, misrouted: Misrouted) -> None:
        await self._journal.scheduling.park(
            [waiting for waiting, _ in misrouted], [str(place) for _, place in misrouted]
        )

    async def _hold_or_park(self, deliveries: Sequence[Waiting]) -> None:
        """Take what has been given to us; park what has another way by now, or came too late for the room."""
        misrouted = [waiting for waiting in deliveries if not self._take(waiting, self._placer.known(waiting))]
        if misrouted:
            await self._park([(waiting, self._placer.known_or_own(waiting)) for waiting in misrouted])

    def _is_shut(self, place: Destination, tenant_id: str) -> bool:
        """Whether nothing of a tenant's may be sent to a destination for now. What waits for a source that is used up
        for the day is looked at, for another may take it."""
        if any(self._in_force.suspended_until(place.site, who) for who in ("", tenant_id)):
            return True
        site = self._sites.get(place)
        return site is not None and (site.is_stalled or site.is_suspended)

    # Sites

    def _wake(self, is_light: bool) -> None:
        self._work.set()
        if is_light:
            self._light_work.set()

    def _make_site(self, place: Destination) -> Site:
        limits = self._in_force.limits(place.site, place.source)
        triggers = self._in_force.triggers(place.site, place.source)
        site = Site(
            place,
            limits,
            Adjustments(triggers, self._clock(), shares=place.shares),
            self._clock,
            self._settings.window,
            self._make_pool,
            self._upkeep.tenant_limits_at(place),
            self._upkeep.allowance(place),
        )
        self._upkeep.suspend_if_due(site)
        return site

    def _make_pool(self, site: Site) -> Pool:
        place = site.destination

        async def connect(hop: NextHop, job: Job) -> Connection:
            return await self._connector.connect(
                hop,
                job.deliveries[0].domain,
                self._in_force.source(place.source),
                place=place,
                per_address=site.throttle.connections_per_address(),
                observe=self._tracer.observer(place.site),
                passed_over=lambda failure: self._reporter.passed_over(site, job, failure),
            )

        return Pool(
            throttle=site.throttle,
            tasks=self._tasks,
            connect=connect,
            closed=lambda connection, lost: self._connector.closed(connection, place, lost),
            report=lambda job, hop, report: self._reporter.report(site, job, hop, report),
            passed_over=lambda job, failure: self._reporter.passed_over(site, job, failure),
            divided=lambda job: site.divided(job.deliveries[0].tenant_id),
            blame=lambda job: self._marker.blame(job.deliveries[0]),
            taught=self._connector.taught,
            open_in_all=lambda: self._connector.open,
            idle=self._idle,
        )

    def _may_claim(self) -> bool:
        return not self._stopping and not self._ledger.problem

    def _after_report(self, site: Site, job: Job, hop: Hop, report: Report) -> None:
        self._claims.release(job.deliveries)
        if site.queue and site.is_low:
            self._sites.look_at(site)
        self._lane_fetcher.look()
