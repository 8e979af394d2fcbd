"""Deliveries whose way is not known yet: held while the DNS is asked, so that nobody waits for a slow name server."""

import logging
from collections.abc import Awaitable, Callable, Iterable

from actors.delivery.site import Ready
from actors.placing import Placer
from cluster.journal.records import Waiting
from cluster.journal.store import Unavailable
from cluster.policy.destinations import Destination
from cluster.tasks import Tasks

log = logging.getLogger(__name__)


class Arrivals:
    """``placed`` takes deliveries with their way."""

    def __init__(
        self,
        placer: Placer,
        tasks: Tasks,
        placed: Callable[[Iterable[tuple[Ready, Destination]]], Awaitable[None]],
    ) -> None:
        self._placer = placer
        self._tasks = tasks
        self._placed = placed
        self._by_domain: dict[str, list[Waiting]] = {}

    def add(self, waiting: Waiting) -> None:
        others = self._by_domain.get(waiting.domain)
        if others is not None:
            others.append(waiting)
            return
        self._by_domain[waiting.domain] = [waiting]
        self._tasks.spawn("arrival", self._learn(waiting.domain))

    async def _learn(self, domain: str) -> None:
        await self._placer.learn(domain)
        deliveries = self._by_domain.pop(domain)
        found = [(waiting, await self._placer.place(waiting)) for waiting in deliveries]
        try:
            await self._placed([(Ready(waiting, placed.hop), placed.destination) for waiting, placed in found])
        except Unavailable as error:
            # Their leases end, and the scheduler finds them.
            log.warning("arrivals not parked domain=%s deliveries=%d reason=%r", domain, len(found), error.reason)
