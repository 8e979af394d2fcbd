"""How mail spreads over the sources of a pool when some may send only so much today: what is over leaves from the
others, as the router has it (``Routing.choose_source``), and waits where none may send more."""

from collections.abc import Mapping
from math import inf


def spread(counts: Mapping[str, int], allowed: Mapping[str, int | None], weights: Mapping[str, int]) -> dict[str, int]:
    """``counts``: by source, as the weights alone would have it. ``allowed``: what each may still send today; None sets
    no limit. What no source may send is left with those that it was for, and the sum stays the same."""
    found = {source: counts.get(source, 0) for source in {**weights, **counts}}
    room = {source: _room(allowed.get(source)) - found[source] for source in found}
    over = {source: round(-left) for source, left in room.items() if left < 0}
    moving = sum(over.values())
    while moving and (free := {source: weights[source] for source in weights if room[source] > 0}):
        total, before = sum(free.values()), moving
        for source, weight in sorted(free.items(), key=lambda one: (-one[1], one[0])):
            taken = int(min(moving, room[source], max(1, before * weight // total)))
            found[source] += taken
            room[source] -= taken
            moving -= taken
    moved = sum(over.values()) - moving
    for source, count in over.items():
        gone = min(count, moved)
        found[source] -= gone
        moved -= gone
    return {source: count for source, count in found.items() if count}


def _room(allowed: int | None) -> float:
    return inf if allowed is None else max(0, allowed)
