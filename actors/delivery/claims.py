"""From the queue to the wire: deliveries are claimed in the journal in batches, composed, and submitted to their site.

The claim is the fence: a delivery that the journal does not return was cancelled, is finished or has another owner.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from actors.delivery.admission import Admission
from actors.delivery.committer import Committer
from actors.delivery.composing import ComposeOrder, Composer
from actors.delivery.giving_back import GivingBack
from actors.delivery.handing_over import HandingOver
from actors.delivery.held import HeldDeliveries, Key, key_of
from actors.delivery.large import LargeMessages
from actors.delivery.ledger import Ledger
from actors.delivery.outcomes import suppressed, utc_now
from actors.delivery.ownership import Ownership
from actors.delivery.site_turns import SiteTurns, Taken
from actors.delivery.strain import Strain
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Claimed, DueDelivery
from cluster.metrics import Counter, Histogram

log = logging.getLogger(__name__)

BATCH = 64
"""Transactions in one claim."""
BATCH_DELIVERIES = 512
"""A claim with this many deliveries takes no further transactions: one message may have hundreds of recipients, and all
deliveries of a claim wait for each other."""
UNCOMMITTED_AT_MOST = 5000
"""With more uncommitted outcomes nothing more is claimed. For tenants that hold few deliveries the limit is twice as
high."""
UNAVAILABLE_S = 1.0


class Claims:
    """The loops that claim the deliveries of sites, in turn, and compose them."""

    claimed = Counter("postray_claims_claimed_total", "Deliveries claimed, to be sent.")
    missed = Counter(
        "postray_claims_missed_total", "Deliveries that claims did not get: cancelled, finished, or in other hands."
    )
    suppressed = Counter("postray_suppressed_total", "Claimed deliveries whose recipient is on a suppression list.")
    claims = Histogram(
        "postray_claims_deliveries_per_claim", "Deliveries in a claim.", (1, 2, 5, 10, 20, 50, 100, 200, 500)
    )

    def __init__(
        self,
        journal: Journal,
        composer: Composer,
        committer: Committer,
        ledger: Ledger,
        ownership: Ownership,
        held: HeldDeliveries,
        turns: SiteTurns,
        giving_back: GivingBack,
        admission: Admission,
        handing_over: HandingOver,
        large: LargeMessages,
        strain: Strain,
        *,
        lease_s: float,
    ) -> None:
        self.problem: str | None = None
        self._journal = journal
        self._composer = composer
        self._committer = committer
        self._ledger = ledger
        self._ownership = ownership
        self._held = held
        self._turns = turns
        self._giving_back = giving_back
        self._admission = admission
        self._handing_over = handing_over
        self._large = large
        self._strain = strain
        self._lease_s = lease_s

    async def run(self, *, light_only: bool = False) -> None:
        """Claim until the actor stops. ``light_only``: only for light tenants (site_turns.py)."""
        work = self._turns.light_work if light_only else self._turns.work
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
            del taken  # otherwise their sites stay referenced until there is something more to claim

    def _next(self, *, light_only: bool = False) -> list[Taken]:
        uncommitted = self._committer.uncommitted
        if self._held.is_closed or self._ledger.problem or uncommitted > 2 * UNCOMMITTED_AT_MOST:
            return []
        if self._ownership.is_fenced:
            return []
        light_only = light_only or uncommitted > UNCOMMITTED_AT_MOST
        return self._turns.next_batch(BATCH, BATCH_DELIVERIES, self._ownership.may_send, light_only=light_only)

    async def _claim(self, taken: Sequence[Taken]) -> None:
        wanted = [ready.waiting for one in taken for ready in one.deliveries]
        try:
            by_key, offered = await self._claimed(wanted)
            groups = [
                tuple(by_key[key] for ready in one.deliveries if (key := key_of(ready.waiting)) in by_key)
                for one in taken
            ]
            for one, group in zip(taken, groups, strict=True):
                one.site.claim_missed(len(one.deliveries) - len(group))
                if group:
                    self._strain.begins(one.site, group)
            if again := [waiting for waiting in offered if key_of(waiting) not in by_key]:
                await self._admission.hold_or_park(again)
            orders = await self._gathered(groups)
        except Unavailable:
            # It is unknown whether they were claimed. No other actor takes them until they are given back.
            self._giving_back.doubt(wanted)
            for one in taken:
                self._handing_over.forget(one)
            raise
        small = []
        for one, order in _by_transaction(taken, orders):
            if order is not None and order.is_large:
                self._large.add(one, order)
            else:
                small.append((one, order))
        waiting = iter(small)
        async for made in self._composer.compose([order for _, order in small]):
            self._handing_over.take(next(waiting)[0], made)

    async def _claimed(self, wanted: Sequence[DueDelivery]) -> tuple[dict[Key, Claimed], list[DueDelivery]]:
        """The deliveries that were claimed to be sent, and those that were offered again meanwhile. Raises
        Unavailable."""
        self._held.claiming(wanted)
        offered: list[DueDelivery] = []
        try:
            claimed = await self._journal.queue.claim(wanted, owner=self._ownership.epoch, lease_s=self._lease_s)
        finally:
            offered += self._held.claim_ended(wanted)
        self.claims.observe(len(wanted))
        self.claimed += len(claimed)
        self.missed += len(wanted) - len(claimed)
        by_key = {key_of(delivery): delivery for delivery in claimed if delivery.suppression is None}
        if len(by_key) < len(claimed):
            self._end_suppressed(claimed)
        self._held.release(waiting for waiting in wanted if key_of(waiting) not in by_key)
        return by_key, offered

    def _end_suppressed(self, claimed: Sequence[Claimed]) -> None:
        """End those that are suppressed. To their sites it is as if the claim had missed them."""
        now = utc_now()
        ended = [suppressed(one, one.suppression, now) for one in claimed if one.suppression is not None]
        self.suppressed += len(ended)
        self._committer.add(ended)

    async def _gathered(self, groups: Sequence[tuple[Claimed, ...]]) -> list[ComposeOrder | None]:
        """The order for each group. A claimed delivery must be finished, so this waits for the journal without a
        timeout."""
        while True:
            try:
                return await self._composer.gather(groups)
            except Unavailable as error:
                log.warning("composing waits for the journal messages=%d reason=%r", len(groups), error.reason)
                await asyncio.sleep(UNAVAILABLE_S)


def _by_transaction(
    taken: Sequence[Taken], orders: Sequence[ComposeOrder | None]
) -> Iterator[tuple[Taken, ComposeOrder | None]]:
    """What was taken, with its order. If each recipient gets a copy, the order is split: each copy is composed and sent
    by itself."""
    for one, order in zip(taken, orders, strict=True):
        if order is None or not order.is_for_each:
            yield one, order
            continue
        ready_of = {key_of(ready.waiting): ready for ready in one.deliveries}
        copies = order.copies()
        one.site.taken_apart(len(copies), order.deliveries[0].tenant_id)
        for copy in copies:
            yield Taken(one.site, [ready_of[key_of(copy.deliveries[0])]]), copy
