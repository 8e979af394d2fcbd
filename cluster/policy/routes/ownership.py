"""Which delivery actor owns a destination: rendezvous hashing (Thaler and Ravishankar, 1998).

Every process that knows the live actors computes the same owner without communication. When an actor joins or leaves,
only the destinations that it gains or had move.
"""

from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct

from cluster.policy.routes.destinations import Destination


class Candidate(Struct, frozen=True):
    """A delivery actor that may own destinations, and the sources whose addresses its machine has."""

    name: str
    sources: frozenset[str] = frozenset()


def owner(place: Destination, candidates: Sequence[Candidate]) -> str | None:
    """The name of the actor that owns a destination; None when no actor can send from its source. The order of the
    candidates does not matter.

    Share 0 goes to the actor with the highest weight, share 1 to the next: the shares of a site are spread over as many
    actors as possible.
    """
    able = [candidate.name for candidate in candidates if not place.source or place.source in candidate.sources]
    if not able:
        return None
    key = f"{place.source}>{place.site}" if place.source else place.site
    ranked = sorted(able, key=lambda name: _weight(key, name), reverse=True)
    return ranked[place.share % len(ranked)]


def _weight(key: str, name: str) -> tuple[bytes, str]:
    return blake2b(f"{name}\0{key}".encode(), digest_size=8).digest(), name
