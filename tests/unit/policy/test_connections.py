"""How many connections are worth opening, and what is recorded about addresses."""

import pytest

from cluster.policy.limits.connections import FIRST_DEAD_S, LONGEST_DEAD_S, REMEMBERED, AddressStates, wanted
from cluster.policy.routes.destinations import Destination

HERE = Destination("example.com")


def test_the_curve() -> None:
    assert [wanted(waiting, 20) for waiting in (0, 1, 4, 5, 8, 9, 40, 76, 77, 1000)] == [
        0,
        1,
        1,
        2,
        2,
        3,
        10,
        19,
        20,
        20,
    ]
    assert wanted(1000, 1) == 1


def test_with_many_connections_open_a_few_messages_share_one() -> None:
    assert [wanted(20, 20, open_in_all) for open_in_all in (0, 49, 50, 300, 800)] == [5, 5, 4, 2, 1]
    assert wanted(1000, 20, 800) == 20


def test_an_address_is_dead_for_longer_each_time_and_forgiven_when_it_works() -> None:
    addresses, now, spans = AddressStates(), 100.0, []
    for _ in range(9):
        addresses.failed("", "192.0.2.1", now)
        until = next(s for s in range(1, 10_000) if not addresses.is_dead("", "192.0.2.1", now + s))
        spans.append(until)
        now += until
    assert spans == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert (spans[0], spans[-1]) == (FIRST_DEAD_S, LONGEST_DEAD_S)
    addresses.worked("", "192.0.2.1")
    addresses.failed("", "192.0.2.1", now)
    assert not addresses.is_dead("", "192.0.2.1", now + FIRST_DEAD_S)


def test_connections_that_break_together_are_one_failure() -> None:
    addresses = AddressStates()
    for _ in range(20):
        addresses.failed("", "192.0.2.1", 100.0)
    assert addresses.is_dead("", "192.0.2.1", 100.0 + FIRST_DEAD_S - 1)
    assert not addresses.is_dead("", "192.0.2.1", 100.0 + FIRST_DEAD_S)


def test_what_is_dead_is_known_by_source() -> None:
    addresses = AddressStates()
    addresses.failed("a", "192.0.2.1", 100.0)
    assert addresses.is_dead("a", "192.0.2.1", 100.0)
    assert not addresses.is_dead("b", "192.0.2.1", 100.0)
    assert not addresses.is_dead("a", "192.0.2.2", 100.0)


def test_memory_is_bounded() -> None:
    addresses = AddressStates()
    for number in range(REMEMBERED + 1):
        addresses.failed("", str(number), 100.0)
    assert not addresses.is_dead("", "0", 100.0)
    assert addresses.is_dead("", "1", 100.0)


def test_open_connections_are_counted_by_place_and_address() -> None:
    addresses = AddressStates()
    assert addresses.has_room(HERE, "192.0.2.1", 0)
    for _ in range(2):
        addresses.opened(HERE, "192.0.2.1")
    assert not addresses.has_room(HERE, "192.0.2.1", 2)
    assert addresses.has_room(HERE, "192.0.2.1", 0)
    assert addresses.has_room(HERE, "192.0.2.2", 2)
    assert addresses.has_room(Destination("example.com", source="b"), "192.0.2.1", 2)
    addresses.closed(HERE, "192.0.2.1")
    assert addresses.has_room(HERE, "192.0.2.1", 2)
    addresses.closed(HERE, "192.0.2.1")
    with pytest.raises(KeyError):
        addresses.closed(HERE, "192.0.2.1")
