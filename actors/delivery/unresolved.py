"""Deliveries whose way is not known yet: held while the DNS is asked, so that nobody waits for a slow name server."""

import logging
from collections.abc import Awaitable, Callable, Iterable

from actors.delivery.site import Ready
from cluster.journal.journal import Unavailable
from cluster.journal.records import Waiting
from cluster.policy.routes.destinations import Destination
from cluster.routing.router import Placer
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

Misrouted = list[tuple[Waiting, Destination]]
"""Deliveries of others' destinations, or without room at ours."""


class Unresolved:
    """``take`` lets deliveries wait at their sites, and returns those that cannot wait here; ``park`` gives these back
    to the journal. May raise Unavailable."""

    def __init__(
        self,
        placer: Placer,
        tasks: Tasks,
        take: Callable[[Iterable[tuple[Ready, Destination]]], Misrouted],
        park: Callable[[Misrouted], Awaitable[None]],
    ) -> None:
        self._placer = placer
        self._tasks = tasks
        self._take = take
        self._park = park
        self._by_domain: dict[str, list[Waiting]] = {}
        self._misrouted: Misrouted = []
        self._is_parking = False

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
        self._misrouted += self._take([(Ready(waiting, placed.hop), placed.destination) for waiting, placed in found])
        if self._misrouted and not self._is_parking:
            await self._park_all()

    async def _park_all(self) -> None:
        """What comes while the journal is busy with the former is parked together: of a flood of domains, each would
        cost a statement."""
        self._is_parking = True
        try:
            while self._misrouted:
                misrouted, self._misrouted = self._misrouted, []
                try:
                    await self._park(misrouted)
                except Unavailable as error:
                    # Their leases end, and the scheduler finds them.
                    log.warning("arrivals not parked deliveries=%d reason=%r", len(misrouted), error.reason)
        finally:
            self._is_parking = False
