"""How many connections a site gets, and which addresses are backing off after failures."""

from collections import OrderedDict
from math import ceil, ldexp

from cluster.policy.routes.destinations import Destination

WORTH_A_CONNECTION = 4
"""Waiting messages that justify one more connection: its handshakes cost as much as several transactions."""
CROWD = 50
"""A connection needs one more waiting message for each ``CROWD`` open connections of the process. With hundreds of
active sites, sending one site's few messages in parallel gains nothing, and the handshakes delay all sites."""

FIRST_DEAD_S = 30.0
LONGEST_DEAD_S = 1800.0
"""How long an address is skipped after a failure; doubled with each further failure until a success."""
REMEMBERED = 20_000
"""The number of dead addresses that are kept; beyond it, the oldest are dropped."""


def wanted(waiting: int, limit: int, open_in_all: int = 0) -> int:
    """The number of connections to one site for ``waiting`` messages: one for the first, one more for each few after
    it, up to ``limit``. ``open_in_all``: the open connections to all sites."""
    return min(limit, ceil(waiting / (WORTH_A_CONNECTION + open_in_all // CROWD)))


class AddressStates:
    """The state of hosts' addresses: how many connections each destination has open to an address, and whether a
    source recently failed to reach it. ``now`` is in seconds, of a monotonic clock."""

    def __init__(self) -> None:
        self.open = 0
        """Open connections to all addresses."""
        self.open_at: dict[tuple[Destination, str], int] = {}
        """The number of connections by destination and address."""
        self.dead: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """Until when an address is dead and how often it failed, by source and address."""

    def opened(self, place: Destination, address: str) -> None:
        self.open += 1
        self.open_at[place, address] = self.open_at.get((place, address), 0) + 1

    def closed(self, place: Destination, address: str) -> None:
        self.open -= 1
        left = self.open_at[place, address] - 1
        if left:
            self.open_at[place, address] = left
        else:
            del self.open_at[place, address]

    def has_room(self, place: Destination, address: str, limit: int) -> bool:
        """Whether one more connection may be opened; ``limit`` 0 sets no limit."""
        return not limit or self.open_at.get((place, address), 0) < limit

    def failed(self, source: str, address: str, now: float) -> None:
        """The address refused a connection, or broke one. Failures within one back-off count once."""
        until, failures = self.dead.get((source, address), (0.0, 0))
        if now < until:
            return
        self.dead.pop((source, address), None)
        wait = min(ldexp(FIRST_DEAD_S, min(failures, 30)), LONGEST_DEAD_S)
        self.dead[source, address] = (now + wait, failures + 1)
        if len(self.dead) > REMEMBERED:
            self.dead.popitem(last=False)

    def worked(self, source: str, address: str) -> None:
        self.dead.pop((source, address), None)

    def is_dead(self, source: str, address: str, now: float) -> bool:
        until, _ = self.dead.get((source, address), (0.0, 0))
        return now < until
