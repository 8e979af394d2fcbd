"""A site too hot for one actor is split within its limits, after a minute, and comes back when it is quiet."""

from msgspec.structs import replace

from cluster.policy.balance.assignment import Assignment, Split
from cluster.policy.balance.loads import ActorLoad, DestinationLoad
from cluster.policy.balance.splitting import RETURN_AFTER_S, SPLIT_AFTER_S, hot_s, split
from cluster.policy.routes.destinations import CAPTURE, Destination
from cluster.policy.routes.ownership import Candidate
from tests.unit.policy.zipf import members

HOT = DestinationLoad(name="hot.example", per_min=60_000.0, hot_s=60.0, most_shares=20)
FOUR = members(4)


def decided(
    *loads: DestinationLoad,
    current: Assignment = Assignment(),  # noqa: B008 - it is frozen
    quiet_since: dict[str, float] | None = None,
    home: int = 1,
    now: float = 10_000.0,
    candidates: list[Candidate] = FOUR,
) -> tuple[Assignment, dict[str, float]]:
    return split(candidates, [ActorLoad(destinations=loads)], current, quiet_since or {}, lambda _: home, now)


def shares(assignment: Assignment) -> dict[str, int]:
    return {name: one.shares for name, one in assignment.splits.items()}


def in_shares(count: int, per_min: float, **fields: float) -> list[DestinationLoad]:
    places = [Destination("hot.example", share=n, shares=count) for n in range(count)]
    return [replace(HOT, name=str(place), per_min=per_min / count, hot_s=fields.get("hot_s", 0.0)) for place in places]


def a_split(count: int, changed_at: float = 0.0) -> Assignment:
    return Assignment(version=5, splits={"hot.example": Split(shares=count, capacity=60_000.0, changed_at=changed_at)})


def test_an_actor_stands_at_its_limit_for_a_minute_without_a_break() -> None:
    stood = 0.0
    for _ in range(5):
        stood = hot_s(stood, 10.0, busy=0.9, part=0.7, waits=True)
    assert stood == 50.0 < SPLIT_AFTER_S
    assert hot_s(stood, 10.0, busy=0.9, part=0.7, waits=True) >= SPLIT_AFTER_S
    assert hot_s(stood, 10.0, busy=0.8, part=0.7, waits=True) == 0
    assert hot_s(stood, 10.0, busy=0.9, part=0.4, waits=True) == 0
    assert hot_s(stood, 10.0, busy=0.9, part=0.7, waits=False) == 0


def test_a_hot_site_has_two_shares_and_what_was_assigned_of_it_is_not() -> None:
    current = Assignment(version=3, placed={"hot.example": "delivery-0-0", "other.example": "delivery-1-0"})
    found, _ = decided(HOT, current=current)
    assert (shares(found), found.version) == ({"hot.example": 2}, 4)
    assert found.splits["hot.example"].capacity == 60_000.0
    assert found.placed == {"other.example": "delivery-1-0"}


def test_one_that_is_not_hot_for_a_minute_stays_whole() -> None:
    current = Assignment()
    assert decided(replace(HOT, hot_s=50.0), current=current)[0] is current


def test_a_site_is_split_within_its_limits_and_the_actors_that_there_are() -> None:
    assert shares(decided(replace(HOT, most_shares=1))[0]) == {}
    hot = in_shares(2, 120_000.0, hot_s=60.0)
    assert shares(decided(*hot, current=a_split(2))[0]) == {"hot.example": 4}
    assert shares(decided(*(replace(one, most_shares=3) for one in hot), current=a_split(2))[0]) == {"hot.example": 3}
    assert shares(decided(*hot, current=a_split(2), candidates=members(2))[0]) == {"hot.example": 2}
    only = [Candidate("a", frozenset({"out1"})), Candidate("b")]
    assert shares(decided(replace(HOT, name="out1>hot.example"), candidates=only)[0]) == {}


def test_it_is_not_split_again_before_the_shares_had_their_minute() -> None:
    hot = in_shares(2, 120_000.0, hot_s=60.0)
    current = a_split(2, changed_at=9_950.0)
    assert decided(*hot, current=current)[0] is current


def test_what_serves_all_domains_and_what_automation_has_limited_stay_as_they_are() -> None:
    for one in (replace(HOT, name=CAPTURE), replace(HOT, name="relay.example:587"), replace(HOT, stays=True)):
        assert shares(decided(one)[0]) == {}


def test_the_settings_say_how_many_shares_there_are_at_least() -> None:
    hot = in_shares(3, 180_000.0, hot_s=60.0)
    assert shares(decided(*hot, home=3)[0]) == {"hot.example": 4}
    assert shares(decided(*in_shares(2, 100_000.0), current=a_split(2), home=3)[0]) == {"hot.example": 3}


def test_it_returns_when_it_was_quiet_for_long_and_is_forgotten_later() -> None:
    quiet = in_shares(4, 60_000.0)  # two shares would carry 120,000
    current, since = a_split(4), dict[str, float]()
    found, since = decided(*quiet, current=current, quiet_since=since)
    assert (found, since) == (current, {"hot.example": 10_000.0})
    found, since = decided(*quiet, current=current, quiet_since=since, now=10_000.0 + RETURN_AFTER_S - 1)
    assert (found, since) == (current, {"hot.example": 10_000.0})
    now = 10_000.0 + RETURN_AFTER_S
    found, since = decided(*quiet, current=current, quiet_since=since, now=now)
    assert (shares(found), since) == ({"hot.example": 2}, {})
    # What one share is of two is too much for one.
    found, since = decided(*in_shares(2, 60_000.0), current=found, now=now + 5)
    assert (shares(found), since) == ({"hot.example": 2}, {})


def test_a_moment_of_load_ends_the_quiet_time() -> None:
    busy = in_shares(4, 100_000.0)
    assert decided(*busy, current=a_split(4), quiet_since={"hot.example": 0.0}) == (a_split(4), {})


def test_a_site_without_any_load_comes_back_step_by_step() -> None:
    current, since, now = a_split(4), dict[str, float](), 10_000.0
    numbers = []
    while current.splits:
        current, since = decided(current=current, quiet_since=since, now=now)
        numbers.append(current.splits["hot.example"].shares if current.splits else 0)
        now += RETURN_AFTER_S / 2
    assert list(dict.fromkeys(numbers)) == [4, 2, 1, 0]


def test_limits_that_have_become_small_take_shares_back_at_once() -> None:
    loads = [replace(one, most_shares=2) for one in in_shares(4, 200_000.0)]
    assert shares(decided(*loads, current=a_split(4))[0]) == {"hot.example": 2}
