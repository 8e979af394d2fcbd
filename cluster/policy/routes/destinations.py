"""Destinations: the source that a delivery leaves from, the site it goes to, and its share of both.

A *site* is a set of domains served by the same hosts (``sites.py``), a smarthost, or the capture sink. Limits,
connections and back-off belong to source → site. Traffic too large for one process is split into shares: each share
has a part of the limits, so that together they never exceed them.
"""

from zlib import crc32

from msgspec import Struct

CAPTURE = "capture"
"""The site of the capture sink."""
DISCARD = "discard"
"""The site whose mail is discarded."""

_LONGEST_SPLIT = 20
"""Characters of "share/shares"; a longer text is not parsed as numbers."""


class Destination(Struct, frozen=True):
    """A share of source → site: the unit that one delivery actor owns. ``str`` gives its name; ``parse`` reads it."""

    site: str
    source: str = ""
    """"" lets the system choose the address."""
    share: int = 0
    shares: int = 1

    def __str__(self) -> str:
        source = f"{self.source}>" if self.source else ""
        share = f"#{self.share}/{self.shares}" if self.shares > 1 else ""
        return f"{source}{self.site}{share}"

    @property
    def is_relay(self) -> bool:
        """Whether it is a smarthost: mail that a smarthost accepts has not reached the recipient yet."""
        return ":" in self.site

    def part_of(self, limit: int) -> int:
        """This share's part of a limit of the whole; at least 1. The parts add up to the limit if it is ≥
        ``shares``."""
        return max(1, limit // self.shares + (self.share < limit % self.shares))


def may_be_split(place: Destination) -> bool:
    """Whether the number of shares may follow the load. What serves all domains has a number by the settings."""
    return not place.is_relay and place.site not in (CAPTURE, DISCARD)


def parse(name: str) -> Destination | None:
    """The destination with this name; None when the name is not a destination's."""
    rest, _, split = name.partition("#")
    head, mark, site = rest.rpartition(">")
    share, _, shares = split.partition("/") if split else ("0", "", "1")
    if not site or (mark and not head) or not (share.isdecimal() and shares.isdecimal()) or len(split) > _LONGEST_SPLIT:
        return None
    found = Destination(site, head, int(share), int(shares))
    return found if str(found) == name and found.share < found.shares else None


def destination(site: str, source: str, message_id: str, shares: int) -> Destination:
    """The destination of one delivery. ``shares``: the number of shares of source → site."""
    return Destination(site, source, crc32(message_id.encode()) % shares if shares > 1 else 0, shares)
