"""Metrics: what a process counts, each declared on a line of the class that counts it.

    class Committer:
        committed = Counter("postray_outcomes_committed_total", "Outcomes that the journal has taken.")

        async def _commit(self, batch: list[Told]) -> None:
            ...
            self.committed += len(batch)

A declaration is a constant of its class. What is counted is a plain integer of the instance: the first ``+=`` puts it
among the instance's attributes, where Python finds it from then on without asking the declaration. So there is no
registry to hand on, and none in a module: the metrics of an actor are those of the objects that it is made of.
``read`` follows the actor's attributes, and theirs, through the classes of this product. Two actors in one process, as
in tests, share the declarations and no number, unless they share the object that counts.

An object in a list or a dict is not found, and one with ``__slots__`` holds no metrics: where there are many of a kind
(sites, connections), their owner counts. Several objects of one class in an actor are added up. The supervisor reads
all actors (``call("metrics")``). Names are those of Prometheus: ``postray_…``, with the unit at the end, then
``_total`` for what only grows; tests/unit/test_metrics.py holds them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, ClassVar, Generic, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

_OURS = frozenset({"actors", "analytics", "api", "cluster"})
"""Packages whose objects are followed."""

Kind = Literal["counter", "gauge", "histogram"]
T = TypeVar("T")


class Reading(Struct, frozen=True, kw_only=True):
    """The values of one metric of one actor."""

    name: str
    kind: Kind
    help: str
    label: str = ""
    """What the values are told apart by; "" for a single one."""
    values: Mapping[str, float]
    """By the value of the label. Of a histogram, whose label is ``le``: how many observations were at most so large."""
    sum: float = 0.0
    """Of a histogram's observations."""


class Metric(Generic[T]):
    """A declaration. ``read`` tells the value of an instance for which none was set."""

    kind: ClassVar[Kind]
    label = ""

    def __init__(self, name: str, help: str, read: Callable[[Any], T]) -> None:
        self.name = name
        self.help = help
        self._read = read
        self.attribute = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute

    def __get__(self, part: object, owner: type) -> T:
        return self._read(part)

    def reading(self, part: object) -> Reading:
        """What an instance of the class has counted."""
        value = getattr(part, self.attribute)
        return Reading(name=self.name, kind=self.kind, help=self.help, label=self.label, **self._told(value))

    def _told(self, value: Any) -> dict[str, Any]:
        return {"values": {"": value}}


class Counter(Metric[int]):
    """Only grows: ``self.attribute += 1``. With ``read``: what the instance counts elsewhere already."""

    kind = "counter"

    def __init__(self, name: str, help: str, read: Callable[[Any], int] = lambda part: 0) -> None:
        super().__init__(name, help, read)


class Gauge(Metric[float]):
    """Goes up and down; what ``read`` tells when it is asked for, at no cost before."""

    kind = "gauge"


class Counters(Metric[dict[str, int]]):
    """A family of counters, one for each of ``each``: ``self.attribute[value] += 1``. Raises KeyError for others."""

    kind = "counter"

    def __init__(self, name: str, help: str, label: str, each: Iterable[str]) -> None:
        super().__init__(name, help, self._begin)
        self.label = label
        self.each = tuple(each)

    def _begin(self, part: Any) -> dict[str, int]:
        counts: dict[str, int] = part.__dict__.setdefault(self.attribute, dict.fromkeys(self.each, 0))
        return counts

    def _told(self, value: dict[str, int]) -> dict[str, Any]:
        return {"values": {str(one): count for one, count in value.items()}}


class Observations:
    """What an instance has observed for a histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, the last for what is above all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histogram(Metric[Observations]):
    """How often which size: ``self.attribute.observe(value)``. ``buckets``: their upper bounds, ascending."""

    kind = "histogram"
    label = "le"

    def __init__(self, name: str, help: str, buckets: Iterable[float]) -> None:
        super().__init__(name, help, self._begin)
        self.buckets = tuple(buckets)

    def _begin(self, part: Any) -> Observations:
        observed: Observations = part.__dict__.setdefault(self.attribute, Observations(self.buckets))
        return observed

    def _told(self, value: Observations) -> dict[str, Any]:
        bounds = (*(f"{bound:g}" for bound in self.buckets), "+Inf")
        return {"values": dict(zip(bounds, accumulate(value.counts), strict=True)), "sum": value.sum}


def declared_by(kind: type) -> list[Metric[Any]]:
    """The metrics that a class declares, or has from the classes that it is derived from."""
    return [value for base in kind.__mro__ for value in vars(base).values() if isinstance(value, Metric)]


def read(actor: object) -> list[Reading]:
    """The metrics of an actor's object and of all that it is made of."""
    found: dict[str, Reading] = {}
    for part in _parts(actor):
        for metric in declared_by(type(part)):
            reading = metric.reading(part)
            found[metric.name] = _added(found[metric.name], reading) if metric.name in found else reading
    return list(found.values())


def _parts(actor: object) -> Iterator[object]:
    """The object, and those of our classes that its attributes lead to, each once."""
    seen = {id(actor)}
    parts = [actor]
    while parts:
        part = parts.pop()
        yield part
        for value in _attributes(part):
            if type(value).__module__.partition(".")[0] in _OURS and id(value) not in seen:
                seen.add(id(value))
                parts.append(value)


def _attributes(part: object) -> Iterable[object]:
    if isinstance(part, Struct):
        return [getattr(part, field) for field in part.__struct_fields__]
    found: dict[str, object] = getattr(part, "__dict__", {})
    return found.values()


def _added(one: Reading, other: Reading) -> Reading:
    values = {value: count + other.values[value] for value, count in one.values.items()}
    return replace(one, values=values, sum=one.sum + other.sum)
