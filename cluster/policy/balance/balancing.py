"""Spreads destinations over delivery actors by what they carry, and moves as little as possible.

The heaviest destinations are named in the assignment. All others go by the hash, which spreads many light ones well.
While every actor has about the mean nothing moves. Otherwise the heaviest actor gives destinations to the lightest one,
large ones first, none of which would lift the receiver above the mean; so an actor that joins gets at most its share.
Pure: the scheduler's process gathers the facts, and writes the assignment that comes out (actors/balancing.py).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cluster.policy.balance.assignment import Assignment, whole_name
from cluster.policy.balance.loads import ActorLoad, Known, known
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import make_ring
from cluster.policy.routes.ownership import Candidate

BUSY = 1.2
"""An actor with more than so many times the mean gives something away."""
IDLE = 0.75
"""An actor with less than so many times the mean gets something."""
ENOUGH_BUSY, ENOUGH_IDLE = 1.05, 0.95
"""Once something moves, it moves until all are within these, so that not every minute another site has to."""
NAMED_FROM = 0.0005
"""Destinations that carry at least this part of an actor's mean load are named. What has no name lies on every actor
alike, also on one that has enough with one large site: it must be little."""
FORGOTTEN_BELOW = 4
"""A named one keeps its name until it carries so many times less than that."""
NAMED_AT_MOST = 4096
"""Destinations in the assignment, of some 40 octets each. All processes read all of it when it changes."""
UNNAMED_AT_MOST = 0.1
"""Destinations that came up and are heavy enough to be named, but have no name yet, may carry this part of all load
before they get one: until then each change of members may move them."""
MATTERS_PER_MIN = 600.0
"""While no actor carries more than this, 10 messages a second, nothing is moved."""
MOVED_AT_ONCE = 500
"""Destinations that one change moves: what moves pauses for a moment."""


class Balance:
    """Who carries how much. ``others``: loads without a name, by source, each evenly on all that have the source."""

    def __init__(self, members: Sequence[Candidate], others: Mapping[str, float]) -> None:
        self.members = {member.name: member for member in members}
        self.loads = dict.fromkeys(self.members, 0.0)
        self.owned: dict[str, dict[Destination, Known]] = {name: {} for name in self.members}
        self.homes: dict[str, set[str]] = defaultdict(set)
        """By source → site, the actors that have a share of it."""
        for source, per_min in others.items():
            able = [one.name for one in members if not source or source in one.sources]
            for name in able:
                self.loads[name] += per_min / len(able)

    @property
    def mean(self) -> float:
        return sum(self.loads.values()) / len(self.loads)

    def place(self, one: Known, name: str) -> None:
        self.owned[name][one.place] = one
        self.loads[name] += one.per_min
        self.homes[whole_name(one.place)].add(name)

    def move(self, one: Known, giver: str, receiver: str) -> None:
        del self.owned[giver][one.place]
        self.loads[giver] -= one.per_min
        self.homes[whole_name(one.place)].discard(giver)
        self.place(one, receiver)

    def can_take(self, one: Known, receiver: str) -> bool:
        """Whether an actor has the source, and no share of the same site yet: shares are for several actors."""
        if not self.members[receiver].can_send(one.place):
            return False
        return one.place.shares == 1 or receiver not in self.homes[whole_name(one.place)]

    def best_move(self) -> tuple[Known, str, str] | None:
        """The next destination to move: from the heaviest actor that can give something to the lightest that can take
        it; of those the largest. None: nothing more would help."""
        mean = self.mean
        by_load = sorted(self.loads, key=lambda name: (self.loads[name], name))
        lightest, heaviest = self.loads[by_load[0]], self.loads[by_load[-1]]
        if heaviest <= ENOUGH_BUSY * mean and lightest >= ENOUGH_IDLE * mean:
            return None
        for giver in reversed(by_load):
            spare = self.loads[giver] - mean
            if spare <= 0:
                return None
            for receiver in by_load:
                room = mean - self.loads[receiver]
                if room <= 0:
                    break
                if (one := self._fitting(giver, receiver, spare, room)) is not None:
                    return one, giver, receiver
        return None

    def _fitting(self, giver: str, receiver: str, spare: float, room: float) -> Known | None:
        """The destination that comes nearest to what the giver has too much. It is more than that only where the giver
        has far too much: small ones would fill the room that a large one needs."""
        most = room if self.loads[giver] > BUSY * self.mean else min(room, spare)
        fitting = [
            one
            for one in self.owned[giver].values()
            if one.per_min <= most and not one.stays and self.can_take(one, receiver)
        ]
        return min(fitting, key=lambda one: (abs(spare - one.per_min), str(one.place)), default=None)


def balanced(
    members: Sequence[Candidate],
    reports: Sequence[ActorLoad],
    current: Assignment,
    now: float,
    *,
    matters_per_min: float = MATTERS_PER_MIN,
) -> Assignment:
    """The assignment for these members and loads; ``current`` itself where nothing is to change. ``reports`` may be
    of actors that are gone: their destinations are somewhere now, and as heavy as they were. ``now``: seconds since
    the epoch."""
    if len(members) < 2:
        return current
    balance = _as_it_is(members, reports, current)
    mean, loads = balance.mean, balance.loads.values()
    if max(loads) < matters_per_min:
        return current
    moved = 0
    if max(loads) > BUSY * mean or min(loads) < IDLE * mean:
        while moved < MOVED_AT_ONCE and (move := balance.best_move()) is not None:
            balance.move(*move)
            moved += 1
    named = {str(one.place): (one, name) for name, owned in balance.owned.items() for one in owned.values()}
    unnamed = sum(one.per_min for place, (one, _) in named.items() if place not in current.placed)
    if not moved and unnamed <= UNNAMED_AT_MOST * mean * len(members):
        return current
    placed = {place: name for place, (_, name) in named.items()}
    return replace(current, version=current.version + 1, changed_at=now, placed=placed)


def _as_it_is(members: Sequence[Candidate], reports: Sequence[ActorLoad], current: Assignment) -> Balance:
    """The loads under the current assignment, with the destinations that are heavy enough to have a name."""
    found = [one for one in known(reports) if current.exists(one.place)]
    total = sum(one.per_min for one in found) + sum(sum(report.others.values()) for report in reports)
    least = NAMED_FROM * total / len(members)
    ring = make_ring(members, current)
    heavy: list[tuple[Known, str]] = []
    others: dict[str, float] = defaultdict(float)
    for report in reports:
        for source, per_min in report.others.items():
            others[source] += per_min
    for one in found:
        is_named = str(one.place) in current.placed
        if len(heavy) < NAMED_AT_MOST and one.per_min >= (least / FORGOTTEN_BELOW if is_named else least):
            if (name := ring.owner(one.place)) is not None:
                heavy.append((one, name))
        else:
            others[one.place.source] += one.per_min
    balance = Balance(members, others)
    for one, name in heavy:
        balance.place(one, name)
    return balance
