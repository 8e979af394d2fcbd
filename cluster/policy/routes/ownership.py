"""Which delivery actor owns a destination by its name alone: rendezvous hashing (Thaler and Ravishankar, 1998).

Heavy destinations are assigned besides (balance/assignment.py); ``Ring.owner`` in membership.py knows both. Every
process that knows the live actors computes the same owner without communication. When an actor joins or leaves,
only the destinations that it gains or had move.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from msgspec import Struct

from cluster.policy.routes.destinations import Destination


class Candidate(Struct, frozen=True):
    """A delivery actor that may own destinations, and the sources whose addresses its machine has."""

    name: str
    sources: frozenset[str] = frozenset()

    def can_send(self, place: Destination) -> bool:
        """Whether its machine has the source of a destination."""
        return not place.source or place.source in self.sources


def owner(place: Destination, candidates: Sequence[Candidate]) -> str | None:
    """The name of the actor that owns a destination; None when no actor can send from its source. The order of the
    candidates does not matter.

    Share 0 goes to the actor with the highest weight, share 1 to the next: the shares of a site are spread over as many
    actors as possible.
    """
    found = ranked(place, candidates)
    return found[place.share % len(found)] if found else None


def ranked(place: Destination, candidates: Iterable[Candidate]) -> list[str]:
    """The names of the actors that can send from its source, in the order in which its site prefers them."""
    key = f"{place.source}>{place.site}" if place.source else place.site
    able = (candidate.name for candidate in candidates if candidate.can_send(place))
    return sorted(able, key=lambda name: _weight(key, name), reverse=True)


def _weight(key: str, name: str) -> tuple[bytes, str]:
    return blake2b(f"{name}\0{key}".encode(), digest_size=8).digest(), name
