"""The limits of a share of a site: connections, and turns at a rate."""

from bisect import bisect_left
from random import Random

import pytest

from actors.delivery.throttle import LATE_S, MARGIN, Throttle
from cluster.policy.limits.shaping import Limits
from cluster.policy.replies.automation import Adjustments
from cluster.policy.routes.destinations import Destination
from tests.unit.delivery.builders import Clock, some_limits

WHOLE = Destination("example.com")
JITTER_S = 0.015
"""How much later than another a packet may be."""


def a_throttle(clock: Clock, limits: Limits, place: Destination = WHOLE) -> Throttle:
    adjustments = Adjustments((), clock(), shares=place.shares)
    return Throttle(place, limits, adjustments, clock, lambda: 0)


def most_in_a_second(times: list[float]) -> int:
    times.sort()
    return max(bisect_left(times, start + 1.0) - position for position, start in enumerate(times))


def turn(throttle: Throttle, clock: Clock, late_s: float = 0.0) -> float:
    """Take a turn as the pool does: wait as long as the throttle asks, by a timer that may be late."""
    while (wait := throttle.message_wait_s()) > 0:
        clock.now += max(wait, 1e-9) + late_s
    throttle.take_message()
    return clock.now


@pytest.mark.parametrize("rate", [1, 10, 100, 1000])
@pytest.mark.parametrize("load", ["steady", "in bursts"])
def test_no_second_sees_more_than_the_rate_however_late_they_are(rate: int, load: str) -> None:
    chance, clock = Random(rate), Clock()
    throttle = a_throttle(clock, some_limits(20, message_rate=f"{rate}/s"))
    arrivals: list[float] = []
    for _ in range(rate * 10):
        if load == "in bursts" and chance.random() < 2 / rate:
            clock.now += chance.random() * 3
        at = turn(throttle, clock, chance.random() * LATE_S)
        arrivals.append(at + chance.random() * JITTER_S)
    assert most_in_a_second(arrivals) <= rate
    if load == "steady":
        assert max(arrivals) - min(arrivals) < 10 * 1.07, "and hardly any of it is lost"


@pytest.mark.parametrize("rate", [1, 3, 5, 10, 101])
def test_shares_keep_the_rate_together(rate: int) -> None:
    times: list[float] = []
    for share in range(4):
        clock = Clock()
        place = Destination("example.com", "", share, 4)
        throttle = a_throttle(clock, some_limits(20, message_rate=f"{rate}/s"), place)
        end = clock.now + 40
        while clock.now < end:
            times.append(turn(throttle, clock))
    assert most_in_a_second(times) <= rate
    assert len(times) > 40 * rate * 0.85, "and hardly any of it is lost"


def test_what_has_not_been_used_is_not_saved_up() -> None:
    clock = Clock()
    throttle = a_throttle(clock, some_limits(message_rate="10/s"))
    turn(throttle, clock)
    clock.now += 3600
    first = turn(throttle, clock)
    assert [turn(throttle, clock) - first for _ in range(2)] == pytest.approx([0.105, 0.21], abs=0.006)


def test_a_process_that_was_held_up_does_not_make_up_for_it() -> None:
    clock = Clock()
    throttle = a_throttle(clock, some_limits(message_rate="100/s"))
    began = []
    for number in range(300):
        began.append(turn(throttle, clock, late_s=2.0 if number == 100 else 0.0))
    assert most_in_a_second(began) <= 100


def test_without_a_rate_no_message_waits() -> None:
    clock = Clock()
    throttle = a_throttle(clock, some_limits())
    assert {turn(throttle, clock) for _ in range(1000)} == {clock.now}
    assert (throttle.message_rate(), throttle.message_wait_s(), throttle.opening_wait_s()) == (0.0, 0.0, 0.0)


def test_openings_have_a_rate_of_their_own() -> None:
    clock = Clock()
    throttle = a_throttle(clock, some_limits(connection_rate="2/s"))
    assert throttle.opening_wait_s() == 0
    throttle.take_opening()
    assert throttle.opening_wait_s() == pytest.approx(0.526, abs=0.01)
    assert throttle.message_wait_s() == 0
    clock.now += 0.55
    assert throttle.opening_wait_s() == 0


def test_the_shares_of_a_site_have_their_parts() -> None:
    limits = some_limits(10, message_rate="90/s")
    shares = [a_throttle(Clock(), limits, Destination("example.com", share=share, shares=3)) for share in range(3)]
    assert [share.connections() for share in shares] == [4, 3, 3]
    assert [share.message_rate() for share in shares] == pytest.approx([30, 30, 30])


def test_a_rate_has_no_more_connections_than_it_can_use() -> None:
    assert a_throttle(Clock(), some_limits(20, message_rate="1/s")).connections() == 10
    assert a_throttle(Clock(), some_limits(20, message_rate="1/h")).connections() == 1
    assert a_throttle(Clock(), some_limits(20, message_rate="100/s")).connections() == 20


def test_a_higher_rate_holds_at_once() -> None:
    clock = Clock()
    throttle = a_throttle(clock, some_limits(message_rate="1/h"))
    throttle.take_message()
    assert throttle.message_wait_s() > 3600
    throttle.limits = some_limits(message_rate="10/s")
    assert throttle.message_wait_s() == pytest.approx(0.102, abs=0.006)


def test_a_lower_rate_holds_at_once_and_does_not_count_what_was_allowed() -> None:
    clock = Clock()
    throttle = a_throttle(clock, some_limits(message_rate="1000/s"))
    for _ in range(500):
        turn(throttle, clock)
    throttle.limits = some_limits(message_rate="1/s")
    assert throttle.message_wait_s() < 0.01
    throttle.take_message()
    assert throttle.message_wait_s() > 1


def test_a_rate_that_is_lifted_and_set_again_begins_anew() -> None:
    throttle = a_throttle(Clock(), some_limits(message_rate="1/h"))
    throttle.take_message()
    throttle.limits = some_limits()
    throttle.take_message()
    throttle.limits = some_limits(message_rate="1/h")
    assert throttle.message_wait_s() == 0


def test_the_connections_to_one_address_are_shared_out_as_well() -> None:
    shares = [Destination("example.com", share=share, shares=2) for share in range(2)]
    clock = Clock()
    limits = some_limits(connections_per_ip=3)
    assert [a_throttle(clock, limits, place).connections_per_address() for place in shares] == [2, 1]
    assert a_throttle(clock, some_limits(), shares[0]).connections_per_address() == 0


def test_a_rate_holds_over_a_move() -> None:
    """The next owner waits as long as the former owner would have."""
    clock = Clock()
    throttle = a_throttle(clock, some_limits(20, message_rate="1/m", connection_rate="2/m"))
    began = clock.now
    throttle.took_over(began - 10)
    throttle.took_over(began - 10)  # it is the same message
    assert throttle.message_wait_s() == pytest.approx(60 / MARGIN - 10, abs=0.1)
    assert throttle.opening_wait_s() == pytest.approx(30 / MARGIN - 10, abs=0.1)
    assert turn(throttle, clock) > began + 50
    longest_ago = a_throttle(clock, some_limits(20, message_rate="1/m"))
    longest_ago.took_over(clock.now - 100)
    assert longest_ago.message_wait_s() == 0


def test_the_limits_of_a_site_say_into_how_many_shares_it_can_be_divided() -> None:
    clock = Clock()
    assert a_throttle(clock, some_limits(20)).most_shares() == 20
    assert a_throttle(clock, some_limits(20, connections_per_ip=3)).most_shares() == 3
