"""From waiting to the wire: deliveries are claimed in the journal, many together, composed, and given to their site.

The claim is the fence: what the journal does not return was cancelled, is finished or is in other hands.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from actors.delivery.committer import Committer
from actors.delivery.composing import Composer, Made, Order
from actors.delivery.held import HeldDeliveries, Key
from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.large import LargeMessages
from actors.delivery.outcomes import dropped, utc_now
from actors.delivery.ownership import Ownership
from actors.delivery.put_off import PutOff
from actors.delivery.site import Site
from actors.delivery.sites import Sites, Taken
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Claimed, Waiting
from cluster.policy.routes.next_hop import Unreachable

log = logging.getLogger(__name__)

BATCH = 64
"""Transactions claimed for together."""
BATCH_DELIVERIES = 512
"""Of which no more are begun with so many deliveries: one message may have hundreds of recipients, and what is claimed
together waits for each other."""
UNCOMMITTED_AT_MOST = 5000
"""With more outcomes waiting for the journal, nothing more is claimed; for tenants that hold little, with twice as
many."""
UNAVAILABLE_S = 1.0

OnReport = Callable[[Site, Job, Hop, Report], None]


def key_of(delivery: Waiting | Claimed) -> Key:
    return delivery.message_id, delivery.recipient_no


class Claims:
    """Every delivery that is held in memory, from its offer to its end, and the loop that claims them.

    ``may_claim``: whether anything may be claimed now. ``put_off`` knows with which host a job begins. ``report`` takes
    what became of a job that found no next hop, ``take_again`` deliveries that were offered anew while a claim missed
    them.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        composer: Composer,
        committer: Committer,
        ownership: Ownership,
        sites: Sites,
        put_off: PutOff,
        work: asyncio.Event,
        light_work: asyncio.Event,
        may_claim: Callable[[], bool],
        lease_s: float,
        report: OnReport,
        take_again: Callable[[Sequence[Waiting]], Awaitable[None]],
        held: HeldDeliveries,
    ) -> None:
        self.held = held
        self.problem: str | None = None
        self._journal = journal
        self._composer = composer
        self._committer = committer
        self._ownership = ownership
        self._sites = sites
        self._put_off = put_off
        self._work = work
        self._light_work = light_work
        self._may_claim = may_claim
        self._lease_s = lease_s
        self._report = report
        self._take_again = take_again
        self._claiming: dict[Key, Waiting | None] = {}
        """What is being claimed, and what was offered of it meanwhile."""
        self._doubtful: set[Key] = set()
        self.large = LargeMessages(composer.compose_large, self._hand_over)

    def offered_again(self, waiting: Waiting) -> None:
        """A delivery that is held was offered once more. The claim that is under way may miss it: whoever offers has
        its row in hand until then, and knows that we have it from now on."""
        key = key_of(waiting)
        if key in self._claiming:
            self._claiming[key] = waiting

    def release(self, deliveries: Iterable[Waiting | Claimed]) -> None:
        """These are held no more."""
        deliveries = list(deliveries)
        self.held.discard(map(key_of, deliveries))
        self.large.ended(deliveries)

    async def run(self, *, light_only: bool = False) -> None:
        """Claim until the actor stops. ``light_only``: only what light tenants have (see Sites)."""
        work = self._light_work if light_only else self._work
        while True:
            await work.wait()
            taken = self._next(light_only=light_only)
            if not taken:
                work.clear()
                continue
            try:
                await self._claim(taken)
                self.problem = None
            except Unavailable as error:
                self.problem = f"journal unavailable: {error.reason}"
                log.warning("claim failed transactions=%d reason=%r", len(taken), error.reason)
                await asyncio.sleep(UNAVAILABLE_S)
            del taken  # or their sites are held on to for as long as there is nothing more to claim

    def _next(self, *, light_only: bool = False) -> list[Taken]:
        uncommitted = self._committer.uncommitted
        if not self._may_claim() or uncommitted > 2 * UNCOMMITTED_AT_MOST or self._ownership.is_fenced:
            return []
        light_only = light_only or uncommitted > UNCOMMITTED_AT_MOST
        return self._sites.next_batch(BATCH, BATCH_DELIVERIES, self._ownership.may_send, light_only=light_only)

    async def _claim(self, taken: Sequence[Taken]) -> None:
        wanted = [ready.waiting for one in taken for ready in one.deliveries]
        try:
            by_key, again = await self._claimed(wanted)
            groups = [
                tuple(by_key[key] for ready in one.deliveries if (key := key_of(ready.waiting)) in by_key)
                for one in taken
            ]
            for one, group in zip(taken, groups, strict=True):
                one.site.claim_missed(len(one.deliveries) - len(group))
            if again:
                await self._take_again(again)
            orders = await self._gathered(groups)
        except Unavailable:
            # Claimed or not is unknown. Nobody else takes them up until they are given back.
            self._doubtful.update(map(key_of, wanted))
            for one in taken:
                self._forget(one)
            raise
        small = []
        for one, order in zip(taken, orders, strict=True):
            if order is not None and order.is_large:
                self.large.add(one, order)
            else:
                small.append((one, order))
        waiting = iter(small)
        async for made in self._composer.compose([order for _, order in small]):
            self._hand_over(next(waiting)[0], made)

    async def _claimed(self, wanted: Sequence[Waiting]) -> tuple[dict[Key, Claimed], list[Waiting]]:
        """What the journal gives us of these, and what it does not, but was offered meanwhile. Raises Unavailable."""
        self._claiming.update((key_of(waiting), None) for waiting in wanted)
        offered: list[Waiting | None] = []
        try:
            claimed = await self._journal.queue.claim(wanted, owner=self._ownership.epoch, lease_s=self._lease_s)
        finally:
            offered += (self._claiming.pop(key_of(waiting)) for waiting in wanted)
        by_key = {key_of(delivery): delivery for delivery in claimed}
        self.release(waiting for waiting in wanted if key_of(waiting) not in by_key)
        return by_key, [waiting for waiting in offered if waiting is not None and key_of(waiting) not in by_key]

    async def _gathered(self, groups: Sequence[tuple[Claimed, ...]]) -> list[Order | None]:
        """What composing takes. What is claimed must come to an end, so this waits for the journal as long as it
        takes."""
        while True:
            try:
                return await self._composer.gather(groups)
            except Unavailable as error:
                log.warning("composing waits for the journal messages=%d reason=%r", len(groups), error.reason)
                await asyncio.sleep(UNAVAILABLE_S)

    def _hand_over(self, taken: Taken, made: Made) -> None:
        site, hop = taken.site, taken.deliveries[0].hop
        jobs = [job for job in made if isinstance(job, Job)]
        for delivery, reason in (fault for fault in made if not isinstance(fault, Job)):
            log.info("dropped message=%s recipient_no=%d reason=%r", *key_of(delivery), reason)
            self.release([delivery])
            self._committer.add([dropped(delivery, reason, utc_now())])
        if not jobs:
            self._forget(taken)
            return
        site.claimed()
        for job in jobs:
            if isinstance(hop, Unreachable):
                self._report(site, job, Hop(), NoRoute.of(hop))
            else:
                site.pool.submit(self._put_off.hop_for(job, hop), job)

    def _forget(self, taken: Taken) -> None:
        taken.site.claimed()
        taken.site.ended(taken.deliveries[0].waiting.tenant_id)
        self._sites.look_at(taken.site)

    async def give_back_doubtful(self) -> None:
        """Give back what claims without an answer may have claimed: it would wait for the end of its lease. Held until
        then, it cannot have been offered and claimed again. Raises Unavailable."""
        if doubtful := list(self._doubtful):
            had = await self._journal.queue.unclaim(doubtful, owner=self._ownership.epoch)
            log.info("gave back deliveries=%d had=%d", len(doubtful), had)
            self._doubtful.difference_update(doubtful)
            self.held.discard(doubtful)

    async def give_back(self, jobs: Sequence[Job | Order]) -> None:
        """Give back what was claimed and not begun. Raises Unavailable; it is tried again with the next heartbeat."""
        for job in jobs:
            self._doubtful.update(map(key_of, job.deliveries))
            self.large.ended(job.deliveries)
        await self.give_back_doubtful()
