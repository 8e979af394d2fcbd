"""What delivery actors carry: messages a minute at each destination, smoothed, as they report them to the journal.

Pure: the time that has passed is an argument.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from math import exp

from msgspec import Struct, field
from msgspec.structs import replace

from cluster.policy.routes.destinations import Destination, parse

SMOOTHED_S = 60.0
"""What was carried this long ago counts 1/e of what is carried now. It is the same for all actors: while a destination
moves, what the former owner forgets is what the new one learns, and the sum of both is right all the time."""
REPORTED = 200
"""Destinations that an actor reports by name, the heaviest, beside those that the assignment names. Of 10,000 in Zipf's
order over 8 actors they are five of six messages; the others are many and light, and the hash spreads them well."""
MEASURED_AT_MOST = 20_000
"""Destinations that an actor measures one by one; what goes to further ones counts together, by source."""
NOTHING_PER_MIN = 0.05
"""A destination that carries less is forgotten."""


class DestinationLoad(Struct, frozen=True, kw_only=True):
    """What one actor carries at a destination. The name is that of the destination."""

    name: str
    per_min: float
    hot_s: float = 0.0
    """For how long the actor has stood at its limit because of it (splitting.py), in seconds."""
    most_shares: int = 1
    """Into how many shares its limits can be divided."""
    stays: bool = False
    """Its actor knows limits that the next one would not: automation has lowered them."""


class ActorLoad(Struct, frozen=True, kw_only=True):
    """What one actor carries: its heaviest destinations, and the others together by source."""

    destinations: tuple[DestinationLoad, ...] = ()
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def per_min(self) -> float:
        return sum(one.per_min for one in self.destinations) + sum(self.others.values())

    def times(self, factor: float) -> "ActorLoad":
        """A part of this load, of an actor that is not at its limit any more."""
        return ActorLoad(
            destinations=tuple(replace(one, per_min=one.per_min * factor, hot_s=0.0) for one in self.destinations),
            others={source: per_min * factor for source, per_min in self.others.items()},
        )


class Rates:
    """Messages a minute by destination, in one actor. Each message costs an addition."""

    def __init__(self) -> None:
        self._per_min: dict[Destination, float] = {}
        self._others: dict[str, float] = {}
        """By source, what goes to destinations beyond ``MEASURED_AT_MOST``."""
        self._carried: Counter[Destination] = Counter()
        self._carried_elsewhere: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._per_min)

    def carried(self, place: Destination) -> None:
        """A message was handed to a host of this destination, or refused by it."""
        if place in self._carried or len(self._carried) < MEASURED_AT_MOST:
            self._carried[place] += 1
        else:
            self._carried_elsewhere[place.source] += 1

    def pass_time(self, seconds: float) -> None:
        """Count in what was carried since the last call, ``seconds`` > 0 ago."""
        kept = exp(-seconds / SMOOTHED_S)
        gained = (1 - kept) * 60 / seconds
        rates = {place: rate * kept for place, rate in self._per_min.items()}
        for place, count in self._carried.items():
            rates[place] = rates.get(place, 0.0) + count * gained
        rates = {place: rate for place, rate in rates.items() if rate >= NOTHING_PER_MIN}
        others = defaultdict[str, float](float, {source: rate * kept for source, rate in self._others.items()})
        for source, count in self._carried_elsewhere.items():
            others[source] += count * gained
        if len(rates) > MEASURED_AT_MOST:
            heaviest = set(nlargest(MEASURED_AT_MOST, rates, key=rates.__getitem__))
            for place in rates.keys() - heaviest:
                others[place.source] += rates.pop(place)
        self._per_min = rates
        self._others = {source: rate for source, rate in others.items() if rate >= NOTHING_PER_MIN}
        self._carried.clear()
        self._carried_elsewhere.clear()

    def heaviest(self, named: Callable[[Destination], bool]) -> dict[Destination, float]:
        """The destinations that are reported by name: the heaviest, and those that have a name in the assignment, which
        they would lose otherwise."""
        heaviest = dict(nlargest(REPORTED, self._per_min.items(), key=lambda item: item[1]))
        return heaviest | {place: rate for place, rate in self._per_min.items() if named(place)}

    def others(self, named: Iterable[Destination]) -> dict[str, float]:
        """What goes to all but the named ones, by source."""
        sums = defaultdict[str, float](float, self._others)
        for place in self._per_min.keys() - set(named):
            sums[place.source] += self._per_min[place]
        return dict(sums)

    @property
    def per_min(self) -> float:
        return sum(self._per_min.values()) + sum(self._others.values())


class Known(Struct, frozen=True, kw_only=True):
    """A destination as all reports together show it."""

    place: Destination
    per_min: float
    hot_s: float
    most_shares: int
    stays: bool


def known(reports: Iterable[ActorLoad]) -> list[Known]:
    """The reported destinations, the heaviest first. While one moves, two actors report parts of it. A name that is
    none is not of this release, and is left out."""
    found: dict[str, list[DestinationLoad]] = {}
    for report in reports:
        for one in report.destinations:
            found.setdefault(one.name, []).append(one)
    merged = [
        Known(
            place=place,
            per_min=sum(one.per_min for one in some),
            hot_s=max(one.hot_s for one in some),
            most_shares=min(one.most_shares for one in some),
            stays=any(one.stays for one in some),
        )
        for name, some in found.items()
        if (place := parse(name)) is not None
    ]
    return sorted(merged, key=lambda one: (-one.per_min, str(one.place)))
