"""When an actor may send to a destination while members come and go.

The *ring* is the set of live members that are not leaving. Each member acknowledges the ring that it has made way
for: it holds nothing that is another's under it. A destination is sent to by the member that owns it under the ring
now, and if it did not own it before, only once every live member has acknowledged. So at no moment two members send
to the same destination, though each learns of a change at its own time.
"""

from collections.abc import Sequence

from msgspec import Struct

from cluster.policy.destinations import Destination
from cluster.policy.ownership import owner


class Member(Struct, frozen=True, array_like=True):
    """A live delivery actor: its name, the ring it has acknowledged, and whether it is leaving."""

    name: str
    ring: str
    draining: bool


class Tenure(Struct, frozen=True):
    """One actor's view: its own name, the members of the ring now, and those of the last ring that was settled."""

    name: str
    members: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    settled: bool = False

    @property
    def ring(self) -> str:
        """The ring as it is acknowledged."""
        return ",".join(self.members)

    def owns(self, place: Destination) -> bool:
        """Whether the destination is this actor's under the ring now."""
        return _owner(place, self.members) == self.name

    def may_send(self, place: Destination) -> bool:
        """Whether nobody else can be sending to it."""
        return self.owns(place) and (self.settled or _owner(place, self.before) == self.name)

    def after(self, live: Sequence[Member]) -> "Tenure":
        """The view after learning who is live. Settled as soon as all of them have acknowledged the same ring."""
        members = tuple(sorted(member.name for member in live if not member.draining))
        settled = all(member.ring == ",".join(members) for member in live)
        if settled:
            return Tenure(self.name, members, members, True)
        return Tenure(self.name, members, self.before, False)


def _owner(place: Destination, members: Sequence[str]) -> str | None:
    return owner(place.site, place.share, members) if members else None
