"""The assignment: which delivery actor owns a heavy destination, and into how many shares a hot site is split.

Rendezvous hashing spreads destinations by number. That is right for the many light ones, of which nothing needs to be
remembered. Heavy ones are named here, so that they lie where there is room for them and stay there when members come
and go. One process decides it (balancing.py) and writes it to the journal; its version is part of the ring that
members acknowledge (routes/membership.py), so that a change of it is a change of members like any other.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from cluster.policy.routes.destinations import Destination


class Split(Struct, frozen=True, kw_only=True):
    """A source → site in shares, because one actor could not carry it."""

    shares: int
    capacity: float = 0.0
    """Messages a minute that one actor carried there when it stood at its limit."""
    changed_at: float = 0.0
    """When the number of shares last changed, in seconds since the epoch."""


class Assignment(Struct, frozen=True, kw_only=True):
    """An absent owner, or one that has not the source, counts as no entry: the destination then goes by the hash."""

    version: int = 0
    changed_at: float = 0.0
    """In seconds since the epoch."""
    placed: Mapping[str, str] = field(default_factory=dict)
    """By the name of a destination, the delivery actor that owns it."""
    splits: Mapping[str, Split] = field(default_factory=dict)
    """By the name of a source → site, without a share. A split that was taken back stays for a while, with the number
    of shares from before it: what still has another number has no owner."""

    def shares_of(self, place: Destination, otherwise: int) -> int:
        """The number of shares of a destination's source → site; ``otherwise`` where it is not split."""
        if not self.splits:
            return otherwise
        split = self.splits.get(whole_name(place))
        return split.shares if split is not None else otherwise

    def exists(self, place: Destination) -> bool:
        """Whether a destination has the number of shares that its source → site has now."""
        return self.shares_of(place, place.shares) == place.shares


def whole_name(place: Destination) -> str:
    """The name of a destination's source → site, whatever its share."""
    return str(place) if place.shares == 1 else str(Destination(place.site, place.source))
