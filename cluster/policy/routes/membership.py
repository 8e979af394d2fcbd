"""When an actor may send to a destination while members come and go.

The *ring* is the set of live members that are not leaving, with the sources that each can send from. Each member
acknowledges the ring that it has made way for: it holds nothing that is another's under it. A destination is sent to
by the member that owns it under the ring now, and unless it has owned it under every ring since the last settled one,
only once every live member has acknowledged. So at no moment two members send to the same destination, though each
learns of a change at its own time. *Every* ring: what a member has made way for holds, even if it has moved on since;
a ring may come back, and the others see it acknowledged.
"""

from collections.abc import Sequence

from msgspec import Struct

from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.ownership import Candidate, owner

ACTOR_ALIVE_S = 10.0
"""A delivery actor that has not been seen for this long owns nothing."""
RINGS_KEPT = 16
"""Since the last settled one. When it takes more changes to settle, nothing is sent until then."""


class Member(Struct, frozen=True, array_like=True):
    """A live delivery actor: its name, the ring it has acknowledged, whether it is leaving, and its sources."""

    name: str
    ring: str
    draining: bool
    sources: tuple[str, ...] = ()


class Tenure(Struct, frozen=True):
    """One actor's view: its own name, the members of the ring now, and those of all rings since the last settled one,
    this one included."""

    name: str
    members: tuple[Candidate, ...] = ()
    before: tuple[tuple[Candidate, ...], ...] = ((),)
    settled: bool = False

    @property
    def ring(self) -> str:
        """The ring as it is acknowledged."""
        return _ring(self.members)

    def owns(self, place: Destination) -> bool:
        """Whether the destination is this actor's under the ring now."""
        return owner(place, self.members) == self.name

    def may_send(self, place: Destination) -> bool:
        """Whether nobody else can be sending to it."""
        return self.owns(place) and (self.settled or all(owner(place, ring) == self.name for ring in self.before))

    def after(self, live: Sequence[Member]) -> "Tenure":
        """The view after learning who is live. Settled as soon as all of them have acknowledged the same ring."""
        members = tuple(
            Candidate(member.name, frozenset(member.sources))
            for member in sorted(live, key=lambda member: member.name)
            if not member.draining
        )
        settled = all(member.ring == _ring(members) for member in live)
        if settled:
            return Tenure(self.name, members, (members,), True)
        before = self.before if members in self.before else (*self.before, members)
        return Tenure(self.name, members, before if len(before) <= RINGS_KEPT else ((),), False)


def _ring(members: Sequence[Candidate]) -> str:
    return ",".join("+".join((member.name, *sorted(member.sources))) for member in members)
