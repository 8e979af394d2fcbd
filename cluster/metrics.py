"""Metrics of a process, each declared in the class that counts it.

    class Committer:
        committed = Counter("postray_outcomes_committed_total", "Outcomes that the journal has taken.")

        async def _commit(self, batch: list[OutcomeWithEvent]) -> None:
            ...
            self.committed += len(batch)

A declaration is a class attribute. The count is a plain integer of the instance: the first ``+=`` stores it among the
instance's attributes, and from then on Python finds it there without calling the declaration. So there is no registry,
neither as an argument nor in a module: the metrics of an actor are those of the objects that it is made of. ``read``
follows the actor's attributes recursively through the classes of this product. Two actors in one process, as in tests,
share declarations but no counts, unless they share the object that counts.

Objects in a list or a dict are not found, and an object with ``__slots__`` has no metrics: where there are many of a
kind (sites, connections), their owner counts. The counts of several objects of one class in an actor are summed. What
is counted by site has a bounded number of names (``Names``).

Two readers ask the actors (``call("metrics")``): ``GET /metrics`` those of its node (cluster/monitoring), the
supervisor all of them. Names follow Prometheus: ``postray_…``, with the unit at the end, then ``_total`` for counters;
tests/unit/test_metrics.py checks them. docs/metrics.md is made from the declarations.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, ClassVar, Generic, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from cluster.policy.forms import Form

_OURS = frozenset({"actors", "analytics", "api", "cluster"})
"""Packages whose objects ``read`` follows."""

Kind = Literal["counter", "gauge", "histogram"]
T = TypeVar("T")


class Reading(Form, frozen=True, kw_only=True):
    """The values of one metric of one actor."""

    name: str
    kind: Kind
    help: str
    label: str = ""
    """The name of the label; "" for a single value."""
    values: Mapping[str, float]
    """By the value of the label. For a histogram, whose label is ``le``, cumulative: the observations up to each
    bound."""
    sum: float = 0.0
    """The sum of a histogram's observations."""


class Metric(Generic[T]):
    """A declaration. ``read`` returns the value for an instance that has not stored one."""

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
        """The current value of an instance of the class."""
        value = getattr(part, self.attribute)
        return Reading(name=self.name, kind=self.kind, help=self.help, label=self.label, **self._fields(value))

    def _fields(self, value: Any) -> dict[str, Any]:
        """The fields of ``Reading`` that depend on the value."""
        return {"values": {"": value}}


class Counter(Metric[int]):
    """A value that only grows: ``self.attribute += 1``. Pass ``read`` when the instance counts elsewhere already."""

    kind = "counter"

    def __init__(self, name: str, help: str, read: Callable[[Any], int] = lambda part: 0) -> None:
        super().__init__(name, help, read)


class Seconds(Metric[float]):
    """Seconds that only become more: ``self.attribute += seconds``, or ``read`` where they are counted elsewhere."""

    kind = "counter"

    def __init__(self, name: str, help: str, read: Callable[[Any], float] = lambda part: 0.0) -> None:
        super().__init__(name, help, read)


class Gauge(Metric[float]):
    """A value that goes up and down. ``read`` computes it on collection, so it costs nothing before."""

    kind = "gauge"


class Counters(Metric[dict[str, int]]):
    """A family of counters, one for each label value in ``each``: ``self.attribute[value] += 1``. Raises KeyError for
    other values."""

    kind = "counter"

    def __init__(self, name: str, help: str, label: str, each: Iterable[str]) -> None:
        super().__init__(name, help, self._begin)
        self.label = label
        self.each = tuple(each)

    def _begin(self, part: Any) -> dict[str, int]:
        counts: dict[str, int] = part.__dict__.setdefault(self.attribute, dict.fromkeys(self.each, 0))
        return counts

    def _fields(self, value: dict[str, int]) -> dict[str, Any]:
        return {"values": {str(one): count for one, count in value.items()}}


OTHER = "other"
MOST_NAMES = 200


class Names:
    """The names under which things are shown of which there may be any number, such as sites. ``always`` have their
    own; so do the first others, until there are ``most``; what comes later is ``OTHER``. A name stays what it was: what
    is counted under it only grows."""

    def __init__(self, always: Iterable[str] = (), most: int = MOST_NAMES) -> None:
        self._most = most
        self._own = set(always)

    def of(self, name: str) -> str:
        if name not in self._own:
            if len(self._own) >= self._most:
                return OTHER
            self._own.add(name)
        return name


class _ByName(Metric[Mapping[str, float]]):
    """A family whose label values are known only when it is read. ``read`` returns the values by them, and bounds their
    number, as with ``Names``."""

    def __init__(self, name: str, help: str, label: str, read: Callable[[Any], Mapping[str, float]]) -> None:
        super().__init__(name, help, read)
        self.label = label

    def _fields(self, value: Mapping[str, float]) -> dict[str, Any]:
        return {"values": dict(value)}


class CountersByName(_ByName):
    """Values that only grow."""

    kind = "counter"


class GaugesByName(_ByName):
    """Values that go up and down."""

    kind = "gauge"


class Observations:
    """The buckets of one instance's histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """One per bucket; the last is for values above all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histogram(Metric[Observations]):
    """A distribution of values: ``self.attribute.observe(value)``. ``buckets`` has the upper bounds, ascending."""

    kind = "histogram"
    label = "le"

    def __init__(self, name: str, help: str, buckets: Iterable[float]) -> None:
        super().__init__(name, help, self._begin)
        self.buckets = tuple(buckets)

    def _begin(self, part: Any) -> Observations:
        observed: Observations = part.__dict__.setdefault(self.attribute, Observations(self.buckets))
        return observed

    def _fields(self, value: Observations) -> dict[str, Any]:
        bounds = (*(f"{bound:g}" for bound in self.buckets), "+Inf")
        return {"values": dict(zip(bounds, accumulate(value.counts), strict=True)), "sum": value.sum}


def declared_by(kind: type) -> list[Metric[Any]]:
    """The metrics that a class declares or inherits."""
    return [value for base in kind.__mro__ for value in vars(base).values() if isinstance(value, Metric)]


def own(part: object) -> list[Reading]:
    """The metrics that an object declares itself, without those of its parts."""
    return [metric.reading(part) for metric in declared_by(type(part))]


def read(actor: object) -> list[Reading]:
    """The metrics of an actor's object and of the objects that it is made of."""
    found: dict[str, Reading] = {}
    for part in _parts(actor):
        for reading in own(part):
            found[reading.name] = _added(found[reading.name], reading) if reading.name in found else reading
    return list(found.values())


def _parts(actor: object) -> Iterator[object]:
    """The object, and the objects of this product's classes that its attributes lead to, each once."""
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
    values = dict(one.values)
    for value, count in other.values.items():
        values[value] = values.get(value, 0) + count
    return replace(one, values=values, sum=one.sum + other.sum)
