"""The deliverer: a delivery actor's whole. It owns the sites that hash to it and brings their mail out.

Work comes in by ``offer``, waits at its site, is claimed in the journal (the fence against cancelling), composed,
sent over the site's connections, and its outcome committed with its events. Everything held here can be rebuilt from
the journal: the process may be killed at any moment.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from actors.delivery.composing import Composer
from actors.delivery.connection import ConnectError
from actors.delivery.connector import Connector
from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.ledger import Ledger
from actors.delivery.outcomes import Circumstances, Committer, dropped, is_ambiguous, tell, utc_now
from actors.delivery.pool import Pool
from actors.delivery.site import Site
from actors.dispatch import ACTOR_ALIVE_S, OfferAnswer, decode_offer
from cluster.journal.paging import Lane
from cluster.journal.records import Claimed, Waiting
from cluster.journal.store import Journal, Unavailable
from cluster.policy.destinations import Destination, destination, existing
from cluster.policy.lifecycle import Status
from cluster.policy.tenure import Tenure
from cluster.settings import DeliverySettings
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

CLAIM_BATCH = 64
CLAIMERS = 2
"""One claims while the other's messages are composed."""
UNCOMMITTED_AT_MOST = 5000
"""With more outcomes waiting for the journal, nothing more is claimed."""
HEARTBEAT_S = 1.0
UNSETTLED_S = 0.1
"""Between heartbeats while members change: until they are settled, destinations wait."""
FENCED_S = ACTOR_ALIVE_S / 2
"""Without a heartbeat for so long nothing more is claimed: others may soon take this actor for dead."""
REFILL_S = 0.05
REFILL_BATCH = 500
UNAVAILABLE_S = 1.0
DRAIN_S = 5.0

Key = tuple[str, int]


class Superseded(Exception):
    """Another life of this actor has begun; this one must end."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(name, epoch)


class Deliverer:
    """``shares``: into how many a site that serves all domains is split."""

    def __init__(
        self,
        name: str,
        node_id: str,
        *,
        settings: DeliverySettings,
        journal: Journal,
        composer: Composer,
        connector: Connector,
        ledger: Ledger,
        random: Callable[[], float],
        shares: int,
        make_tasks: Callable[[], Tasks] = Tasks,
    ) -> None:
        self._name = name
        self._node_id = node_id
        self._settings = settings
        self._journal = journal
        self._composer = composer
        self._connector = connector
        self._random = random
        self._shares = shares
        self._tasks = make_tasks()
        self._ledger = ledger
        self._committer = Committer(journal, ledger)
        self._epoch = 0
        self._tenure = Tenure(name)
        self._beaten_at = -inf
        self._parked: set[Lane] = set()
        self._refill_wanted = asyncio.Event()
        self._rate_timer: asyncio.TimerHandle | None = None
        self._sites: dict[Destination, Site] = {}
        self._held: set[Key] = set()
        self._doubtful: set[Key] = set()
        self._work = asyncio.Event()
        self._stopping = False
        self._problem: str | None = None

    # What other actors call

    async def start(self) -> None:
        """Begin this life, and finish what the last one had left. Raises Unavailable, LedgerInUse, OSError."""
        try:
            await self._committer.settle_former()
            self._epoch, taken_back = await self._journal.register_actor(self._name, self._node_id)
            log.info("started epoch=%d taken_back=%d", self._epoch, taken_back)
            self._committer.begin(self._epoch)
            await self._beat()
        except BaseException:
            # Whoever tries again, perhaps in this process, must be able to open it.
            self._ledger.close()
            raise
        self._tasks.spawn("outcomes", self._committer.run())
        self._tasks.spawn("heartbeat", self._beat_for_ever())
        self._tasks.spawn("refill", self._refill_for_ever())
        for _ in range(CLAIMERS):
            self._tasks.spawn("claiming", self._claim_for_ever())

    async def offer(self, batch: bytes, contents: Mapping[str, Any]) -> OfferAnswer:
        """Take deliveries to wait for their turn; what finds no room is refused. Offering one twice is harmless."""
        self._composer.expect(contents)
        deliveries = decode_offer(batch)
        if self._stopping:
            return OfferAnswer(list(range(len(deliveries))), 0)
        refused = [i for i, waiting in enumerate(deliveries) if not self._take(waiting)]
        self._work.set()
        return OfferAnswer(refused, await self.room())

    async def refill(self, lanes: Sequence[Lane]) -> None:
        """Deliveries are parked in these lanes of ours: take them as there is room."""
        self._parked.update(lanes)
        self._refill_wanted.set()

    async def room(self) -> int:
        """How many more deliveries may wait here."""
        return 0 if self._stopping else max(0, self._settings.window - len(self._held))

    async def problem(self) -> str | None:
        return self._problem or self._ledger.problem

    async def stop(self) -> None:
        """Finish what is on the wire, give back what only waits."""
        self._stopping = True
        try:
            async with asyncio.timeout(DRAIN_S):
                await asyncio.gather(*(site.pool.drain() for site in self._sites.values()))
                await self._committer.flushed()
                await self._journal.retire_actor(self._name, self._epoch)
        except (TimeoutError, Unavailable) as error:
            # The next life takes back what this one leaves.
            log.warning("stopped before everything was finished reason=%r", str(error))
        await self._tasks.stop()
        self._ledger.close()
        self._composer.close()

    # Work that waits

    def _take(self, waiting: Waiting) -> bool:
        key = (waiting.message_id, waiting.recipient_no)
        if key in self._held:
            return True
        if len(self._held) >= self._settings.window or self._committer.holds(*key):
            return False
        place = destination(
            waiting.domain,
            waiting.message_id,
            mode=self._settings.mode,
            relay=self._settings.relay,
            shares=self._shares,
        )
        if not self._tenure.owns(place) or not self._site(place).offer(waiting):
            return False
        self._held.add(key)
        return True

    def _site(self, place: Destination) -> Site:
        site = self._sites.get(place)
        if site is None:
            clock = asyncio.get_running_loop().time
            rate = self._settings.messages_per_s_per_site / place.shares
            site = self._sites[place] = Site(place, clock, self._settings.window, rate, self._make_pool)
        return site

    async def _refill_for_ever(self) -> None:
        while True:
            await self._refill_wanted.wait()
            self._refill_wanted.clear()
            for lane in list(self._parked):
                try:
                    await self._refill_from(lane)
                except Unavailable as error:
                    log.warning("refill failed lane=%s reason=%r", lane.destination, error.reason)
                    await asyncio.sleep(UNAVAILABLE_S)
            await asyncio.sleep(REFILL_S)

    async def _refill_from(self, lane: Lane) -> None:
        """Take from a lane what there is room for. One found empty is forgotten until the scheduler names it again."""
        place = existing(lane.destination, mode=self._settings.mode, relay=self._settings.relay, shares=self._shares)
        if place is None or self._stopping or not self._tenure.owns(place) or self._site(place).is_stalled:
            self._parked.discard(lane)
            return
        limit = min(REFILL_BATCH, await self.room(), self._site(place).room(lane.tenant_id))
        if limit <= 0:
            return
        found = await self._journal.unpark(lane, limit, owner=self._epoch, lease_s=self._settings.lease_s)
        for waiting in found:
            self._take(waiting)
        if len(found) < limit:
            self._parked.discard(lane)
        self._work.set()

    def _make_pool(self, site: Site) -> Pool:
        return Pool(
            limit=site.destination.part_of(self._settings.connections_per_site),
            settings=self._settings,
            tasks=self._tasks,
            connect=lambda: self._connector.connect(site.destination.site),
            report=lambda job, hop, report: self._report(site, job, hop, report),
        )

    # From waiting to the wire

    async def _claim_for_ever(self) -> None:
        while True:
            await self._work.wait()
            wanted = self._next_batch()
            if not wanted:
                self._work.clear()
                self._wake_when_the_rate_allows()
                continue
            try:
                await self._claim(wanted)
                self._problem = None
            except Unavailable as error:
                self._problem = f"journal unavailable: {error.reason}"
                log.warning("claim failed deliveries=%d reason=%r", len(wanted), error.reason)
                await asyncio.sleep(UNAVAILABLE_S)

    def _next_batch(self) -> list[tuple[Site, Waiting]]:
        """Deliveries to claim together, from the sites in turn."""
        if self._stopping or self._committer.uncommitted > UNCOMMITTED_AT_MOST or self._ledger.problem:
            return []
        if self._loop_time() - self._beaten_at > FENCED_S:
            return []
        batch: list[tuple[Site, Waiting]] = []
        for site in list(self._sites.values()):
            if not self._tenure.may_send(site.destination):
                continue
            for _ in range(min(site.wanted(), CLAIM_BATCH - len(batch))):
                batch.append((site, site.take()))
            if len(batch) == CLAIM_BATCH:
                # The site goes to the end, so that the others are served first next time.
                self._sites[site.destination] = self._sites.pop(site.destination)
                break
        return batch

    def _wake_when_the_rate_allows(self) -> None:
        waits = [wait for site in self._sites.values() if (wait := site.rate_wait_s()) > 0]
        if waits:
            if self._rate_timer is not None:
                self._rate_timer.cancel()
            self._rate_timer = asyncio.get_running_loop().call_later(min(waits), self._work.set)

    async def _claim(self, wanted: Sequence[tuple[Site, Waiting]]) -> None:
        sites = {(waiting.message_id, waiting.recipient_no): site for site, waiting in wanted}
        try:
            claimed = await self._journal.claim(
                [waiting for _, waiting in wanted], owner=self._epoch, lease_s=self._settings.sending_lease_s
            )
            self._held -= sites.keys() - set(map(_key, claimed))
            made = await self._prepare(claimed) if claimed else []
        except Unavailable:
            # Claimed or not is unknown. Nobody else takes them up until they are given back.
            self._doubtful |= sites.keys()
            raise
        finally:
            for site in sites.values():
                site.claiming -= 1
        for job in made:
            if isinstance(job, Job):
                self._submit(job, sites)
            else:
                delivery, reason = job
                log.info("dropped message=%s recipient_no=%d reason=%r", *_key(delivery), reason)
                self._finish([delivery])
                self._committer.add([dropped(delivery, reason, utc_now())])

    async def _prepare(self, claimed: Sequence[Claimed]) -> list[Job | tuple[Claimed, str]]:
        """Composed jobs. What is claimed must come to an end, so this waits for the journal as long as it takes."""
        while True:
            try:
                return await self._composer.prepare(claimed)
            except Unavailable as error:
                log.warning("composing waits for the journal deliveries=%d reason=%r", len(claimed), error.reason)
                await asyncio.sleep(UNAVAILABLE_S)

    def _submit(self, job: Job, sites: Mapping[Key, Site]) -> None:
        sites[_key(job.deliveries[0])].pool.submit(job)

    # From the wire to the journal

    def _report(self, site: Site, job: Job, hop: Hop, report: Report) -> None:
        circumstances = Circumstances(
            now=utc_now(),
            jitter=self._random(),
            site=str(site.destination),
            accepted_status=Status.SENT if self._settings.mode == "relay" else Status.DELIVERED,
            retry_schedule_s=self._settings.retry_schedule_s,
        )
        self._committer.add(tell(job, hop, report, circumstances))
        if isinstance(report, ConnectError | NoRoute):
            if self._loop_time() >= site.blocked_until:
                wait = site.failed()
                log.warning("site failed site=%s wait_s=%.0f reason=%r", site.destination, wait, str(report))
                asyncio.get_running_loop().call_later(wait, self._work.set)
        else:
            site.worked()
        if is_ambiguous(report):
            log.warning(
                "connection lost after end of data site=%s message=%s", site.destination, _key(job.deliveries[0])[0]
            )
        site.progressed()
        self._finish(job.deliveries)

    def _finish(self, deliveries: Sequence[Claimed]) -> None:
        self._held.difference_update(map(_key, deliveries))
        self._work.set()
        if self._parked:
            self._refill_wanted.set()

    # Staying alive

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S if self._tenure.settled else UNSETTLED_S)
            try:
                await self._beat()
                await self._give_back_doubtful()
            except Unavailable as error:
                log.warning("heartbeat failed reason=%r", error.reason)
            self._look_after_sites()
            self._ledger.retry()
            # Sites that were blocked, or refused claims while outcomes piled up, are looked at again.
            self._work.set()

    def _look_after_sites(self) -> None:
        for place, site in list(self._sites.items()):
            if site.is_idle:
                del self._sites[place]
            elif not site.pool.outstanding:
                site.progressed()

    async def _give_back_doubtful(self) -> None:
        """Give back what claims without an answer may have claimed: it would wait for the end of its lease. Held until
        then, it cannot have been offered and claimed again. Raises Unavailable."""
        if doubtful := list(self._doubtful):
            had = await self._journal.unclaim(doubtful, owner=self._epoch)
            log.info("gave back deliveries=%d had=%d", len(doubtful), had)
            self._doubtful.difference_update(doubtful)
            self._held.difference_update(doubtful)

    async def _beat(self) -> None:
        """Say that this life goes on, and learn who the members are. Raises Superseded, Unavailable."""
        ring = "" if self._holds_what_is_not_its_own() else self._tenure.ring
        live = await self._journal.seen(self._name, self._epoch, ring, ACTOR_ALIVE_S)
        if live is None:
            raise Superseded(self._name, self._epoch)
        self._beaten_at = self._loop_time()
        former, self._tenure = self._tenure, self._tenure.after(live)
        if self._tenure.members != former.members:
            log.info("members=%s", self._tenure.ring)
        await self._make_way()

    def _holds_what_is_not_its_own(self) -> bool:
        return any(not self._tenure.owns(place) and not site.is_idle for place, site in self._sites.items())

    async def _make_way(self) -> None:
        """Give back what waits for destinations that are another's now, or that make no progress; what is on the wire
        there is finished."""
        given, lanes = [], []
        for place, site in self._sites.items():
            if site.queue and site.is_stalled:
                log.warning("site makes no progress site=%s given_back=%d", place, len(site.queue))
            while site.queue and (site.is_stalled or not self._tenure.owns(place)):
                given.append(site.queue.pop())
                lanes.append(str(place))
        self._held.difference_update((waiting.message_id, waiting.recipient_no) for waiting in given)
        if given:
            await self._journal.park(given, lanes)

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()


def _key(delivery: Claimed) -> Key:
    return delivery.message_id, delivery.recipient_no
