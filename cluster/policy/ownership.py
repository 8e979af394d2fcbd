"""Which delivery actor owns a destination: rendezvous hashing (Thaler and Ravishankar, 1998).

Every process that knows the live actors names the same owner, without asking anybody; when an actor comes or goes,
only the destinations that it wins or had move.
"""

from collections.abc import Sequence
from hashlib import blake2b


def owner(destination: str, members: Sequence[str]) -> str:
    """The member that owns ``destination``. ``members`` must not be empty; their order does not matter."""
    return max(members, key=lambda member: _weight(destination, member))


def _weight(destination: str, member: str) -> tuple[bytes, str]:
    return blake2b(f"{member}\0{destination}".encode(), digest_size=8).digest(), member
