"""A cluster that carries sites in Zipf's order, as its delivery actors would report it."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from random import Random

from cluster.policy.balance.assignment import Assignment
from cluster.policy.balance.loads import REPORTED, ActorLoad, DestinationLoad
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import make_ring
from cluster.policy.routes.ownership import Candidate, owner

Loads = dict[Destination, float]


def zipf(sites: int, total: float, *, exponent: float = 1.0, seed: int = 0) -> Loads:
    """``total`` messages a minute over sites whose names say nothing about their load."""
    numbers = list(range(sites))
    Random(seed).shuffle(numbers)
    weights = [1 / rank**exponent for rank in range(1, sites + 1)]
    unit = total / sum(weights)
    return {Destination(f"mx{n}.example"): weight * unit for n, weight in zip(numbers, weights, strict=True)}


def members(count: int) -> list[Candidate]:
    return [Candidate(f"delivery-{n}-0") for n in range(count)]


def owners(loads: Loads, candidates: Sequence[Candidate], assignment: Assignment) -> dict[Destination, str]:
    ring, everyone = make_ring(candidates, assignment), tuple(candidates)
    placed = assignment.placed
    found = {place: ring.owner(place) if str(place) in placed else by_hash(place, everyone) for place in loads}
    return {place: name for place, name in found.items() if name is not None}


@cache
def by_hash(place: Destination, candidates: tuple[Candidate, ...]) -> str | None:
    """The owner of a destination without a name; tests ask for the same ones again and again."""
    return owner(place, candidates)


def carried(loads: Loads, candidates: Sequence[Candidate], assignment: Assignment) -> dict[str, float]:
    """Messages a minute by actor."""
    sums = {one.name: 0.0 for one in candidates}
    for place, name in owners(loads, candidates, assignment).items():
        sums[name] += loads[place]
    return sums


def reports(loads: Loads, candidates: Sequence[Candidate], assignment: Assignment) -> list[ActorLoad]:
    """What the actors report: the heaviest by name, the others in sum."""
    own: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for place, name in owners(loads, candidates, assignment).items():
        own[name].append((loads[place], str(place)))
    return [_report(sorted(some, reverse=True), assignment) for some in own.values()]


def _report(some: list[tuple[float, str]], assignment: Assignment) -> ActorLoad:
    named = [one for n, one in enumerate(some) if n < REPORTED or one[1] in assignment.placed]
    return ActorLoad(
        destinations=tuple(DestinationLoad(name=name, per_min=per_min) for per_min, name in named),
        others={"": sum(per_min for per_min, _ in some) - sum(per_min for per_min, _ in named)},
    )
