"""Mail over the sources of a pool, some of which may send only so much today."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.limits.spreading import spread

SOURCES = ("a", "b", "c")
COUNTS = st.dictionaries(st.sampled_from(SOURCES), st.integers(0, 5000))
ALLOWED = st.dictionaries(st.sampled_from(SOURCES), st.none() | st.integers(0, 5000))
WEIGHTS = st.dictionaries(st.sampled_from(SOURCES), st.integers(1, 10))


@pytest.mark.parametrize(
    ("counts", "allowed", "weights", "found"),
    [
        ({"a": 100}, {}, {"a": 1, "b": 1}, {"a": 100}),
        ({"a": 100}, {"a": 30}, {"a": 1}, {"a": 100}),
        ({"a": 100}, {"a": 30}, {"a": 1, "b": 1}, {"a": 30, "b": 70}),
        ({"a": 100, "b": 100}, {"a": 30, "b": 120}, {"a": 1, "b": 1}, {"a": 80, "b": 120}),
        ({"a": 100}, {"a": 0}, {"a": 5, "b": 1, "c": 3}, {"b": 25, "c": 75}),
        ({"a": 100}, {"a": 10, "b": None}, {}, {"a": 100}),
    ],
)
def test_what_is_over_leaves_from_the_others(
    counts: dict[str, int], allowed: dict[str, int | None], weights: dict[str, int], found: dict[str, int]
) -> None:
    assert spread(counts, allowed, weights) == found


@given(COUNTS, ALLOWED, WEIGHTS)
def test_nothing_is_lost_and_no_source_gets_more_than_it_may_send(
    counts: dict[str, int], allowed: dict[str, int | None], weights: dict[str, int]
) -> None:
    found = spread(counts, allowed, weights)
    assert sum(found.values()) == sum(counts.values())
    for source, count in found.items():
        limit = inf if (most := allowed.get(source)) is None else most
        assert count <= max(limit, counts.get(source, 0))
        if count > limit:
            assert all(found.get(other, 0) >= (allowed.get(other) or 0) for other in weights if other in allowed)
            assert all(allowed.get(other) is not None for other in weights), "one without a limit takes all"
