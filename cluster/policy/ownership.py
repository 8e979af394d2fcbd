"""Which delivery actor owns a destination: rendezvous hashing (Thaler and Ravishankar, 1998).

Every process that knows the live actors names the same owner, without asking anybody; when an actor comes or goes,
only the destinations that it wins or had move.
"""

from collections.abc import Sequence
from hashlib import blake2b


def owner(site: str, share: int, members: Sequence[str]) -> str:
    """The member that owns a share of ``site``. ``members`` must not be empty; their order does not matter.

    Share 0 goes to the member with the highest weight, share 1 to the next: the shares of a site are on as many
    members as there can be.
    """
    ranked = sorted(members, key=lambda member: _weight(site, member), reverse=True)
    return ranked[share % len(ranked)]


def _weight(site: str, member: str) -> tuple[bytes, str]:
    return blake2b(f"{member}\0{site}".encode(), digest_size=8).digest(), member
