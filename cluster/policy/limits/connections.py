"""How many connections a site is worth, and which addresses are worth a try."""

from collections import OrderedDict
from math import ceil, ldexp

from cluster.policy.routes.destinations import Destination

WORTH_A_CONNECTION = 4
"""Waiting messages for which one more connection is opened: its handshakes cost as much as several transactions."""
CROWD = 50
"""For each so many connections that a process has open, it takes one message more: with hundreds of sites at work, to
send a site's few messages at the same time gains none of them anything, and the handshakes hold all up."""

FIRST_DEAD_S = 30.0
LONGEST_DEAD_S = 1800.0
"""How long an address is passed over after a failure, doubled with each that follows without a success between."""
REMEMBERED = 20_000
"""Addresses remembered as dead; the oldest are forgotten beyond."""


def wanted(waiting: int, limit: int, open_in_all: int = 0) -> int:
    """Connections to one site for so many waiting messages: one for the first, one more for each few after it, up to
    the limit. ``open_in_all``: to all sites."""
    return min(limit, ceil(waiting / (WORTH_A_CONNECTION + open_in_all // CROWD)))


class Addresses:
    """What is known of hosts' addresses: how many connections each place has open to one, and whether it was dead a
    moment ago, from the source that it was reached from. ``now``: seconds that never go back."""

    def __init__(self) -> None:
        self.open = 0
        """Connections to all addresses."""
        self._open: dict[tuple[Destination, str], int] = {}
        self._dead: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def opened(self, place: Destination, address: str) -> None:
        self.open += 1
        self._open[place, address] = self._open.get((place, address), 0) + 1

    def closed(self, place: Destination, address: str) -> None:
        self.open -= 1
        left = self._open[place, address] - 1
        if left:
            self._open[place, address] = left
        else:
            del self._open[place, address]

    def has_room(self, place: Destination, address: str, limit: int) -> bool:
        """Whether one more may be opened; ``limit`` 0 sets none."""
        return not limit or self._open.get((place, address), 0) < limit

    def failed(self, source: str, address: str, now: float) -> None:
        """It gave no connection, or broke one that it gave. All that break at one time count once."""
        until, failures = self._dead.get((source, address), (0.0, 0))
        if now < until:
            return
        self._dead.pop((source, address), None)
        wait = min(ldexp(FIRST_DEAD_S, min(failures, 30)), LONGEST_DEAD_S)
        self._dead[source, address] = (now + wait, failures + 1)
        if len(self._dead) > REMEMBERED:
            self._dead.popitem(last=False)

    def worked(self, source: str, address: str) -> None:
        self._dead.pop((source, address), None)

    def is_dead(self, source: str, address: str, now: float) -> bool:
        until, _ = self._dead.get((source, address), (0.0, 0))
        return now < until
