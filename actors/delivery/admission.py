"""Which of the deliveries that are brought to this actor are held here: offered ones, and those taken from lanes."""

from collections.abc import Sequence

from actors.delivery.committer import Committer
from actors.delivery.giving_back import GivingBack
from actors.delivery.held import HeldDeliveries, key_of
from actors.delivery.lanes import Lanes
from actors.delivery.ownership import Ownership
from actors.delivery.site import Ready
from actors.delivery.sites import Sites
from actors.delivery.unresolved import Unresolved
from cluster.journal.records import Waiting
from cluster.journal.scheduling import Lane
from cluster.routing.router import Placed, Placer


class Admission:
    """``committer`` knows which deliveries have an outcome already."""

    def __init__(
        self,
        placer: Placer,
        ownership: Ownership,
        committer: Committer,
        held: HeldDeliveries,
        lanes: Lanes,
        giving_back: GivingBack,
        sites: Sites,
        unresolved: Unresolved,
    ) -> None:
        self._placer = placer
        self._ownership = ownership
        self._committer = committer
        self._held = held
        self._lanes = lanes
        self._giving_back = giving_back
        self._sites = sites
        self._unresolved = unresolved

    def offer(self, waiting: Waiting) -> bool:
        """Hold a delivery unless others wait before it. One that is refused is parked by the actor that offered it:
        there is something to take as soon as there is room."""
        placed = self._placer.known(waiting)
        lane = None
        if placed is not None and self._ownership.owns(placed.destination):
            lane = Lane(str(placed.destination), waiting.tenant_id)
        held = self._held
        goes = lane is None or not self._lanes.goes_before(lane, is_short=not held.has_few_of(waiting.tenant_id))
        if (goes or key_of(waiting) in held) and self._take(waiting, placed):
            return True
        if lane is not None:
            self._lanes.expect(lane)
        return False

    async def hold_or_park(self, deliveries: Sequence[Waiting]) -> None:
        """Take what has been given to us; park what has another route by now, or came too late for the room. Raises
        Unavailable."""
        misrouted = [waiting for waiting in deliveries if not self._take(waiting, self._placer.known(waiting))]
        if misrouted:
            await self._giving_back.park([(waiting, self._placer.known_or_own(waiting)) for waiting in misrouted])

    def _take(self, waiting: Waiting, placed: Placed | None) -> bool:
        """Hold a delivery, if there is room for it and it is ours. One whose route is not known is held until it is."""
        key = key_of(waiting)
        if key in self._held:
            self._held.offered_again(waiting)
            return True
        if not self._held.has_room_for(waiting.tenant_id) or self._committer.holds(*key):
            return False
        if placed is None:
            self._held.add(key, waiting.tenant_id)
            self._unresolved.add(waiting)
            return True
        return self._sites.queue(Ready(waiting, placed.hop), placed.destination)
