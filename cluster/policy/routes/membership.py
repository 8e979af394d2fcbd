"""When an actor may send to a destination while cluster members join and leave.

The *ring* is the set of live members that are not leaving, with the sources that each can send from. A member
acknowledges a ring when it holds no delivery that belongs to another member under that ring. A destination is sent to
by the member that owns it under the current ring. Unless that member owned it under every ring since the last settled
one, it waits until every live member has acknowledged the current ring. So no two members ever send to the same
destination, though each learns of a change at a different time. *Every* ring matters, because an acknowledgement stays
valid after its member has moved on: a ring may return, and the others see it acknowledged.
"""

from collections.abc import Sequence

from msgspec import Struct

from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.ownership import Candidate, owner

ACTOR_ALIVE_S = 10.0
"""A delivery actor that has not been seen for this long owns nothing."""
RINGS_KEPT = 16
"""Rings kept since the last settled one. When more changes than this are unsettled, nothing is sent until they
settle."""


class Member(Struct, frozen=True, array_like=True):
    """A live delivery actor: its name, the ring it has acknowledged, whether it is leaving, and its sources."""

    name: str
    ring: str
    draining: bool
    sources: tuple[str, ...] = ()


class MembershipView(Struct, frozen=True):
    """One actor's view: its own name, the members of the current ring, and those of all rings since the last settled
    one, including the current one."""

    name: str
    members: tuple[Candidate, ...] = ()
    before: tuple[tuple[Candidate, ...], ...] = ((),)
    settled: bool = False

    @property
    def ring(self) -> str:
        """The current ring, as text for the acknowledgement."""
        return _ring(self.members)

    def owns(self, place: Destination) -> bool:
        """Whether this actor owns the destination under the current ring."""
        return owner(place, self.members) == self.name

    def may_send(self, place: Destination) -> bool:
        """Whether no other member can be sending to the destination."""
        return self.owns(place) and (self.settled or all(owner(place, ring) == self.name for ring in self.before))

    def after(self, live: Sequence[Member]) -> "MembershipView":
        """The view after a new list of live members. Settled when all of them have acknowledged the same ring."""
        members = tuple(
            Candidate(member.name, frozenset(member.sources))
            for member in sorted(live, key=lambda member: member.name)
            if not member.draining
        )
        settled = all(member.ring == _ring(members) for member in live)
        if settled:
            return MembershipView(self.name, members, (members,), True)
        before = self.before if members in self.before else (*self.before, members)
        return MembershipView(self.name, members, before if len(before) <= RINGS_KEPT else ((),), False)


def _ring(members: Sequence[Candidate]) -> str:
    return ",".join("+".join((member.name, *sorted(member.sources))) for member in members)
