"""An actor's heartbeat: it reports that this life goes on, learns the members, and gives up destinations to them.

Deliveries queued here for destinations that another member owns now, or that make no progress, are given back.
"""

import asyncio
import logging
import socket

from actors.delivery.giving_back import GivingBack
from actors.delivery.held import HeldDeliveries
from actors.delivery.ledger import Ledger
from actors.delivery.ownership import Ownership
from actors.delivery.site import Site, Withdrawn
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import Sites
from cluster.journal.journal import Unavailable
from cluster.policy.balance.assignment import whole_name
from cluster.policy.routes.routing import Source
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import Router

log = logging.getLogger(__name__)


class Heartbeat:
    def __init__(
        self,
        active_policy: ActivePolicy,
        ownership: Ownership,
        ledger: Ledger,
        held: HeldDeliveries,
        turns: SiteTurns,
        giving_back: GivingBack,
        sites: Sites,
        router: Router,
    ) -> None:
        self._active_policy = active_policy
        self._ownership = ownership
        self._ledger = ledger
        self._held = held
        self._turns = turns
        self._giving_back = giving_back
        self._sites = sites
        self._router = router
        self._acknowledged_at = -1
        """The value of ``Ownership.changes`` when this actor last held only what it owns. Until the next change nothing
        else is queued here."""

    async def run(self) -> None:
        """Beat until the actor stops. Raises Superseded."""
        while True:
            await asyncio.sleep(self._ownership.next_beat_s)
            try:
                await self.beat()
                await self._giving_back.doubtful()
            except Unavailable as error:
                log.warning("heartbeat failed reason=%r", error.reason)
            self._ledger.retry()
            # Look again at sites that could not claim while outcomes piled up or members changed.
            self._turns.look_at_all()

    async def beat(self) -> None:
        """Report that this life goes on, and give back what other members own. Raises Superseded, Unavailable."""
        self._ownership.has(self.local_sources())  # an address may have come, or gone
        await self._ownership.beat({whole_name(site.destination) for site in self._foreign()})
        # Together with the ring: a share of the former number has no owner from now on.
        self._router.assignment = self._ownership.assignment
        self._active_policy.sources_are(member.sources for member in self._ownership.members)
        await self._give_back()

    def local_sources(self) -> tuple[str, ...]:
        """The names of the sources whose addresses this machine has."""
        return tuple(name for name, source in self._active_policy.routing.sources.items() if is_local(source))

    def _foreign(self) -> list[Site]:
        """The sites that another member owns, and of which something is still here."""
        changes = self._ownership.changes
        if self._acknowledged_at == changes:
            return []
        found = [site for site in self._sites if not site.is_idle and not self._ownership.owns(site.destination)]
        if not found:
            self._acknowledged_at = changes
        return found

    async def _give_back(self) -> None:
        """Give back what is queued or claimed for destinations that another member owns now, or that make no progress.
        What is on the wire there is finished."""
        for site in self._foreign():
            site.pool.disconnect()
            await self._giving_back.give_back(Withdrawn(site, site.queue.clear(), site.pool.take_back()))
        for site in self._turns.at_work():
            if back := site.surplus(len(self._held)):
                log.warning("site makes no progress site=%s given_back=%d", site.destination, len(back))
                await self._giving_back.give_back(Withdrawn(site, back, []))


def is_local(source: Source) -> bool:
    """Whether sockets on this machine can be bound to the source's addresses."""
    for address in filter(None, (source.address, source.address6)):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
    return True
