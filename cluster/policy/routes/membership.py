"""When an actor may send to a destination while cluster members join and leave, and while destinations move.

The *ring* is the set of live members that are not leaving, with the sources that each can send from, and the
assignment of heavy destinations. A member acknowledges a ring when it holds no delivery that belongs to another member
under that ring; it may except some sites, at which something is still on the wire. A destination is sent to by the
member that owns it under the current ring. Unless that member owned it under every ring since the last settled one, it
waits until every live member has acknowledged the current ring and excepts its site no longer. So no two members ever
send to the same destination, though each learns of a change at a different time, and a slow host holds up the move of
its own site only. *Every* ring matters, because an acknowledgement stays valid after its member has moved on: a ring
may return, and the others see it acknowledged.
"""

from collections.abc import Collection, Sequence
from hashlib import blake2b

from msgspec import Struct

from cluster.policy.balance.assignment import Assignment, whole_name
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.ownership import Candidate, owner

ACTOR_ALIVE_S = 10.0
"""A delivery actor that has not been seen for this long owns nothing."""
RINGS_KEPT = 16
"""Rings kept since the last settled one. When more changes than this are unsettled, nothing is sent until they
settle."""
EXCEPTED_AT_MOST = 50
"""Sites that an acknowledgement may except. A member that holds more of them does not acknowledge."""
NOT_YET = ""
"""What a member that does not acknowledge a ring says."""


BEAT_S = 1.0
CHANGING_BEAT_S = 0.1
"""Time between heartbeats while members change: until all have acknowledged, nothing is sent to what moves."""
CHANGING_S = 10.0
"""After this time a change goes on since something hangs on the wire somewhere, which haste does not end sooner."""
MEMBERS_IN_HASTE = 100
"""With more members, all beat more slowly while they change: each heartbeat reads all of them."""


class Member(Struct, frozen=True, array_like=True):
    """A live delivery actor: its name, the ring it has acknowledged, whether it is leaving, and its sources."""

    name: str
    ring: str
    draining: bool
    sources: tuple[str, ...] = ()


class Ring(Struct, frozen=True):
    """Members in the order of their names, and the assignment. ``name`` is the same for all who know the same."""

    members: tuple[Candidate, ...]
    assignment: Assignment
    name: str

    def owner(self, place: Destination) -> str | None:
        """The member that owns a destination; None when there is none, and for a share that does not exist."""
        if not self.assignment.exists(place):
            return None
        if (name := self.assignment.placed.get(str(place))) is not None:
            found = next((one for one in self.members if one.name == name), None)
            if found is not None and found.can_send(place):
                return name
        return owner(place, self.members)

    def divides_as(self, other: "Ring", place: Destination) -> bool:
        """Whether the source → site of a destination has the same number of shares under another ring. Where only one
        of them names a number, it may be another one."""
        return self.assignment.shares_of(place, 0) == other.assignment.shares_of(place, 0)


def make_ring(members: Sequence[Candidate], assignment: Assignment) -> Ring:
    """The ring of these members. Its name is a digest: each member reads all names with each heartbeat."""
    ordered = tuple(sorted(members, key=lambda member: member.name))
    text = ",".join("+".join((member.name, *sorted(member.sources))) for member in ordered)
    digest = blake2b(f"{assignment.version};{text}".encode(), digest_size=12).hexdigest()
    return Ring(ordered, assignment, digest)


def ring_of(live: Sequence[Member], assignment: Assignment) -> Ring:
    """The ring of the live members, without those that are leaving."""
    return make_ring([Candidate(one.name, frozenset(one.sources)) for one in live if not one.draining], assignment)


NO_RING = make_ring((), Assignment())


class MembershipView(Struct, frozen=True):
    """One actor's view: its own name, the current ring, and all rings since the last settled one, including the
    current one. ``excepted`` has the sites that acknowledgements except; None while some are missing."""

    name: str
    ring: Ring = NO_RING
    before: tuple[Ring, ...] = (NO_RING,)
    excepted: frozenset[str] | None = None

    @property
    def settled(self) -> bool:
        """Whether every live member has acknowledged the current ring, and excepts nothing."""
        return self.excepted is not None and not self.excepted

    def owns(self, place: Destination) -> bool:
        """Whether this actor owns the destination under the current ring."""
        return self.ring.owner(place) == self.name

    def may_send(self, place: Destination) -> bool:
        """Whether no other member can be sending to the destination."""
        if not self.owns(place):
            return False
        if self.excepted is not None and whole_name(place) not in self.excepted:
            return True
        return all(ring.owner(place) == self.name and ring.divides_as(self.ring, place) for ring in self.before)

    def acknowledging(self, held: Collection[str]) -> str:
        """What this member says of the current ring while it holds something of these sites (``whole_name``) that it
        does not own."""
        if len(held) > EXCEPTED_AT_MOST:
            return NOT_YET
        return "\n".join((self.ring.name, *sorted(held)))

    def after(self, live: Sequence[Member], assignment: Assignment) -> "MembershipView":
        """The view after a new list of live members, and the assignment. Settled when all of them have acknowledged
        the same ring without exception."""
        ring = ring_of(live, assignment)
        said = [one.ring.split("\n") for one in live]
        excepted = frozenset(site for _, *sites in said for site in sites) if _all_name(said, ring) else None
        if excepted is not None and not excepted:
            return MembershipView(self.name, ring, (ring,), excepted)
        before = self.before if any(one.name == ring.name for one in self.before) else (*self.before, ring)
        return MembershipView(self.name, ring, before if len(before) <= RINGS_KEPT else (NO_RING,), excepted)


def _all_name(said: Sequence[Sequence[str]], ring: Ring) -> bool:
    return all(name == ring.name for name, *_ in said)


def beat_after_s(settled: bool, since_change_s: float, members: int) -> float:
    """Seconds until the next heartbeat of an actor that knows so many members."""
    if settled or since_change_s > CHANGING_S:
        return BEAT_S
    return min(BEAT_S, CHANGING_BEAT_S * max(1.0, members / MEMBERS_IN_HASTE))
