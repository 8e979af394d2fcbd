"""How metrics are counted and read, and how the product's metrics are declared."""

import pickle
import re
from typing import Any

import pytest
from msgspec import Struct

from cluster.metrics import (
    OTHER,
    Counter,
    Counters,
    CountersByName,
    Gauge,
    GaugesByName,
    Histogram,
    Metric,
    Names,
    Reading,
    declared_by,
    own,
    read,
)
from tests.metrics_page import PAGE, PARTS, declared, page, part_of

UNITS = ("_bytes", "_seconds", "_ratio")
OTHER_UNITS = ("_ms", "_s", "_kb", "_mb", "_kib", "_mib", "_percent", "_minutes", "_hours")


class Cook:
    """An object with metrics. ``read`` takes it for one of our packages, because of its module."""

    __module__ = "cluster.kitchen"

    meals = Counter("postray_meals_total", "Meals cooked.")
    orders = Counters("postray_orders_total", "Orders.", "kind", ("soup", "fish"))
    sizes = Histogram("postray_meal_bytes", "Sizes of meals.", (1, 10, 100))
    pots = Gauge("postray_pots", "Pots on the stove.", lambda cook: len(cook.stove))
    washed = Counter("postray_pots_washed_total", "Pots washed.", lambda cook: cook.sink)

    def __init__(self) -> None:
        self.stove: list[str] = []
        self.sink = 3


class Kitchen(Struct, frozen=True):
    """A Struct that holds a part with metrics."""

    __module__ = "cluster.kitchen"

    cook: Cook
    seats: int


class Restaurant:
    """The object of an actor."""

    def __init__(self, *cooks: Any) -> None:
        for number, cook in enumerate(cooks):
            setattr(self, f"_cook_{number}", cook)


def values(readings: list[Reading]) -> dict[str, dict[str, float]]:
    return {reading.name: dict(reading.values) for reading in readings}


def test_nothing_is_counted_before_anything_happens() -> None:
    assert values(read(Restaurant(Cook()))) == {
        "postray_meals_total": {"": 0},
        "postray_orders_total": {"soup": 0, "fish": 0},
        "postray_meal_bytes": {"1": 0, "10": 0, "100": 0, "+Inf": 0},
        "postray_pots": {"": 0},
        "postray_pots_washed_total": {"": 3},
    }


def test_a_counter_is_a_plain_integer_of_its_instance() -> None:
    cook, other = Cook(), Cook()
    cook.meals += 2
    cook.meals += 1
    assert type(vars(cook)["meals"]) is int
    assert (cook.meals, other.meals) == (3, 0)


def test_a_family_counts_only_what_it_declares() -> None:
    cook = Cook()
    cook.orders["fish"] += 1
    with pytest.raises(KeyError):
        cook.orders["meat"] += 1
    assert cook.orders == {"soup": 0, "fish": 1}
    assert Cook().orders == {"soup": 0, "fish": 0}


def test_a_histogram_counts_what_is_at_most_as_large_as_each_bound() -> None:
    cook = Cook()
    for size in (1, 5, 10, 10.5, 1000):
        cook.sizes.observe(size)
    (found,) = (reading for reading in read(cook) if reading.kind == "histogram")
    assert found.values == {"1": 1, "10": 3, "100": 4, "+Inf": 5}
    assert found.sum == 1026.5


def test_what_several_parts_of_an_actor_count_is_added_up() -> None:
    first, second = Cook(), Cook()
    first.meals, second.meals = 2, 3
    first.orders["soup"], second.orders["soup"] = 1, 1
    first.sizes.observe(2)
    second.sizes.observe(20)
    second.stove.append("pan")
    found = values(read(Restaurant(first, second, first)))
    assert found["postray_meals_total"] == {"": 5}
    assert found["postray_orders_total"] == {"soup": 2, "fish": 0}
    assert found["postray_meal_bytes"] == {"1": 0, "10": 1, "100": 2, "+Inf": 2}
    assert found["postray_pots"] == {"": 1}


def test_two_actors_in_a_process_share_no_number() -> None:
    busy, idle = Restaurant(Cook()), Restaurant(Cook())
    busy._cook_0.meals += 1  # type: ignore[attr-defined]  # set by number
    assert values(read(busy))["postray_meals_total"] == {"": 1}
    assert values(read(idle))["postray_meals_total"] == {"": 0}


def test_what_is_read_goes_from_process_to_process() -> None:
    cook = Cook()
    cook.sizes.observe(5)
    readings = read(Restaurant(cook))
    assert pickle.loads(pickle.dumps(readings)) == readings


def test_parts_of_parts_are_found_and_circles_end() -> None:
    cook, inner = Cook(), Cook()
    cook.helper = inner  # type: ignore[attr-defined]
    inner.chief = cook  # type: ignore[attr-defined]
    inner.meals += 4
    assert values(read(Restaurant(cook)))["postray_meals_total"] == {"": 4}


def test_parts_in_the_fields_of_a_struct_are_found() -> None:
    cook = Cook()
    cook.meals += 1
    assert values(read(Restaurant(Kitchen(cook, 8))))["postray_meals_total"] == {"": 1}


def test_a_class_has_the_metrics_of_those_that_it_is_derived_from() -> None:
    class Chef(Cook):
        stars = Gauge("postray_stars", "Stars.", lambda chef: 2)

    assert {metric.name for metric in declared_by(Chef)} > {metric.name for metric in declared_by(Cook)}
    assert values(read(Chef()))["postray_stars"] == {"": 2}


class Waiter:
    """Serves tables whose names are known only later."""

    __module__ = "cluster.kitchen"

    served = CountersByName("postray_served_total", "Dishes served.", "table", lambda waiter: waiter.dishes)
    guests = GaugesByName("postray_guests", "Guests.", "table", lambda waiter: waiter.dishes)

    def __init__(self, **dishes: int) -> None:
        self.dishes = dishes


def test_the_names_of_a_family_may_be_known_only_when_it_is_read() -> None:
    found = read(Restaurant(Waiter(window=2, door=1), Waiter(door=3)))
    assert values(found) == {
        "postray_served_total": {"window": 2, "door": 4},
        "postray_guests": {"window": 2, "door": 4},
    }
    assert {(one.name, one.kind, one.label) for one in found} == {
        ("postray_served_total", "counter", "table"),
        ("postray_guests", "gauge", "table"),
    }


def test_an_object_tells_its_own_metrics_without_those_of_its_parts() -> None:
    cook = Cook()
    cook.waiter = Waiter(door=1)  # type: ignore[attr-defined]
    assert {one.name for one in own(cook)} == {metric.name for metric in declared_by(Cook)}


def test_names_are_bounded_and_stay_what_they_were() -> None:
    names = Names({"gmail"}, most=3)
    assert [names.of(name) for name in ("a", "b", "c", "gmail", "a", "c")] == ["a", "b", OTHER, "gmail", "a", OTHER]


# The product's metrics


def test_the_page_of_metrics_is_what_the_code_declares() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it: python -m tests.metrics_page"


def test_every_part_of_the_page_has_metrics() -> None:
    assert {part_of(file) for file, _ in declared()} == set(PARTS)


def test_every_metric_has_a_name_of_its_own() -> None:
    names = [metric.name for _, metric in declared()]
    assert len(names) > 20
    assert sorted(set(names)) == sorted(names)


def test_every_metric_has_a_family_of_its_own() -> None:
    """OpenMetrics names the family of a counter without its _total."""
    families = [metric.name.removesuffix("_total") for _, metric in declared()]
    made = [name + end for name in families for end in ("", "_total", "_created", "_count", "_sum", "_bucket")]
    assert [name for name in families if made.count(name) > 1] == []


@pytest.mark.parametrize(("kind", "metric"), declared(), ids=lambda one: getattr(one, "name", ""))
def test_a_metric_is_named_and_explained_as_prometheus_has_it(kind: str, metric: Metric[Any]) -> None:
    name = metric.name
    assert re.fullmatch(r"postray(_[a-z0-9]+)+", name)
    assert (metric.kind == "counter") == name.endswith("_total"), "_total is for what only grows"
    unit = name.removesuffix("_total")
    assert not unit.endswith(OTHER_UNITS), f"units are {UNITS}"
    assert re.fullmatch(r"[A-Z0-9][^\n]{8,118}\.", metric.help), "one sentence, with a full stop"
    assert metric.attribute, f"{kind} does not have it as an attribute"
    if metric.label:
        assert re.fullmatch(r"[a-z_]+", metric.label)
    if isinstance(metric, Counters):
        assert 1 < len(metric.each) <= 40, "a family is small, and known beforehand"
    if isinstance(metric, Histogram):
        assert 2 < len(metric.buckets) <= 16
        assert list(metric.buckets) == sorted(set(metric.buckets))
