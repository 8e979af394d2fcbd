"""Where a delivery belongs: the source it leaves from, the site that it goes to, and the share of both that owns it.

A *site* is a set of domains served by the same hosts (``sites.py``), a smarthost, or the capture sink. Limits,
connections and back-off belong to source → site. One that a single process could not carry alone is split into shares:
each has its part of the limits, so that together they never exceed them.
"""

from zlib import crc32

from msgspec import Struct

CAPTURE = "capture"
"""The site that is the capture sink."""
DISCARD = "discard"
"""The site whose mail goes nowhere."""

_LONGEST_SPLIT = 20
"""Of "share/shares"; of more digits no number is made."""


class Destination(Struct, frozen=True):
    """A share of source → site: what one delivery actor owns. ``str`` names it; ``parse`` reads the name."""

    site: str
    source: str = ""
    """"" is the system's choice of address."""
    share: int = 0
    shares: int = 1

    def __str__(self) -> str:
        source = f"{self.source}>" if self.source else ""
        share = f"#{self.share}/{self.shares}" if self.shares > 1 else ""
        return f"{source}{self.site}{share}"

    @property
    def is_relay(self) -> bool:
        """Whether it is a smarthost: what that accepts is on its way, and not yet with its recipient."""
        return ":" in self.site

    def part_of(self, limit: int) -> int:
        """This share's part of a limit of the whole; the parts sum to the limit, but each is at least 1."""
        return max(1, limit // self.shares + (self.share < limit % self.shares))


def parse(name: str) -> Destination | None:
    """The destination with this name; None when it is not one."""
    rest, _, split = name.partition("#")
    head, mark, site = rest.rpartition(">")
    share, _, shares = split.partition("/") if split else ("0", "", "1")
    if not site or (mark and not head) or not (share.isdecimal() and shares.isdecimal()) or len(split) > _LONGEST_SPLIT:
        return None
    found = Destination(site, head, int(share), int(shares))
    return found if str(found) == name and found.share < found.shares else None


def destination(site: str, source: str, message_id: str, shares: int) -> Destination:
    """The destination of one delivery. ``shares``: into how many source → site is split."""
    return Destination(site, source, crc32(message_id.encode()) % shares if shares > 1 else 0, shares)
