"""Where a recipient's mail goes: the site that owns its limits, and the share of that site.

A *site* is a set of domains served by the same hosts. In capture and relay mode one host serves all domains; in
direct mode a domain is its own site. A site whose mail one process could not carry alone is split into shares:
each has its part of the site's limits, so that together they never exceed them.
"""

from typing import Literal
from zlib import crc32

from msgspec import Struct

Mode = Literal["capture", "direct", "relay"]


class Destination(Struct, frozen=True):
    """A share of a site: what one delivery actor owns."""

    site: str
    share: int = 0
    shares: int = 1

    def __str__(self) -> str:
        return self.site if self.shares == 1 else f"{self.site}#{self.share}/{self.shares}"

    def part_of(self, limit: int) -> int:
        """This share's part of a limit of the whole site; the parts sum to the limit, but each is at least 1."""
        return max(1, limit // self.shares + (self.share < limit % self.shares))


def existing(name: str, *, mode: Mode, relay: str, shares: int) -> Destination | None:
    """The destination with this name (its ``str``) under these settings; None when they have none such any more."""
    if mode == "direct":
        return Destination(name) if "#" not in name else None
    site = "capture" if mode == "capture" else relay
    for share in range(shares):
        place = Destination(site, share, shares)
        if str(place) == name:
            return place
    return None


def destination(domain: str, message_id: str, *, mode: Mode, relay: str, shares: int) -> Destination:
    """The destination of one delivery. ``shares``: into how many a site that serves all domains is split."""
    if mode == "direct":
        return Destination(domain)
    site = "capture" if mode == "capture" else relay
    return Destination(site, crc32(message_id.encode()) % shares, shares)
