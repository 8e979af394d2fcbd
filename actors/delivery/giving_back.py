"""Giving deliveries back to the journal that are held here and must not be sent from here, or not now.

A queued delivery is parked in the lane of its destination. One that was claimed and not begun is due again at once.
"""

import asyncio
import logging
from collections.abc import Sequence

from actors.delivery.composing import ComposeOrder
from actors.delivery.held import HeldDeliveries, Key, key_of
from actors.delivery.job import Job
from actors.delivery.ownership import Ownership
from actors.delivery.site import Withdrawn
from cluster.journal.journal import Journal
from cluster.journal.records import Claimed, DueDelivery
from cluster.metrics import Counter
from cluster.policy.routes.destinations import Destination

log = logging.getLogger(__name__)

Misrouted = list[tuple[DueDelivery, Destination]]
"""Deliveries whose destination another actor owns, or that find no room at ours."""


class GivingBack:
    unclaimed = Counter("postray_claims_given_back_total", "Deliveries given back that were claimed and not begun.")

    def __init__(self, journal: Journal, ownership: Ownership, held: HeldDeliveries) -> None:
        self._journal = journal
        self._ownership = ownership
        self._held = held
        self._doubtful: set[Key] = set()
        self._unclaiming = asyncio.Lock()
        self._withdrawn: list[Withdrawn] = []

    async def park(self, misrouted: Misrouted) -> None:
        """Park these in the lanes of their destinations. They must not be held here. Raises Unavailable: then they are
        found again when their leases end."""
        lanes = [str(place) for _, place in misrouted]
        await self._journal.scheduling.park([waiting for waiting, _ in misrouted], lanes)

    def later(self, withdrawn: Withdrawn) -> None:
        """Give this back with the next call of ``withdrawn``."""
        self._withdrawn.append(withdrawn)

    async def withdrawn(self) -> None:
        """Give back what was passed to ``later``. Raises Unavailable; the next call tries the rest again."""
        while self._withdrawn:
            await self.give_back(self._withdrawn.pop())

    async def give_back(self, withdrawn: Withdrawn) -> None:
        """Give back deliveries of a site. Raises Unavailable: then queued ones are found again when their leases end,
        and claimed ones are tried again with the next heartbeat."""
        site = withdrawn.site
        deliveries = [ready.waiting for ready in withdrawn.waiting]
        self._held.release(deliveries)
        if withdrawn.jobs:
            for job in withdrawn.jobs:
                site.ended(job.deliveries[0].tenant_id)
            await self.claimed(withdrawn.jobs)
        if deliveries:
            await self._journal.scheduling.park(deliveries, [str(site.destination)] * len(deliveries))

    async def claimed(self, jobs: Sequence[Job | ComposeOrder]) -> None:
        """Give back what was claimed and not begun. Raises Unavailable; the next heartbeat tries again."""
        for job in jobs:
            self.doubt(job.deliveries)
            self._held.large.ended(job.deliveries)
        await self.doubtful()

    def doubt(self, deliveries: Sequence[DueDelivery | Claimed]) -> None:
        """These may be claimed in our name, and must not be sent."""
        self._doubtful.update(map(key_of, deliveries))

    async def doubtful(self) -> None:
        """Give back what claims without an answer may have claimed; otherwise it waits for the end of its lease. It is
        held until then, so it cannot be offered and claimed again meanwhile. Raises Unavailable."""
        # One at a time: once the first has answered, what it gave back may be claimed again, and a second one for the
        # same deliveries, still on its way, would take that claim back while they are sent.
        async with self._unclaiming:
            if doubtful := list(self._doubtful):
                had = await self._journal.queue.unclaim(doubtful, owner=self._ownership.epoch)
                self.unclaimed += had
                log.info("gave back deliveries=%d had=%d", len(doubtful), had)
                self._doubtful.difference_update(doubtful)
                self._held.discard(doubtful)
