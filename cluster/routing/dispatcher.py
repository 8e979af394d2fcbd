"""Dispatch: which delivery actor owns a delivery, and offering it to that actor.

Used by the scheduler for what it pages in and by the API process for what it has just accepted. Never waits for
delivery and never insists: an offer that is refused or lost stays in the journal, where the scheduler finds it.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DeliveryActor, Waiting
from cluster.journal.scheduling import Lane
from cluster.peers import Call, PeerGone
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.policy.routes.ownership import Candidate, owner
from cluster.routing.active_policy import InForce
from cluster.routing.offer import OfferAnswer, Shared, encode_offer
from cluster.routing.router import Placer

log = logging.getLogger(__name__)

REFRESH_S = 1.0
TELL_S = 0.1
"""Between two times that owners are told what is parked for them, where anything is."""
PREPARED_WITHIN_S = 0.1
"""How long an offer waits for the next answer of the DNS: what takes longer goes to whoever owns the domain by its
name, who waits for it."""
OWNERS_KEPT = 100_000
FULL_S = 0.25
"""A lane that was refused, and an owner without any room for a tenant, are taken to be full for this long: what comes
for them is parked without an offer. Its owner has work for longer than that; it knows that it is to look there, or is
told within ``TELL_S``: it may be the only mail of its tenant."""


class Dispatcher:
    """Knows the live delivery actors, and with that the owner of every destination."""

    def __init__(self, journal: Journal, call: Call, placer: Placer, in_force: InForce) -> None:
        self._journal = journal
        self._call = call
        self._placer = placer
        self._in_force = in_force
        self._members: dict[str, DeliveryActor] = {}
        self._candidates: tuple[Candidate, ...] = ()
        self._owners: OrderedDict[Destination, str | None] = OrderedDict()
        self._full: dict[tuple[str, str], float] = {}
        """By owner and tenant, until when (loop time) it is taken to have no room for more of the tenant's."""
        self._untold: dict[str, set[Lane]] = defaultdict(set)
        """By owner, the lanes in which something has been parked."""
        self._passed: dict[str, set[Lane]] = defaultdict(set)
        """By owner, the lanes in which something is being parked that it was not offered. It is told when that is
        done: an owner who looks too early finds an empty lane, and forgets it."""

    @property
    def members(self) -> Iterable[DeliveryActor]:
        return self._members.values()

    async def refresh(self) -> None:
        """Learn which delivery actors are alive, and which policies are in force. Raises Unavailable."""
        await self._in_force.follow()
        members = {actor.name: actor for actor in await self._journal.membership.actors(ACTOR_ALIVE_S)}
        if members.keys() != self._members.keys():
            log.info("members changed members=%s", ",".join(members) or "none")
        candidates = tuple(Candidate(actor.name, actor.sources) for actor in members.values())
        if candidates != self._candidates:
            self._owners.clear()
        self._members, self._candidates = members, candidates
        self._in_force.sources_are(candidate.sources for candidate in candidates)

    async def keep_fresh(self) -> None:
        """Refresh, and tell owners what is parked for them, for ever."""
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
        """Tell owners where something is parked for them."""
        untold, self._untold = self._untold, defaultdict(set)
        for name, lanes in untold.items():
            try:
                await self._call(name, "refill", list(lanes))
            except PeerGone as gone:
                log.warning("lanes not named actor=%s reason=%r", name, gone.reason)

    async def prepare(self, deliveries: Iterable[Waiting]) -> None:
        """Learn where deliveries go, as far as that takes no longer than they may wait."""
        await self._placer.prepare(deliveries, PREPARED_WITHIN_S)

    def destination_of(self, waiting: Waiting) -> Destination:
        """Where it goes, as far as that is known: its owner finds out what is not."""
        return self._placer.known_or_own(waiting)

    def lane_of(self, waiting: Waiting) -> Lane:
        """Where it waits when its owner has no room for it."""
        return Lane(str(self.destination_of(waiting)), waiting.tenant_id)

    def exists(self, place: Destination) -> bool:
        """Whether anything can be placed there: another split, or a source that is no longer used, is of the past."""
        return place.shares == self._placer.shares_of(place.site) and self._in_force.uses(place.source)

    def has_left(self, waiting: Waiting, lane: Lane) -> bool:
        """Whether a delivery in a lane is known to have another place by now."""
        placed = self._placer.known(waiting)
        return placed is not None and str(placed.destination) != lane.destination

    def owner_of(self, place: Destination) -> DeliveryActor | None:
        """The owner of a destination; None when nobody can send to it."""
        if place in self._owners:
            self._owners.move_to_end(place)
            name = self._owners[place]
        else:
            name = self._owners[place] = owner(place, self._candidates)
            if len(self._owners) > OWNERS_KEPT:
                self._owners.popitem(last=False)
        return self._members[name] if name is not None else None

    def passes_over(self, owner: DeliveryActor, place: Destination, tenant_id: str) -> bool:
        """Whether an owner had no room at all for a tenant a moment ago. What the tenant has for this place is then
        parked without an offer, and the owner is told of the lane soon: another offer would cost the owner as much as
        the last one, and hold up the process that makes it. It is a matter of owner and tenant, as a tenant that holds
        little may find room where others do not."""
        if asyncio.get_running_loop().time() >= self._full.get((owner.name, tenant_id), 0.0):
            return False
        self._passed[owner.name].add(Lane(str(place), tenant_id))
        return True

    async def offer(self, deliveries: Sequence[Waiting], contents: Mapping[str, Shared]) -> list[Waiting]:
        """Offer deliveries to their owners; returns those that nobody took.

        ``contents``: shared contents by request id, for the owners to await instead of asking the journal.
        """
        await self.prepare(deliveries)
        by_owner: dict[str, list[Waiting]] = defaultdict(list)
        nobodys = []
        for waiting in deliveries:
            place = self.destination_of(waiting)
            to = self.owner_of(place)
            if to is None or self.passes_over(to, place, waiting.tenant_id):
                nobodys.append(waiting)
            else:
                by_owner[to.name].append(waiting)
        refused = await asyncio.gather(*(self._offer_to(name, own, contents) for name, own in by_owner.items()))
        return [waiting for some in (nobodys, *refused) for waiting in some]

    async def park(self, refused: Sequence[Waiting]) -> list[Lane]:
        """Let deliveries that nobody took wait in their lanes, which are returned. What was passed over before this is
        parked by now, or with these. Raises Unavailable."""
        lanes = [self.lane_of(waiting) for waiting in refused]
        if refused:
            await self._journal.scheduling.park(refused, [lane.destination for lane in lanes])
        for lane, waiting in dict(zip(lanes, refused, strict=True)).items():
            # Also owners who refused: they may have looked before it was parked.
            if (to := self.owner_of(self.destination_of(waiting))) is not None:
                self._passed[to.name].add(lane)
        passed, self._passed = self._passed, defaultdict(set)
        for name, its in passed.items():
            self._untold[name] |= its
        return lanes

    async def _offer_to(self, name: str, deliveries: list[Waiting], contents: Mapping[str, Shared]) -> list[Waiting]:
        try:
            answer: OfferAnswer = await self._call(name, "offer", encode_offer(deliveries), dict(contents))
        except PeerGone as gone:
            log.warning("offer lost actor=%s deliveries=%d reason=%r", name, len(deliveries), gone.reason)
            return deliveries
        refused = [deliveries[i] for i in answer.refused]
        if refused and not answer.room:
            now = asyncio.get_running_loop().time()
            self._full = {full: until for full, until in self._full.items() if until > now}
            self._full.update(((name, waiting.tenant_id), now + FULL_S) for waiting in refused)
        return refused
