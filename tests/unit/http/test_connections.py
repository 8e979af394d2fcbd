"""Seats: who gets one, who goes for it, and when time is over; the clock is an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.client_address import address_key
from cluster.http.connections import FEWEST, ConnectionBounds, Connections, Phase, Seat, affordable

BOUNDS = ConnectionBounds(
    connections=4, per_address=3, head_timeout_s=10, idle_timeout_s=60, unread_timeout_s=30, leaving_s=2, reserved=2
)


def seated(connections: Connections, address: str, phase: Phase, now: float) -> Seat:
    seat, victim = connections.admit(address, now)
    assert victim is None
    connections.move(seat, phase, now)
    return seat


def test_who_goes_first() -> None:
    connections = Connections(BOUNDS)
    phases = (Phase.UNREAD, Phase.PARTIAL, Phase.IDLE, Phase.LEAVING)
    seats = {phase: seated(connections, f"10.0.0.{n}", phase, n) for n, phase in enumerate(phases)}
    for phase in (Phase.LEAVING, Phase.IDLE, Phase.PARTIAL, Phase.UNREAD):
        seat, victim = connections.admit("10.0.0.9", 10)
        assert victim is seats[phase]
        connections.remove(seat)
        seated(connections, f"10.1.0.{phase}", Phase.BUSY, 10)
    assert len(connections) == 4
    seat, victim = connections.admit("10.0.0.9", 11)
    assert victim is None and seat.reserved


def test_who_is_about_to_ask_comes_after_who_only_began() -> None:
    connections = Connections(BOUNDS)
    half = [seated(connections, f"10.0.0.{n}", Phase.PARTIAL, n) for n in range(4)]
    for n in range(4):
        _, victim = connections.admit("10.0.1.1" if n % 2 else "10.0.1.2", 10)
        assert victim is half[n]


def test_an_address_makes_room_for_itself() -> None:
    connections = Connections(BOUNDS)
    other = seated(connections, "10.0.0.2", Phase.IDLE, 0)
    own = [seated(connections, "10.0.0.1", phase, 1) for phase in (Phase.BUSY, Phase.PARTIAL, Phase.IDLE)]
    _, victim = connections.admit("10.0.0.1", 2)
    assert victim is own[2]
    assert other.group is not None


def test_reserved_seats_go_round() -> None:
    connections = Connections(BOUNDS)
    for n in range(4):
        seated(connections, f"10.0.0.{n}", Phase.BUSY, 0)
    first, second, third = (connections.admit("10.0.0.9", 0) for _ in range(3))
    assert first[0].reserved and first[1] is None and second[1] is None
    assert third[1] is first[0]
    connections.remove(first[0])  # its connection ends: nothing
    assert connections.expired(10, 10) == [second[0], third[0]]
    connections.remove(second[0])
    assert len(connections) == 4


@pytest.mark.parametrize(
    ("phase", "limit_s"),
    [(Phase.LEAVING, 2), (Phase.IDLE, 60), (Phase.NEW, 10), (Phase.PARTIAL, 10), (Phase.UNREAD, 30)],
)
def test_each_phase_has_its_time(phase: Phase, limit_s: float) -> None:
    connections = Connections(BOUNDS)
    seat, _ = connections.admit("10.0.0.1", 0)
    connections.move(seat, Phase.BUSY, 50)
    assert connections.expired(1000, 9) == []
    connections.move(seat, phase, 100)
    connections.move(seat, phase, 101)  # goes on: no new time
    assert connections.expired(100 + limit_s - 0.1, 9) == []
    assert connections.expired(100 + limit_s, 0) == []
    assert connections.expired(100 + limit_s, 9) == [seat]
    assert connections.expired(100 + limit_s, 9) == []  # reported once


def test_the_first_byte_begins_a_new_time() -> None:
    connections = Connections(BOUNDS)
    seat, _ = connections.admit("10.0.0.1", 0)
    connections.move(seat, Phase.PARTIAL, 8)
    assert connections.expired(17, 9) == []
    assert connections.expired(18, 9) == [seat]


def test_descriptors_that_are_short_are_taken_from_who_waits() -> None:
    connections = Connections(BOUNDS)
    busy, half, idle = (seated(connections, "10.0.0.1", p, 0) for p in (Phase.BUSY, Phase.PARTIAL, Phase.IDLE))
    assert connections.spare(1) == [idle]
    assert connections.spare(5) == [half]
    assert busy.group is not None and len(connections) == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["admit", "move", "remove", "spare"]), st.integers(0, 30), st.sampled_from(list(Phase)))
)


@given(steps=STEPS)
def test_no_sequence_breaks_the_bounds(steps: list[tuple[str, int, Phase]]) -> None:
    connections = Connections(BOUNDS)
    seats: list[Seat] = []
    for now, (step, number, phase) in enumerate(steps):
        if step == "admit":
            seat, victim = connections.admit(f"10.0.0.{number % 3}", now)
            seats = [other for other in seats if other is not victim] + [seat]
        elif step == "spare":
            spared = connections.spare(number % 3)
            seats = [seat for seat in seats if seat not in spared]
        elif seats and step == "move":
            connections.move(seats[number % len(seats)], phase, now)
        elif seats:
            connections.remove(seats.pop(number % len(seats)))
        assert len(connections) == len(seats) <= BOUNDS.connections + BOUNDS.reserved
        for address in ("10.0.0.0", "10.0.0.1", "10.0.0.2"):
            assert sum(s.address == address and not s.reserved for s in seats) <= BOUNDS.per_address
    waiting = {s for s in seats if s.reserved or s.phase is not Phase.BUSY}
    assert set(connections.expired(len(steps) + 1000, 1000)) == waiting
    for seat in seats:
        connections.remove(seat)
    assert len(connections) == 0 and not connections.expired(10**6, 1)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_counts_as_one_address(host: str, key: str) -> None:
    assert address_key(host) == key


@pytest.mark.parametrize(
    ("wanted", "descriptors", "used", "expected"),
    [(10_000, 20_000, 100, 10_000), (10_000, 256, 60, 256 - 60 - 16 - 64), (10_000, 64, 60, FEWEST), (4, 256, 60, 4)],
)
def test_what_a_process_can_hold(wanted: int, descriptors: int, used: int, expected: int) -> None:
    assert affordable(wanted, descriptors=descriptors, used=used) == expected


def test_a_connection_in_use_is_no_idle_one() -> None:
    connections = Connections(BOUNDS)
    used, idle = (seated(connections, f"10.0.0.{n}", Phase.IDLE, 0) for n in range(2))
    connections.move(used, Phase.BUSY, 10)
    connections.move(used, Phase.IDLE, 50)
    assert connections.expired(60, 9) == [idle]
    assert connections.expired(109, 9) == []
    connections.move(used, Phase.BUSY, 109)
    assert connections.expired(1000, 9) == []
    connections.move(used, Phase.IDLE, 1000)
    assert connections.expired(1059, 9) == []
    assert connections.expired(1060, 9) == [used]


class Reader:
    """The connection of a client that reads, or does not."""

    def __init__(self, left: int) -> None:
        self.left = left

    def evict(self) -> None: ...

    def expire(self) -> None: ...

    def unread(self) -> int:
        return self.left


def unread(connections: Connections, address: str, bytes_: int, now: float) -> tuple[Seat, list[Seat]]:
    seat = seated(connections, address, Phase.UNREAD, now)
    seat.holder = Reader(bytes_)
    return seat, connections.count_unread(seat, bytes_, now)


def test_beyond_the_bound_the_longest_unread_go() -> None:
    connections = Connections(ConnectionBounds(connections=100, per_address=100, unread_bytes=100))
    seats = [unread(connections, f"10.0.0.{n}", 40, n)[0] for n in range(2)]
    third, shed = unread(connections, "10.0.0.3", 40, 3)
    assert shed == [seats[0]]
    seats[1].holder = Reader(90)
    assert connections.count_unread(seats[1], 90, 4) == [seats[1]]  # its own turn
    big, shed = unread(connections, "10.0.0.4", 500, 5)
    assert shed == [third] and len(connections) == 1  # one answer may be larger
    connections.move(big, Phase.BUSY, 6)
    assert unread(connections, "10.0.0.5", 60, 7)[1] == []  # what was read is given back


def test_an_address_has_its_share_of_what_may_be_unread() -> None:
    connections = Connections(ConnectionBounds(connections=100, per_address=25, unread_bytes=400))
    other = unread(connections, "10.0.0.2", 90, 0)[0]
    own = [unread(connections, "10.0.0.1", 40, n)[0] for n in range(1, 3)]
    assert unread(connections, "10.0.0.1", 40, 3)[1] == [own[0]]
    assert other.group is not None


def test_who_reads_is_not_cut_off_for_who_does_not() -> None:
    connections = Connections(ConnectionBounds(connections=100, per_address=100, unread_bytes=100))
    reader = unread(connections, "10.0.0.1", 40, 0)[0]
    silent = unread(connections, "10.0.0.2", 40, 1)[0]
    reader.holder = Reader(39)
    assert unread(connections, "10.0.0.3", 40, 2)[1] == [silent]
    assert connections.expired(31, 9) == []  # and has its time anew
    assert reader in connections.expired(32, 9)


def test_a_trickle_is_no_defence() -> None:
    connections = Connections(ConnectionBounds(connections=100, per_address=100, unread_bytes=1000))
    seats = [unread(connections, "10.0.0.1", 100, n)[0] for n in range(10)]
    for seat in seats:
        seat.holder = Reader(99)
    assert len(unread(connections, "10.0.0.1", 500, 11)[1]) > 0
