"""Deliveries whose route is not resolved yet: they are held during the DNS lookup, and hold up no others."""

import logging

from actors.delivery.giving_back import GivingBack, Misrouted
from actors.delivery.held import HeldDeliveries
from actors.delivery.site import ReadyDelivery
from actors.delivery.sites import Sites
from cluster.journal.journal import Unavailable
from cluster.journal.records import DueDelivery
from cluster.routing.router import Router
from cluster.tasks import Tasks

log = logging.getLogger(__name__)


class Unresolved:
    """Each is queued at its site as soon as that is known. Deliveries that another actor owns, or that find no room
    here, are released and parked."""

    def __init__(
        self, router: Router, held: HeldDeliveries, sites: Sites, giving_back: GivingBack, tasks: Tasks
    ) -> None:
        self._router = router
        self._held = held
        self._sites = sites
        self._giving_back = giving_back
        self._tasks = tasks
        self._by_domain: dict[str, list[DueDelivery]] = {}
        self._misrouted: Misrouted = []
        self._is_parking = False

    def __len__(self) -> int:
        """How many domains are being resolved."""
        return len(self._by_domain)

    def add(self, waiting: DueDelivery) -> None:
        others = self._by_domain.get(waiting.domain)
        if others is not None:
            others.append(waiting)
            return
        self._by_domain[waiting.domain] = [waiting]
        self._tasks.spawn("arrival", self._learn(waiting.domain))

    async def _learn(self, domain: str) -> None:
        await self._router.learn(domain)
        deliveries = self._by_domain.pop(domain)
        found = [(waiting, await self._router.place(waiting)) for waiting in deliveries]
        misrouted = [
            (waiting, placed.destination)
            for waiting, placed in found
            if not self._sites.queue(ReadyDelivery(waiting, placed.hop), placed.destination)
        ]
        self._held.release(waiting for waiting, _ in misrouted)
        self._misrouted += misrouted
        if self._misrouted and not self._is_parking:
            await self._park_all()

    async def _park_all(self) -> None:
        """Park all misrouted deliveries. Those that come while a statement runs share the next one: in a flood of
        domains, each would cost a statement."""
        self._is_parking = True
        try:
            while self._misrouted:
                misrouted, self._misrouted = self._misrouted, []
                try:
                    await self._giving_back.park(misrouted)
                except Unavailable as error:
                    # Their leases end, and the scheduler finds them.
                    log.warning("arrivals not parked deliveries=%d reason=%r", len(misrouted), error.reason)
        finally:
            self._is_parking = False
