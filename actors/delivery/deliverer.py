"""The delivery actor: what other actors call, its start and its end. It owns the destinations that hash to it and
sends their mail.

A delivery comes in by ``offer``, is queued at its site, claimed in the journal (the fence against cancelling), composed
and sent over the site's connections. Its outcome is committed with its events. Everything held here can be rebuilt from
the journal, so the process may be killed at any moment. The package's docstring follows one delivery through the parts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from actors.delivery.held import key_of
from actors.delivery.inspection import find_held, find_sites
from actors.delivery.parts import Dependencies, Parts
from actors.delivery.sampling import sample_sites
from actors.delivery.setting_aside import settle_marker
from cluster import metrics
from cluster.journal.journal import Unavailable
from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane
from cluster.metrics import Reading
from cluster.routing.offer import OfferAnswer, Shared, decode_offer
from cluster.routing.site_state import Held, SitesSampled, SiteState, TraceLine

log = logging.getLogger(__name__)

CLAIMERS = 2
"""Claim loops for all tenants: one claims while the messages of the other are composed."""
LAST_WORDS_S = 5.0
"""Timeout for the last writes to the journal when an actor stops."""


class Deliverer:
    """``close`` is called when the actor has stopped."""

    def __init__(self, deps: Dependencies, close: Callable[[], Awaitable[None]]) -> None:
        self.deps = deps
        self.parts = Parts(deps)
        self._close = close

    async def start(self) -> None:
        """Begin this life and finish what the last one left. Raises Unavailable, LedgerInUse, OSError."""
        deps, parts = self.deps, self.parts
        try:
            await parts.committer.settle_former()
            await settle_marker(deps.marker, deps.journal, deps.name)
            await deps.active_policy.follow()
            await parts.ownership.begin(parts.heartbeat.local_sources())
            deps.marker.begin(parts.ownership.epoch)
            parts.committer.begin(parts.ownership.epoch)
            await parts.heartbeat.beat()
        except BaseException:
            # The next attempt, perhaps in this process, must be able to open both files.
            deps.marker.close()
            deps.ledger.close()
            raise
        self._spawn_loops()

    def _spawn_loops(self) -> None:
        deps, parts, spawn = self.deps, self.parts, self.deps.tasks.spawn
        if deps.stall_watch is not None:
            spawn("stall watch", deps.stall_watch.run())
        spawn("outcomes", parts.committer.run())
        spawn("heartbeat", parts.heartbeat.run())
        spawn("upkeep", parts.upkeep.run())
        spawn("tenants", deps.directory.run())
        spawn("refill", parts.lane_fetcher.run())
        for _ in range(CLAIMERS):
            spawn("claiming", parts.claims.run())
        spawn("claiming what is light", parts.claims.run(light_only=True))
        spawn("large messages", parts.large.run())

    async def problem(self) -> str | None:
        return self.parts.claims.problem or self.deps.ledger.problem

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def stop(self) -> None:
        """Give back what no host has in full, wait for the replies to the rest, and end this life."""
        deps, parts = self.deps, self.parts
        parts.held.is_closed = True
        await parts.leaving.finish()
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await parts.committer.flushed()
                await parts.upkeep.end()
                await parts.ownership.retire()
        except (TimeoutError, Unavailable) as error:
            # The next life takes back what this one leaves.
            log.warning("stopped before everything was finished reason=%r", str(error))
        await deps.tasks.stop()
        deps.marker.close()
        deps.ledger.close()
        await self._close()

    async def hurry(self) -> None:
        """Stop waiting for replies: ``stop`` is under way or will be called."""
        self.parts.leaving.hurry()

    async def unanswered(self) -> Mapping[str, int]:
        """How many messages wait for a reply, by host."""
        return self.parts.leaving.unanswered()

    # What actors with work call

    async def offer(self, batch: bytes, contents: Mapping[str, Shared]) -> OfferAnswer:
        """Queue deliveries. The answer names those that found no room. Offering one twice is harmless."""
        self.deps.composer.expect(contents)
        deliveries = decode_offer(batch)
        if self.parts.held.is_closed:
            return OfferAnswer(list(range(len(deliveries))), 0)
        admission = self.parts.admission
        refused = [i for i, waiting in enumerate(deliveries) if not admission.offer(waiting)]
        return OfferAnswer(refused, self.parts.lanes.leaves_room())

    async def fetch_from_lanes(self, lanes: Sequence[Lane]) -> None:
        """Deliveries are parked in these lanes of ours: lease them as room allows."""
        self.parts.lanes.add(lanes)

    async def settle_of(self, actor: str) -> None:
        """Another delivery actor is lost: commit what its ledger holds, if that is on this machine. Raises Unavailable,
        OSError."""
        await self.parts.committer.settle_of(actor)

    async def forget_committed(self) -> None:
        """Delete from the ledger what is committed: it names recipients, and the data of some was erased."""
        self.deps.ledger.forget_settled()

    # What operators call

    async def follow(self) -> None:
        """Load the active policy, which operators have changed. Raises Unavailable."""
        await self.parts.policy_follower.follow()

    async def sites(self, pattern: str = "", limit: int = 200) -> list[SiteState]:
        """The sites whose names contain ``pattern``, those with most deliveries first."""
        clock = asyncio.get_running_loop().time()
        return find_sites(self.parts.sites, pattern, limit, self.deps.name, clock, self.deps.now() - clock)

    async def sample(self, since: float, most: int) -> SitesSampled:
        """The sites that have work, the busiest, and the counts of those that ended after ``since``, the ``at`` of the
        sample before."""
        offset = self.deps.now() - asyncio.get_running_loop().time()
        version = self.deps.active_policy.version
        return await sample_sites(self.parts.sites, since, most, self.deps.name, version, offset)

    async def known_sites(self) -> list[str]:
        """The names of sites that are in memory, or were within the last day."""
        return self.parts.sites.names()

    async def held(self, message_id: str) -> list[Held]:
        """Where the deliveries of a message are in this actor's memory."""
        return find_held(message_id, self.parts.sites, self.parts.held)

    async def try_now(self, places: Sequence[tuple[str, str]]) -> None:
        """An operator has made deferred mail due for these (domain, tenant) pairs. Their sites are tried at once, even
        if the last connections failed."""
        placed = (self.deps.router.known(DueDelivery("", 0, tenant_id, domain)) for domain, tenant_id in places)
        names = {one.destination.site for one in placed if one is not None}
        for site in self.parts.sites:
            if site.destination.site in names:
                site.try_now()
                self.parts.turns.look_at(site)
        self.parts.lanes.look()

    async def moved(self, batch: bytes) -> None:
        """An operator has moved these to other pools or routes: drop their former versions from the queues."""
        held, now = self.parts.held, {key_of(waiting): waiting for waiting in decode_offer(batch)}
        if any(key in held for key in now):
            for site in self.parts.sites:
                stale = site.queue.remove(lambda ready: now.get(key_of(ready.waiting), ready.waiting) != ready.waiting)
                held.release(ready.waiting for ready in stale)

    async def trace(self, site: str, after: int, seconds: float) -> list[TraceLine]:
        """Trace the SMTP dialogue with a site for ``seconds`` more. Returns its lines numbered above ``after``."""
        tracer = self.parts.tracer
        is_new = not tracer.is_traced(site)
        lines = tracer.follow(site, after, seconds)
        if is_new:
            for known in self.parts.sites:
                if known.destination.site == site:
                    for connection in known.pool.open:
                        connection.observe = observe = tracer.observer(site)
                        if observe is not None:
                            observe("*", f"open to {connection.host} [{connection.address}]")
        return lines
