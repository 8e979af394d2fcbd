"""The delivery actors of a simulated cluster: sites in Zipf's order, spread by the product's own decisions. Pure."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from cluster.policy.balance.assignment import Assignment
from cluster.policy.balance.balancing import balanced
from cluster.policy.balance.loads import REPORTED, ActorLoad, DestinationLoad
from cluster.policy.balance.splitting import AT_LIMIT, MOST_OF_IT, SPLIT_AFTER_S, split
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.ownership import Candidate, ranked

Advance = Callable[[float], None]
"""How far it is, from 0 to 1."""
RANKS_KEPT = 8
"""Actors that may be absent at a time before a destination's place by the hash is not known any more."""
ROUNDS_AT_MOST = 60
ROUND_S = 60.0
"""Between two changes: the time that a split has to wait, and more than those of the balance need."""


class Spread(Struct, frozen=True, kw_only=True):
    """How much the actors carry, as multiples of the mean."""

    busiest: float
    idlest: float


class Moved(Struct, frozen=True, kw_only=True):
    """What a change moves: destinations, and the part of all mail that goes there."""

    destinations: int
    part: float


class SimulatedCluster:
    """``rate``: messages a second. ``capacity``: messages a second that an actor carries at its limit.
    ``connections``: the limit of each site, which also bounds its shares."""

    def __init__(
        self,
        *,
        nodes: int,
        actors_per_node: int,
        sites: int,
        rate: float,
        exponent: float,
        capacity: float,
        connections: int,
        seed: int,
        advance: Advance,
    ) -> None:
        self.actors_per_node = actors_per_node
        self.nodes = list(range(nodes))
        self._spare = nodes
        """One more node that may join."""
        self.capacity = capacity
        self._connections = connections
        self.assignment = Assignment()
        self.now = 0.0
        self._loads = _zipf(sites, rate * 60, exponent, seed)
        """Messages a minute by site."""
        everyone = [Candidate(_name(node, n)) for node in range(nodes + 1) for n in range(actors_per_node)]
        self._ranks: dict[Destination, list[str]] = {}
        for number, place in enumerate(self._loads):
            self._ranks[place] = ranked(place, everyone)[: RANKS_KEPT + actors_per_node]
            if number % 500 == 0:
                advance(number / sites)

    @property
    def members(self) -> list[Candidate]:
        return [Candidate(_name(node, n)) for node in self.nodes for n in range(self.actors_per_node)]

    def join(self) -> list[str]:
        """One more node; returns the names of its actors."""
        self.nodes.append(self._spare)
        return [_name(self._spare, n) for n in range(self.actors_per_node)]

    def die(self, node: int) -> list[str]:
        """A node is gone; returns the names of its actors."""
        self.nodes.remove(node)
        return [_name(node, n) for n in range(self.actors_per_node)]

    def owners(self) -> dict[Destination, str]:
        """As ``Ring.owner``, with the ranks by the hash from memory."""
        members = {member.name for member in self.members}
        found = {}
        for place in self.loads():
            name = self.assignment.placed.get(str(place))
            if name is None or name not in members:
                ranks = [one for one in self._ranks[Destination(place.site)] if one in members]
                name = ranks[place.share % len(ranks)]
            found[place] = name
        return found

    def loads(self) -> dict[Destination, float]:
        """Messages a minute by destination, hot sites in their shares."""
        if not self.assignment.splits:
            return self._loads
        found = {}
        for place, per_min in self._loads.items():
            shares = self.assignment.shares_of(place, 1)
            for share in range(shares):
                found[Destination(place.site, share=share, shares=shares)] = per_min / shares
        return found

    def carried(self) -> dict[str, float]:
        """Messages a minute by actor."""
        sums = {member.name: 0.0 for member in self.members}
        loads = self.loads()
        for place, name in self.owners().items():
            sums[name] += loads[place]
        return sums

    def spread(self) -> Spread:
        found = self.carried().values()
        mean = sum(found) / len(found)
        return Spread(busiest=max(found) / mean, idlest=min(found) / mean)

    def settle(self, advance: Advance) -> list[Moved]:
        """Decide until nothing changes any more; returns what each change has moved."""
        changes: list[Moved] = []
        for number in range(ROUNDS_AT_MOST):
            advance(number / ROUNDS_AT_MOST)
            self.now += ROUND_S
            before, former = self.owners(), self.assignment
            self._decide()
            if self.assignment is former:
                return changes
            changes.append(moved(self.loads(), before, self.owners()))
        return changes

    def _decide(self) -> None:
        reports = self.reports()
        in_shares, _ = split(self.members, reports, self.assignment, {}, lambda _: 1, self.now)
        self.assignment = balanced(self.members, reports, in_shares, self.now)

    def reports(self) -> list[ActorLoad]:
        """What the actors write to the journal."""
        loads, own = self.loads(), defaultdict[str, list[tuple[float, str]]](list)
        for place, name in self.owners().items():
            own[name].append((loads[place], str(place)))
        return [self._report(sorted(some, reverse=True)) for some in own.values()]

    def _report(self, some: Sequence[tuple[float, str]]) -> ActorLoad:
        total = sum(per_min for per_min, _ in some)
        is_full = total / 60 >= AT_LIMIT * self.capacity
        named = [one for n, one in enumerate(some) if n < REPORTED or one[1] in self.assignment.placed]
        return ActorLoad(
            destinations=tuple(
                DestinationLoad(
                    name=name,
                    per_min=per_min,
                    hot_s=SPLIT_AFTER_S if is_full and per_min >= MOST_OF_IT * total else 0.0,
                    most_shares=self._connections,
                )
                for per_min, name in named
            ),
            others={"": total - sum(per_min for per_min, _ in named)},
        )


def moved(loads: dict[Destination, float], before: dict[Destination, str], after: dict[Destination, str]) -> Moved:
    """What has another owner now, or is a share that did not exist."""
    found = [loads[place] for place, name in after.items() if before.get(place) != name]
    return Moved(destinations=len(found), part=sum(found) / sum(loads.values()))


def _name(node: int, number: int) -> str:
    return f"delivery-{node}-{number}"


def _zipf(sites: int, total: float, exponent: float, seed: int) -> dict[Destination, float]:
    numbers = list(range(sites))
    Random(seed).shuffle(numbers)
    weights = [1 / rank**exponent for rank in range(1, sites + 1)]
    unit = total / sum(weights)
    return {Destination(f"mx{n}.example"): weight * unit for n, weight in zip(numbers, weights, strict=True)}
