"""A delivery actor's epoch, the members that it knows, and the destinations that it owns by them."""

import logging
from collections.abc import Callable
from math import inf

from cluster.journal.journal import Journal
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import ACTOR_ALIVE_S, MembershipView
from cluster.policy.routes.ownership import Candidate

log = logging.getLogger(__name__)

FENCED_S = ACTOR_ALIVE_S / 2
"""After this time without a heartbeat nothing more is claimed: others may soon take this actor for dead."""
OWNED_KEPT = 100_000
"""Destinations in the ownership cache. It is emptied when it is full; recomputing is cheap."""


class Superseded(Exception):
    """Another life of this actor has begun; this one must end."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(name, epoch)


class Ownership:
    """``clock``: monotonic seconds. ``epoch`` is 0 before ``begin``."""

    def __init__(self, journal: Journal, name: str, node_id: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.epoch = 0
        self._journal = journal
        self._node_id = node_id
        self._clock = clock
        self._membership = MembershipView(name)
        self._beaten_at = -inf
        self._sources: tuple[str, ...] = ()
        self.owned: dict[Destination, tuple[bool, bool]] = {}
        """(owns, may send) for each destination that was asked for; cleared when the members change."""
        self.changes = 0
        """How often the membership has changed."""

    async def begin(self, sources: tuple[str, ...]) -> None:
        """Begin a life and take back the leases of the last one. Raises Unavailable."""
        self._sources = sources
        self.epoch, taken_back = await self._journal.membership.register(self.name, self._node_id)
        log.info("started epoch=%d taken_back=%d", self.epoch, taken_back)

    async def retire(self) -> None:
        """End this life: other actors may take what it holds. Raises Unavailable."""
        await self._journal.membership.retire(self.name, self.epoch)

    def has(self, sources: tuple[str, ...]) -> None:
        """Set the sources whose addresses this machine has; the next heartbeat reports them."""
        self._sources = sources

    async def beat(self, acknowledged: bool) -> None:
        """Report that this actor lives, and learn the members. ``acknowledged``: this actor holds nothing that another
        owns under the members known so far. Raises Superseded, Unavailable."""
        ring = self._membership.ring if acknowledged else ""
        live = await self._journal.membership.heartbeat(self.name, self.epoch, ring, ACTOR_ALIVE_S, self._sources)
        if live is None:
            raise Superseded(self.name, self.epoch)
        self._beaten_at = self._clock()
        former, self._membership = self._membership, self._membership.after(live)
        if self._membership != former:
            self.owned.clear()
            self.changes += 1
        if self._membership.members != former.members:
            log.info("members=%s", self._membership.ring)

    @property
    def members(self) -> tuple[Candidate, ...]:
        """The members of the ring, with the sources that each can send from."""
        return self._membership.members

    @property
    def is_settled(self) -> bool:
        return self._membership.settled

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
