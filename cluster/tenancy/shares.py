"""How the processes of the cluster share a tenant's limit: max-min fair by what each is asked for. Pure.

Every process makes the decision for itself, from its own demand and those that the others have reported. Where all know
the same, the shares sum to the limit.
"""

from collections.abc import Iterable

LEAST = 0.01
"""The least share of a process, as a part of an equal one: its requests must be able to begin."""


def share_of(limit: float, own: float, others: Iterable[float], quiet: int) -> float:
    """This process's share of ``limit``, in its unit.

    ``own`` is the demand that this process reports, and 0 when it reports none. ``others`` are the demands that other
    live processes report, ``quiet`` is the number of those that report none. Demands below the limit are met, and what
    remains is shared equally, so that each may grow.
    """
    others = list(others)
    processes = 1 + len(others) + quiet
    remains = limit - own - sum(others)
    found = own + remains / processes if remains >= 0 else min(own, _level(limit, [own, *others]))
    return max(found, LEAST * limit / processes)


def _level(limit: float, demands: list[float]) -> float:
    """The most that any may have, so that the demands, cut at this level, sum to ``limit``."""
    demands.sort()
    left = limit
    for number, demand in enumerate(demands):
        level = left / (len(demands) - number)
        if demand >= level:
            return level
        left -= demand
    return limit
