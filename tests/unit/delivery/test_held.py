"""What an actor holds: a limit for all, and a little more for tenants that hold little."""

from hypothesis import given
from hypothesis import strategies as st

from actors.delivery.held import BEYOND, FEW, HeldDeliveries


def test_a_flood_takes_no_more_than_the_room() -> None:
    held = HeldDeliveries(400)
    for number in range(400):
        assert held.has_room_for("flood")
        held.add((f"msg_{number}", 0), "flood")
    assert not held.has_room_for("flood")
    assert held.room == 0


def test_a_tenant_with_few_finds_room_beyond_it() -> None:
    held = HeldDeliveries(400)
    for number in range(400):
        held.add((f"msg_{number}", 0), "flood")
    for number in range(400 // FEW):
        assert held.has_room_for("small")
        held.add((f"msg_small_{number}", 0), "small")
    assert not held.has_room_for("small")
    held.discard([("msg_small_0", 0)])
    assert held.has_room_for("small")


def test_what_many_tenants_hold_beyond_it_is_bounded() -> None:
    held = HeldDeliveries(400)
    number = 0
    while held.has_room_for(f"tnt_{number}"):
        held.add((f"msg_{number}", 0), f"tnt_{number}")
        number += 1
    assert number == 400 + 400 // BEYOND


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.sampled_from("abc"))))
def test_it_counts_what_is_held(steps: list[tuple[bool, int, str]]) -> None:
    held = HeldDeliveries(6)
    expected: dict[tuple[str, int], str] = {}
    for adds, number, tenant_id in steps:
        key = ("msg", number)
        if adds:
            held.add(key, tenant_id)
            expected.setdefault(key, tenant_id)
        else:
            held.discard([key])
            expected.pop(key, None)
        kept = {("msg", one) for one in range(9) if ("msg", one) in held}
        assert (kept, len(held), held.room) == (set(expected), len(expected), max(0, 6 - len(expected)))
        for one in "abc":
            few = list(expected.values()).count(one) < 1 and len(expected) < 7
            assert held.has_few_of(one) is few
