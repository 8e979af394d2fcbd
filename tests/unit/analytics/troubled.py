"""Made-up series in which troubles are found, or none."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from analytics.samples import Sample
from analytics.troubles import effects
from analytics.troubles.effects import Told, all_troubles, longest
from analytics.troubles.recorded import Flow, Posts, Recorded, Span, TroubleKind

T0 = 1_800_000_000
SECONDS = 600
SITE = "google.com"
LIVING = ("api-0", "capture", "delivery-0-0", "delivery-0-1", "recorder", "scheduler", "supervisor", "webhooks")


def noise(mean: float, seed: int, count: int = SECONDS) -> list[int]:
    """Counts that scatter as those of independent arrivals."""
    random = Random(seed)
    return [round(max(0.0, random.gauss(mean, mean**0.5))) for _ in range(count)]


def within(values: list[int], first: int, last: int, change: Callable[[int], int]) -> list[int]:
    return [change(value) if first <= i <= last else value for i, value in enumerate(values)]


def a_sample(at: int, **changed: Any) -> Sample:
    usual: dict[str, Any] = {"taken": 500, "journal_ms": 2.0, "unfinished": 40, "policy_version": 1, "nodes": 1}
    return Sample(at=T0 + at, interval_s=10.0, **usual | {"journal_started": T0 - 5000} | changed)


def samples(changed: Mapping[int, Mapping[str, Any]] | None = None, without: tuple[int, ...] = ()) -> list[Sample]:
    """One each ten seconds; ``changed``: by when, in seconds."""
    found = changed or {}
    return [a_sample(at, **found.get(at, {})) for at in range(10, SECONDS + 1, 10) if at not in without]


def recorded(seed: int = 1, **changed: Any) -> Recorded:
    taken, delivered = noise(50, seed), noise(50, seed + 1)
    flow = Flow(delivered=delivered, attempted=delivered, spent_ms=[20 * count for count in delivered])
    zeros = [0] * SECONDS
    values: dict[str, Any] = {
        "samples": samples(),
        "taken": taken,
        "whole": flow,
        "sites": {SITE: flow},
        "failures": [],
        "held": [],
        "posts": Posts(all=noise(2, seed + 2), failed=zeros, slow=zeros),
        "set_aside": zeros,
    }
    return Recorded(span=Span(since=T0, until=T0 + SECONDS), **values | changed)


def told(of: Recorded) -> list[Told]:
    return effects.told(of, longest(all_troubles(of)))


def found(of: Recorded) -> list[tuple[TroubleKind, str, float, float]]:
    return [(one.trouble.kind, one.trouble.subject, one.trouble.begin - T0, one.trouble.end - T0) for one in told(of)]
