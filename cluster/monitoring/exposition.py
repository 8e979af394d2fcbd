"""Readings as Prometheus reads them: OpenMetrics 1.0, or the text format before it. Pure.

``prometheus_client`` writes both formats; its registry and its counters are not used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cluster.metrics import Reading

ACTOR = "actor"
"""The label with the name of the actor that a value is of."""
TOTAL = "_total"


class _Families(Collector):
    """Families that are there already: what an encoder takes."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(readings: Mapping[str, Sequence[Reading]], accept: str) -> tuple[bytes, str]:
    """The readings by actor as text, and its content type. ``accept``: the value of the request's header. What has no
    actor is under ""."""
    encode, content_type = choose_encoder(accept)
    text: bytes = encode(_Families(_families(readings)))
    return text, content_type


def _families(readings: Mapping[str, Sequence[Reading]]) -> list[Metric]:
    """One family a name, those of all actors together, in the order of their names."""
    found: dict[str, Metric] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for actor, of_actor in readings.items():
        for reading in of_actor:
            kind = (reading.kind, reading.label)
            if kinds.setdefault(reading.name, kind) != kind:
                continue  # of another release beside this one, which declares it otherwise
            family = found.get(reading.name)
            if family is None:
                family = Metric(reading.name.removesuffix(TOTAL), reading.help, reading.kind)
                found[reading.name] = family
            for suffix, labels, value in _samples(reading):
                family.add_sample(f"{family.name}{suffix}", {ACTOR: actor, **labels} if actor else labels, value)
    return [found[name] for name in sorted(found)]


def _samples(reading: Reading) -> Iterator[tuple[str, dict[str, str], float]]:
    if reading.kind == "histogram":
        for bound, count in reading.values.items():
            yield "_bucket", {reading.label: bound if bound == "+Inf" else str(float(bound))}, count
        yield "_count", {}, reading.values["+Inf"]
        yield "_sum", {}, reading.sum
        return
    suffix = TOTAL if reading.kind == "counter" else ""
    for value_of, value in reading.values.items():
        yield suffix, {reading.label: value_of} if reading.label else {}, value
