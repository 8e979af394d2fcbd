"""Destinations are spread by what they carry, and little moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.policy.balance.assignment import Assignment
from cluster.policy.balance.balancing import BUSY, IDLE, balanced
from cluster.policy.balance.loads import ActorLoad, DestinationLoad
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import make_ring
from cluster.policy.routes.ownership import Candidate
from tests.unit.policy.zipf import Loads, carried, members, owners, reports, zipf

TOTAL = 60_000.0


def settled(loads: Loads, candidates: list[Candidate], assignment: Assignment, rounds: int = 5) -> Assignment:
    """The assignment after a few rounds, each of which sees what the former one has done."""
    for now in range(rounds):
        assignment = balanced(candidates, reports(loads, candidates, assignment), assignment, float(now))
    return assignment


def moved(loads: Loads, before: dict[Destination, str], after: dict[Destination, str]) -> Loads:
    return {place: loads[place] for place, name in after.items() if before[place] != name}


def test_ten_thousand_sites_in_zipfs_order_on_eight_actors() -> None:
    loads, candidates = zipf(10_000, TOTAL), members(8)
    mean = TOTAL / 8
    assert max(loads.values()) < mean
    by_hash = max(carried(loads, candidates, Assignment()).values())
    found = settled(loads, candidates, Assignment(), rounds=1)
    assert by_hash > 1.3 * mean
    assert max(carried(loads, candidates, found).values()) <= 1.1 * mean
    assert min(carried(loads, candidates, found).values()) >= 0.9 * mean


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 8),
    sites=st.integers(2000, 5000),
    exponent=st.floats(0.6, 1.0),
)
def test_the_busiest_has_little_more_than_the_mean(seed: int, count: int, sites: int, exponent: float) -> None:
    loads, candidates = zipf(sites, TOTAL, exponent=exponent, seed=seed), members(count)
    mean = TOTAL / count
    assert max(loads.values()) <= mean
    found = settled(loads, candidates, Assignment())
    sums = carried(loads, candidates, found).values()
    assert max(sums) <= 1.3 * mean
    assert min(sums) >= 0.7 * mean


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 8))
def test_what_is_balanced_stays_as_it_is(seed: int, count: int) -> None:
    loads, candidates = zipf(3000, TOTAL, seed=seed), members(count)
    found = settled(loads, candidates, Assignment())
    assert settled(loads, candidates, found) is found


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 8))
def test_one_that_joins_takes_at_most_its_share(seed: int, count: int) -> None:
    loads, candidates = zipf(4000, TOTAL, seed=seed), members(count)
    found = settled(loads, candidates, Assignment())
    more = members(count + 1)
    mean = TOTAL / len(more)
    before = owners(loads, candidates, found)
    joined = settled(loads, more, found)
    taken = moved(loads, before, owners(loads, more, joined))
    new = carried(loads, more, joined)[more[-1].name]
    assert 0.7 * mean <= new <= 1.05 * mean
    # Nothing moves but to the new one, apart from light sites whose names are forgotten.
    assert sum(taken.values()) <= 1.1 * mean
    assert max(carried(loads, more, joined).values()) <= 1.3 * mean


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(3, 8))
def test_when_one_leaves_only_its_sites_move_at_once_and_little_later(seed: int, count: int) -> None:
    loads, candidates = zipf(4000, TOTAL, seed=seed), members(count)
    found = settled(loads, candidates, Assignment())
    before = owners(loads, candidates, found)
    fewer = candidates[:-1]
    at_once = owners(loads, fewer, found)
    assert {before[place] for place in moved(loads, before, at_once)} == {candidates[-1].name}
    later = settled(loads, fewer, found)
    mean = TOTAL / len(fewer)
    assert max(carried(loads, fewer, later).values()) <= 1.3 * mean
    # What the hash gave to one too many is moved on.
    assert sum(moved(loads, at_once, owners(loads, fewer, later)).values()) <= mean


def test_little_load_moves_nothing() -> None:
    loads, candidates = zipf(100, 100.0), members(2)
    assert settled(loads, candidates, Assignment()) == Assignment()


def test_one_actor_has_everything() -> None:
    loads, candidates = zipf(100, TOTAL), members(1)
    assert settled(loads, candidates, Assignment()) == Assignment()


def test_a_site_goes_only_where_its_source_is() -> None:
    candidates = [Candidate("a", frozenset({"out1"})), Candidate("b", frozenset({"out1", "out2"})), Candidate("c")]
    loads = {Destination(f"mx{n}.example", source): 100.0 for n in range(60) for source in ("out1", "out2", "")}
    found = settled(loads, candidates, Assignment())
    assert found.version > 0
    for place, name in owners(loads, candidates, found).items():
        able = {one.name for one in candidates if one.can_send(place)}
        assert name in able
        assert found.placed.get(str(place), name) in able


def test_the_shares_of_a_site_are_kept_apart() -> None:
    candidates = members(4)
    loads = {Destination("hot", share=share, shares=3): 10_000.0 for share in range(3)} | zipf(500, 10_000.0)
    found = settled(loads, candidates, Assignment())
    assert len({name for place, name in owners(loads, candidates, found).items() if place.site == "hot"}) == 3


def test_what_automation_has_limited_stays_where_it_is() -> None:
    candidates = members(2)
    own = [Destination(f"mx{n}.example") for n in range(200)]
    of_one = [place for place in own if make_ring(candidates, Assignment()).owner(place) == "delivery-0-0"]

    def report(stays: bool) -> list[ActorLoad]:
        some = (DestinationLoad(name=str(place), per_min=1000.0, stays=stays) for place in of_one)
        return [ActorLoad(destinations=tuple(some))]

    assert set(balanced(candidates, report(True), Assignment(), 0.0).placed.values()) == {"delivery-0-0"}
    assert set(balanced(candidates, report(False), Assignment(), 0.0).placed.values()) == {
        one.name for one in candidates
    }


def test_an_assignment_to_one_that_is_gone_is_none() -> None:
    candidates = members(3)
    place = Destination("mx.example")
    ring = make_ring(candidates, Assignment(version=1, placed={str(place): "gone"}))
    assert ring.owner(place) == make_ring(candidates, Assignment()).owner(place)


def test_the_names_are_kept_few() -> None:
    loads, candidates = zipf(10_000, TOTAL), members(8)
    found = settled(loads, candidates, Assignment())
    assert len(found.placed) < 2000


def test_the_bounds_leave_room_between_them() -> None:
    assert IDLE < 1 < BUSY <= 1.3


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("count", [9, 12, 16])
def test_an_actor_with_a_giant_has_little_else_and_the_others_are_even(seed: int, count: int) -> None:
    loads, candidates = zipf(4000, TOTAL, seed=seed), members(count)
    giants = sorted(loads.values(), reverse=True)[: 1 if count < 16 else 2]
    found = settled(loads, candidates, Assignment())
    sums = sorted(carried(loads, candidates, found).values(), reverse=True)
    level = sum(sums[len(giants) :]) / (count - len(giants))
    assert sums[0] <= max(level, *giants) + 0.3 * level
    assert all(one <= 1.3 * level for one in sums[len(giants) :])
    assert sums[-1] >= 0.7 * level
    more = members(count + 1)
    joined = settled(loads, more, found)
    assert carried(loads, more, joined)[more[-1].name] >= 0.6 * level


def test_two_giants_are_not_on_one_actor() -> None:
    candidates = members(6)
    places = [Destination(f"mx{n}.example") for n in range(400)]
    of_one = [place for place in places if make_ring(candidates, Assignment()).owner(place) == "delivery-0-0"]
    loads = {place: 20_000.0 if place in of_one[:3] else 20.0 for place in places}
    found = settled(loads, candidates, Assignment())
    owned = owners(loads, candidates, found)
    assert len({owned[place] for place in of_one[:3]}) == 3
    assert max(carried(loads, candidates, found).values()) < 1.05 * 20_000
