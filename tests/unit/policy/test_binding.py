"""Which limit binds: what stops comes first, what slows is named only while something waits."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.policy.limits.binding import Bound, SiteFacts, binding, binding_of_shares

BUSY = SiteFacts(waiting=5, ready=5, connections=2, connection_limit=10, message_rate=0.0)
IDLE = SiteFacts(waiting=0, ready=0, connections=0, connection_limit=10, message_rate=0.0)


@pytest.mark.parametrize(
    ("site", "bound"),
    [
        (IDLE, Bound.NOTHING),
        (BUSY, Bound.NOTHING),
        (replace(IDLE, is_suspended=True), Bound.SUSPENSION),
        (replace(BUSY, is_suspended=True, is_used_up=True), Bound.SUSPENSION),
        (replace(BUSY, is_used_up=True, backs_off_for=Bound.BACK_OFF), Bound.WARM_UP),
        (replace(BUSY, backs_off_for=Bound.BACK_OFF, is_stalled=True), Bound.BACK_OFF),
        (replace(BUSY, backs_off_for=Bound.TLS, put_off_for=Bound.DEFERRALS), Bound.TLS),
        (replace(BUSY, is_stalled=True, put_off_for=Bound.DEFERRALS, connections=10), Bound.SILENT_HOSTS),
        (replace(IDLE, put_off_for=Bound.DNS), Bound.DNS),
        (replace(BUSY, put_off_for=Bound.DEFERRALS, connections=10), Bound.DEFERRALS),
        (replace(BUSY, ready=0, connections=10), Bound.TENANT_LIMITS),
        (replace(BUSY, ready=0, jobs_waiting=1, connections=10), Bound.CONNECTIONS),
        (replace(BUSY, message_rate=5.0), Bound.NOTHING),
        (replace(BUSY, message_rate=5.0, message_wait_s=0.1, connections=10), Bound.MESSAGE_RATE),
        (replace(BUSY, message_rate=5.0, connections=10), Bound.CONNECTIONS),
        (replace(BUSY, connections=10, addresses_full=True), Bound.CONNECTIONS),
        (replace(BUSY, addresses_full=True, opening_wait_s=1.0), Bound.CONNECTIONS_PER_IP),
        (replace(BUSY, opening_wait_s=1.0), Bound.CONNECTION_RATE),
        (replace(IDLE, jobs_waiting=1, opening_wait_s=1.0), Bound.CONNECTION_RATE),
        (replace(IDLE, connections=10, message_rate=5.0, message_wait_s=1.0, opening_wait_s=1.0), Bound.NOTHING),
    ],
)
def test_the_first_that_applies_is_named(site: SiteFacts, bound: Bound) -> None:
    assert binding(site) is bound


def test_each_has_words_of_its_own() -> None:
    assert len({bound.words for bound in Bound}) == len(Bound)
    assert [bound for bound in Bound if not bound.words] == [Bound.NOTHING]


def test_a_value_of_another_release_is_nothing() -> None:
    assert Bound.read("message_rate") is Bound.MESSAGE_RATE
    assert Bound.read("of_a_later_release") is Bound.NOTHING


def test_of_shares_that_counts_which_holds_back_the_most() -> None:
    assert binding_of_shares([]) is Bound.NOTHING
    assert binding_of_shares([(Bound.NOTHING, 100), (Bound.CONNECTIONS, 1)]) is Bound.CONNECTIONS
    two = [(Bound.CONNECTIONS, 3), (Bound.MESSAGE_RATE, 4), (Bound.CONNECTIONS, 2)]
    assert {binding_of_shares(some) for some in permutations(two)} == {Bound.CONNECTIONS}
    even = [(Bound.CONNECTIONS, 0), (Bound.SUSPENSION, 0), (Bound.NOTHING, 9)]
    assert {binding_of_shares(some) for some in permutations(even)} == {Bound.SUSPENSION}


@given(st.lists(st.tuples(st.sampled_from(Bound), st.integers(0, 1000))))
def test_what_is_named_holds_some_share_back(shares: list[tuple[Bound, int]]) -> None:
    found = binding_of_shares(shares)
    assert (found is Bound.NOTHING) == all(bound is Bound.NOTHING for bound, _ in shares)
    if found is not Bound.NOTHING:
        assert found in [bound for bound, _ in shares]
