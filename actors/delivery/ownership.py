"""A delivery actor's epoch, the members that it knows, and the destinations that it owns by them."""

import logging
from collections import deque
from collections.abc import Callable, Collection
from math import inf

from msgspec import Struct

from cluster.journal.journal import Journal
from cluster.policy.balance.assignment import Assignment
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import ACTOR_ALIVE_S, MembershipView, Ring, beat_after_s, make_ring
from cluster.policy.routes.ownership import Candidate
from cluster.routing.assignments import Assignments

log = logging.getLogger(__name__)

FENCED_S = ACTOR_ALIVE_S / 2
"""After this time without a heartbeat nothing more is claimed: others may soon take this actor for dead."""
OWNED_KEPT = 100_000
"""Destinations in the ownership cache. It is emptied when it is full; recomputing is cheap."""
FORMER_KEPT = 16
"""Rings of the past that are remembered."""


class Superseded(Exception):
    """Another life of this actor has begun; this one must end."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(name, epoch)


class FormerRing(Struct):
    """A ring of the past. ``until``: when the last member can have sent by it."""

    ring: Ring
    until: float


class Ownership:
    """``clock``: monotonic seconds. ``epoch`` is 0 before ``begin``."""

    def __init__(self, journal: Journal, name: str, node_id: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.epoch = 0
        self._journal = journal
        self._node_id = node_id
        self._clock = clock
        self._membership = MembershipView(name)
        self._assignments = Assignments(journal)
        self._beaten_at = -inf
        self._changed_at = -inf
        self._former: deque[FormerRing] = deque(maxlen=FORMER_KEPT)
        self._unsettled = 0
        """How many of the last rings may still be in use somewhere."""
        self._sources: tuple[str, ...] = ()
        self.owned: dict[Destination, tuple[bool, bool]] = {}
        """(owns, may send) for each destination that was asked for; cleared when the members change."""
        self.changes = 0
        """How often the membership has changed."""
        self._is_retiring = False

    async def begin(self, sources: tuple[str, ...]) -> None:
        """Begin a life and take back the leases of the last one. Raises Unavailable."""
        self._sources = sources
        self.epoch, taken_back = await self._journal.membership.register(self.name, self._node_id)
        log.info("started epoch=%d taken_back=%d", self.epoch, taken_back)

    async def retire(self) -> None:
        """End this life: other actors may take what it holds. Raises Unavailable."""
        self._is_retiring = True
        await self._journal.membership.retire(self.name, self.epoch)

    def has(self, sources: tuple[str, ...]) -> None:
        """Set the sources whose addresses this machine has; the next heartbeat reports them."""
        self._sources = sources

    async def beat(self, held: Collection[str]) -> None:
        """Report that this actor lives, and learn the members and the assignment. ``held``: the sites of which this
        actor holds something that another owns under the ring known so far. Raises Superseded, Unavailable."""
        said = self._membership.acknowledging(held)
        heard = await self._journal.membership.heartbeat(self.name, self.epoch, said, ACTOR_ALIVE_S, self._sources)
        if heard is None:
            if self._is_retiring:
                return  # this beat was under way when the life ended in order
            raise Superseded(self.name, self.epoch)
        assignment = await self._assignments.follow(heard.version)
        self._beaten_at = now = self._clock()
        former, self._membership = self._membership, self._membership.after(heard.members, assignment)
        if self._membership.ring.name != former.ring.name:
            self._note(former.ring, now)
            log.info("members=%s assignment=%d", ",".join(one.name for one in self.members), assignment.version)
        for one in list(self._former)[len(self._former) - self._unsettled :]:
            one.until = now
        if self._membership.settled:
            self._unsettled = 0
        if self._membership != former:
            self.owned.clear()
            self.changes += 1

    def _note(self, former: Ring, now: float) -> None:
        """The ring has changed. Before the first one that this actor knows, its destinations were the others'."""
        if not former.members:
            former = make_ring([one for one in self.members if one.name != self.name], self.assignment)
        self._former.append(FormerRing(former, now))
        self._unsettled = min(self._unsettled + 1, FORMER_KEPT)
        self._changed_at = now

    @property
    def members(self) -> tuple[Candidate, ...]:
        """The members of the ring, with the sources that each can send from."""
        return self._membership.ring.members

    @property
    def assignment(self) -> Assignment:
        return self._membership.ring.assignment

    @property
    def is_settled(self) -> bool:
        return self._membership.settled

    @property
    def next_beat_s(self) -> float:
        """Seconds until the next heartbeat."""
        return beat_after_s(self.is_settled, self._clock() - self._changed_at, len(self.members))

    @property
    def is_fenced(self) -> bool:
        """Whether other actors may soon take this one for dead."""
        return self._clock() - self._beaten_at > FENCED_S

    def owns(self, place: Destination) -> bool:
        """Whether this actor owns a destination."""
        return self._known(place)[0]

    def may_send(self, place: Destination) -> bool:
        """Whether this actor owns a destination and no other actor can be sending to it."""
        return self._known(place)[1]

    def came_at(self, place: Destination) -> float | None:
        """Until when another actor can have sent to a destination, or to another share of its site, as far as this
        actor remembers; None: it does not remember one."""
        for former in reversed(self._former):
            ring, now = former.ring, self._membership.ring
            if ring.owner(place) not in (None, self.name) or not ring.divides_as(now, place):
                return former.until
        return None

    def forget(self, place: Destination) -> None:
        """Nothing is held for this destination any more."""
        self.owned.pop(place, None)

    def _known(self, place: Destination) -> tuple[bool, bool]:
        known = self.owned.get(place)
        if known is None:
            if len(self.owned) >= OWNED_KEPT:
                self.owned.clear()
            known = self.owned[place] = (self._membership.owns(place), self._membership.may_send(place))
        return known
