"""Dispatch: which delivery actor owns a delivery, and offering it to that actor.

The scheduler uses it for the deliveries that it reads from the journal, the API process for those that it has just
accepted. It does not wait for delivery and does not retry offers: a delivery whose offer is refused or lost stays in
the journal, where the scheduler finds it.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DeliveryActor, DueDelivery
from cluster.journal.scheduling import Lane
from cluster.metrics import Counter, Counters, Gauge
from cluster.peers import Call, PeerGone, call_within
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import ACTOR_ALIVE_S, NO_RING, make_ring
from cluster.policy.routes.ownership import Candidate
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.assignments import Assignments
from cluster.routing.offer import OfferAnswer, Shared, encode_offer
from cluster.routing.router import Router

log = logging.getLogger(__name__)

ANSWER_S = 10.0
"""How long an owner may take to answer. One that has been silent for so long counts as dead."""
REFRESH_S = 1.0
TELL_S = 0.1
"""Interval at which owners are notified of lanes with parked deliveries."""
PREPARED_WITHIN_S = 0.1
"""How long an offer waits for DNS answers. A delivery whose domain is still unresolved is offered to the owner of the
domain's name, which waits for the answer."""
OWNERS_KEPT = 100_000
FULL_S = 0.25
"""How long a refused lane, or an owner without room for a tenant, counts as full: deliveries for it are parked without
an offer. The owner has work for longer than that. It knows that the lane has deliveries, or is notified within
``TELL_S``, since they may be the tenant's only mail."""


class Dispatcher:
    """Finds the owner of each destination among the live delivery actors, and offers deliveries to owners."""

    offers = Counters(
        "postray_offers_total",
        "Deliveries offered to their owners; an owner without room refuses, one that is gone has lost them.",
        "result",
        ("taken", "refused", "lost"),
    )
    parked = Counter("postray_offers_parked_total", "Deliveries parked in their lanes, for which no owner had room.")
    members_known = Gauge(
        "postray_dispatch_members", "Live delivery actors known to this process.", lambda self: len(self._members)
    )

    def __init__(self, journal: Journal, call: Call, router: Router, active_policy: ActivePolicy) -> None:
        self._journal = journal
        self._call = call
        self._router = router
        self._active_policy = active_policy
        self._members: dict[str, DeliveryActor] = {}
        self._assignments = Assignments(journal)
        self.ring = NO_RING
        self.owners: OrderedDict[Destination, str | None] = OrderedDict()
        """The names of owners by destination; None where no live actor has the source."""
        self._full: dict[tuple[str, str], float] = {}
        """By owner and tenant, the loop time until which the owner counts as full for the tenant."""
        self._unannounced: dict[str, set[Lane]] = defaultdict(set)
        """By owner, the lanes with parked deliveries of which it has not been notified."""
        self._passed: dict[str, set[Lane]] = defaultdict(set)
        """By owner, the lanes in which deliveries are being parked without an offer. The owner is notified after the
        commit: an owner that reads an empty lane too early forgets the lane."""

    @property
    def members(self) -> Iterable[DeliveryActor]:
        return self._members.values()

    async def refresh(self) -> None:
        """Read the live delivery actors and the active policy from the journal. Raises Unavailable."""
        await self._active_policy.follow()
        actors, version = await self._journal.membership.owners(ACTOR_ALIVE_S)
        assignment = await self._assignments.follow(version)
        members = {actor.name: actor for actor in actors}
        if members.keys() != self._members.keys():
            log.info("members changed members=%s", ",".join(members) or "none")
        ring = make_ring([Candidate(actor.name, actor.sources) for actor in actors], assignment)
        if ring.name != self.ring.name:
            self.owners.clear()
        self._members, self.ring, self._router.assignment = members, ring, assignment
        self._active_policy.sources_are(actor.sources for actor in actors)

    async def keep_fresh(self) -> None:
        """Refresh, and notify owners of parked deliveries; runs until it is cancelled."""
        clock = asyncio.get_running_loop().time
        refresh_at = 0.0
        while True:
            if clock() >= refresh_at:
                try:
                    await self.refresh()
                except Unavailable as error:
                    log.warning("members not refreshed reason=%r", error.reason)
                refresh_at = clock() + REFRESH_S
            await self.tell_owners()
            await asyncio.sleep(TELL_S)

    async def tell_owners(self) -> None:
        """Notify owners of the lanes with parked deliveries."""
        unannounced, self._unannounced = self._unannounced, defaultdict(set)
        await self.name_lanes(unannounced)

    async def name_lanes(self, by_owner: Mapping[str, Iterable[Lane]]) -> None:
        """Tell owners which of their lanes hold something."""
        for name, lanes in by_owner.items():
            try:
                await call_within(ANSWER_S, self._call, name, "fetch_from_lanes", list(lanes))
            except PeerGone as gone:
                log.warning("lanes not named actor=%s reason=%r", name, gone.reason)

    async def prepare(self, deliveries: Iterable[DueDelivery]) -> None:
        """Resolve the routes of deliveries, within the time that an offer may wait."""
        await self._router.prepare(deliveries, PREPARED_WITHIN_S)

    def destination_of(self, waiting: DueDelivery) -> Destination:
        """The known destination of a delivery; for an unresolved domain, that of its name (the owner resolves it)."""
        return self._router.known_or_own(waiting)

    def lane_of(self, waiting: DueDelivery) -> Lane:
        """The lane in which a delivery waits when its owner has no room for it."""
        return Lane(str(self.destination_of(waiting)), waiting.tenant_id)

    def exists(self, place: Destination) -> bool:
        """Whether deliveries can still have this destination: its number of shares is current, its source is used."""
        return place.shares == self._router.shares_of(place.site, place.source) and self._active_policy.uses(
            place.source
        )

    def has_left(self, waiting: DueDelivery, lane: Lane) -> bool:
        """Whether a delivery in a lane is known to have another destination now."""
        placed = self._router.known(waiting)
        return placed is not None and str(placed.destination) != lane.destination

    def owner_of(self, place: Destination) -> DeliveryActor | None:
        """The owner of a destination; None when no delivery actor can send to it."""
        if place in self.owners:
            self.owners.move_to_end(place)
            name = self.owners[place]
        else:
            name = self.owners[place] = self.ring.owner(place)
            if len(self.owners) > OWNERS_KEPT:
                self.owners.popitem(last=False)
        return self._members[name] if name is not None else None

    def is_backing_off(self, owner: DeliveryActor, place: Destination, tenant_id: str) -> bool:
        """Whether an owner had no room for a tenant within the last ``FULL_S``. The caller then parks the tenant's
        deliveries for this destination without an offer, and the owner is notified of the lane soon: another offer
        would cost the owner as much as the last one and delay the caller. This is decided by owner and tenant, since a
        tenant that holds little may have room where others do not."""
        if asyncio.get_running_loop().time() >= self._full.get((owner.name, tenant_id), 0.0):
            return False
        self.pass_by(owner, Lane(str(place), tenant_id))
        return True

    def pass_by(self, owner: DeliveryActor, lane: Lane) -> None:
        """Note that deliveries are being parked in an owner's lane without an offer; ``park`` follows."""
        self._passed[owner.name].add(lane)

    async def offer(
        self,
        deliveries: Sequence[DueDelivery],
        contents: Mapping[str, Shared],
        hurry: asyncio.Event | None = None,
    ) -> list[DueDelivery]:
        """Offer deliveries to their owners; returns those that were refused, not offered, or whose offer was lost.

        ``contents`` has shared contents by request id, which the owners await instead of reading the journal. Once
        ``hurry`` is set, an offer without an answer counts as lost.
        """
        await self.prepare(deliveries)
        by_owner: dict[str, list[DueDelivery]] = defaultdict(list)
        unowned = []
        for waiting in deliveries:
            place = self.destination_of(waiting)
            to = self.owner_of(place)
            if to is None or self.is_backing_off(to, place, waiting.tenant_id):
                unowned.append(waiting)
            else:
                by_owner[to.name].append(waiting)
        call = self._call if hurry is None else partial(_call_until, hurry, self._call)
        refused = await asyncio.gather(*(self._offer_to(call, name, own, contents) for name, own in by_owner.items()))
        return [waiting for some in (unowned, *refused) for waiting in some]

    async def park(self, refused: Sequence[DueDelivery]) -> list[Lane]:
        """Park refused deliveries in their lanes, and return the lanes. Owners are then notified of these lanes and of
        those that ``pass_by`` has noted. Raises Unavailable."""
        lanes = [self.lane_of(waiting) for waiting in refused]
        if refused:
            await self._journal.scheduling.park(refused, [lane.destination for lane in lanes])
            self.parked += len(refused)
        for lane, waiting in dict(zip(lanes, refused, strict=True)).items():
            # Owners that refused are notified too: they may have read the lane before the delivery was parked.
            if (to := self.owner_of(self.destination_of(waiting))) is not None:
                self._passed[to.name].add(lane)
        passed, self._passed = self._passed, defaultdict(set)
        for name, its in passed.items():
            self._unannounced[name] |= its
        return lanes

    async def _offer_to(
        self, call: Call, name: str, deliveries: list[DueDelivery], contents: Mapping[str, Shared]
    ) -> list[DueDelivery]:
        try:
            answer: OfferAnswer = await call_within(
                ANSWER_S, call, name, "offer", encode_offer(deliveries), dict(contents)
            )
        except PeerGone as gone:
            log.warning("offer lost actor=%s deliveries=%d reason=%r", name, len(deliveries), gone.reason)
            self.offers["lost"] += len(deliveries)
            return deliveries
        refused = [deliveries[i] for i in answer.refused]
        self.offers["refused"] += len(refused)
        self.offers["taken"] += len(deliveries) - len(refused)
        if refused and not answer.room:
            now = asyncio.get_running_loop().time()
            self._full = {full: until for full, until in self._full.items() if until > now}
            self._full.update(((name, waiting.tenant_id), now + FULL_S) for waiting in refused)
        return refused


async def _call_until(hurry: asyncio.Event, call: Call, actor: str, method: str, *arguments: Any) -> Any:
    """The result of a call. Raises PeerGone also when there is none by the time that ``hurry`` is set."""
    calling = asyncio.ensure_future(call(actor, method, *arguments))
    hurried = asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait((calling, hurried), return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise PeerGone(actor, "no answer yet, and paging ends")
        return calling.result()
    finally:
        calling.cancel()
        hurried.cancel()
