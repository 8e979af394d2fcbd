"""Spreads destinations over delivery actors by what they carry, and moves as little as possible.

The heaviest destinations are named in the assignment. All others go by the hash, which spreads many light ones well.
While all actors are about even nothing moves. Otherwise the heaviest actor gives destinations to the lightest one, none
of which would lift the receiver above the level; so an actor that joins gets at most its share.
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
"""An actor with more than so many times the level gives something away."""
IDLE = 0.75
"""An actor with less than so many times the level gets something."""
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
    """Who carries how much. ``others``: loads without a name, by source, each evenly on all that have the source.

    The *level* is what each actor would carry if all were even, but for those that have a single destination above it,
    a *giant*: such an actor should have nothing else, and the others the rest.
    """

    def __init__(self, members: Sequence[Candidate], heavy: Sequence[Known], others: Mapping[str, float]) -> None:
        """``heavy``: the destinations that ``place`` will be called with."""
        self.members = {member.name: member for member in members}
        self._bases = dict.fromkeys(self.members, 0.0)
        """What each carries that has no name."""
        for source, per_min in others.items():
            able = [one.name for one in members if not source or source in one.sources]
            for name in able:
                self._bases[name] += per_min / len(able)
        self.loads = dict(self._bases)
        self.owned: dict[str, dict[Destination, Known]] = {name: {} for name in self.members}
        self._largest = dict.fromkeys(self.members, 0.0)
        self._homes: dict[str, set[str]] = defaultdict(set)
        """By source → site, the actors that have a share of it."""
        self.level = _level([one.per_min for one in heavy], sum(self._bases.values()), len(members))

    def place(self, one: Known, name: str) -> None:
        self.owned[name][one.place] = one
        self.loads[name] += one.per_min
        self._largest[name] = max(self._largest[name], one.per_min)
        self._homes[whole_name(one.place)].add(name)

    def move(self, one: Known, giver: str, receiver: str) -> None:
        del self.owned[giver][one.place]
        self.loads[giver] -= one.per_min
        self._largest[giver] = max((other.per_min for other in self.owned[giver].values()), default=0.0)
        self._homes[whole_name(one.place)].discard(giver)
        self.place(one, receiver)

    def _spare(self, name: str) -> float:
        """What an actor has above the level, but for its giant."""
        return self.loads[name] - max(self.level, self._bases[name] + self._largest[name])

    def is_even(self, busy: float, idle: float) -> bool:
        """Whether every actor is within these, as multiples of the level."""
        most = max(map(self._spare, self.loads))
        return most <= (busy - 1) * self.level and min(self.loads.values()) >= idle * self.level

    def best_move(self) -> tuple[Known, str, str] | None:
        """The next destination to move: from the actor that has most to spare to the one that has most room. None:
        nothing more would help."""
        if self.is_even(ENOUGH_BUSY, ENOUGH_IDLE):
            return None
        receivers = sorted(self.loads, key=lambda name: (self.loads[name], name))
        for giver in sorted(self.loads, key=lambda name: (-self._spare(name), name)):
            if self._spare(giver) <= 0:
                return None
            for receiver in receivers:
                if self.loads[receiver] >= self.level:
                    break
                if (one := self._fitting(giver, receiver)) is not None:
                    return one, giver, receiver
        return None

    def _fitting(self, giver: str, receiver: str) -> Known | None:
        """The destination that comes nearest to what the giver has too much. It is more than that only where the giver
        has far too much: small ones would fill the room that a large one needs."""
        spare, room = self._spare(giver), self.level - self.loads[receiver]
        most = room if spare > (BUSY - 1) * self.level else min(room, spare)
        fitting = [
            one
            for one in self.owned[giver].values()
            if (one.per_min <= most or self._is_second_giant(one, giver, receiver))
            and not one.stays
            and self._can_take(one, receiver)
        ]
        return min(fitting, key=lambda one: (abs(spare - one.per_min), str(one.place)), default=None)

    def _is_second_giant(self, one: Known, giver: str, receiver: str) -> bool:
        """Whether no actor has room for it, but this one would be better off than the giver, which has a larger one."""
        is_giant = one.per_min > self.level - self._bases[receiver]
        has_none = self._largest[receiver] <= self.level - self._bases[receiver]
        has_larger = len(self.owned[giver]) > 1 and self.loads[giver] - one.per_min >= self._largest[giver]
        return is_giant and has_none and has_larger and self.loads[receiver] + one.per_min < self.loads[giver]

    def _can_take(self, one: Known, receiver: str) -> bool:
        """Whether an actor has the source, and no share of the same site yet: shares are for several actors."""
        if not self.members[receiver].can_send(one.place):
            return False
        return one.place.shares == 1 or receiver not in self._homes[whole_name(one.place)]


def _level(heavy: Sequence[float], others: float, members: int) -> float:
    """``heavy``: the loads that have a name. ``others``: the sum of those that have none."""
    base, left, actors = others / members, sum(heavy) + others, members
    for per_min in sorted(heavy, reverse=True):
        if actors == 1 or per_min + base <= left / actors:
            break
        left, actors = left - per_min - base, actors - 1
    return left / actors


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
    if max(balance.loads.values()) < matters_per_min:
        return current
    moved = 0
    if not balance.is_even(BUSY, IDLE):
        while moved < MOVED_AT_ONCE and (move := balance.best_move()) is not None:
            balance.move(*move)
            moved += 1
    named = {str(one.place): (one, name) for name, owned in balance.owned.items() for one in owned.values()}
    unnamed = sum(one.per_min for place, (one, _) in named.items() if place not in current.placed)
    if not moved and unnamed <= UNNAMED_AT_MOST * sum(balance.loads.values()):
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
    balance = Balance(members, [one for one, _ in heavy], others)
    for one, name in heavy:
        balance.place(one, name)
    return balance
