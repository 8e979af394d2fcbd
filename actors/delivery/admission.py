"""Which deliveries this actor holds, of those offered to it and those leased from lanes."""

from collections.abc import Sequence

from actors.delivery.committer import Committer
from actors.delivery.giving_back import GivingBack
from actors.delivery.held import HeldDeliveries, key_of
from actors.delivery.lanes import OwnLanes
from actors.delivery.ownership import Ownership
from actors.delivery.site import ReadyDelivery
from actors.delivery.sites import Sites
from actors.delivery.unresolved import Unresolved
from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane
from cluster.routing.router import RoutedDelivery, Router


class Admission:
    """``committer`` knows which deliveries have an outcome that is not committed yet."""

    def __init__(
        self,
        router: Router,
        ownership: Ownership,
        committer: Committer,
        held: HeldDeliveries,
        lanes: OwnLanes,
        giving_back: GivingBack,
        sites: Sites,
        unresolved: Unresolved,
    ) -> None:
        self._router = router
        self._ownership = ownership
        self._committer = committer
        self._held = held
        self._lanes = lanes
        self._giving_back = giving_back
        self._sites = sites
        self._unresolved = unresolved

    def offer(self, waiting: DueDelivery) -> bool:
        """Hold a delivery unless others are queued before it. The actor that offered it parks a refused one, so its
        lane is noted here and fetched from as soon as there is room."""
        placed = self._router.known(waiting)
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

    async def hold_or_park(self, deliveries: Sequence[DueDelivery]) -> None:
        """Hold these deliveries. Park those that have another route now or find no room. Raises Unavailable."""
        misrouted = [waiting for waiting in deliveries if not self._take(waiting, self._router.known(waiting))]
        if misrouted:
            await self._giving_back.park([(waiting, self._router.known_or_own(waiting)) for waiting in misrouted])

    def _take(self, waiting: DueDelivery, placed: RoutedDelivery | None) -> bool:
        """Hold a delivery if it is ours and there is room. One without a known route is held while it is resolved."""
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
        return self._sites.queue(ReadyDelivery(waiting, placed.hop), placed.destination)
