"""The pure decisions: lifecycle, ownership, destinations, fairness, rate."""

from collections import Counter
from copy import copy
from itertools import product
from random import Random

import pytest

from cluster.policy.lifecycle import (
    FINISHED,
    TRANSITIONS,
    UNFINISHED,
    ImpossibleTransition,
    Status,
    Transition,
    after,
    fold,
)
from cluster.policy.limits.fairness import FairQueue, room
from cluster.policy.limits.gcra import Gcra
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.ownership import Candidate, owner

# Lifecycle


def test_every_pair_is_in_the_table_or_impossible() -> None:
    for status, transition in product((None, *Status), Transition):
        if (status, transition) in TRANSITIONS:
            assert after(status, transition) is TRANSITIONS[status, transition]
        else:
            with pytest.raises(ImpossibleTransition):
                after(status, transition)


def test_a_claimed_delivery_cannot_be_cancelled() -> None:
    cancellable = {status for status in Status if (status, Transition.CANCELLED) in TRANSITIONS}
    assert cancellable == {Status.QUEUED, Status.PROCESSING}


def test_an_unfinished_delivery_can_always_be_ended_and_is_never_stuck() -> None:
    for status in UNFINISHED:
        if status is Status.RENDERED:  # in memory only, inside SENDING
            continue
        assert TRANSITIONS[status, Transition.GAVE_UP] is Status.FAILED
        if status is not Status.QUEUED:
            assert TRANSITIONS[status, Transition.LEASE_EXPIRED] is Status.QUEUED


@pytest.mark.parametrize(
    ("statuses", "folded"),
    [
        ("delivered", "delivered"),
        ("delivered queued", "queued"),
        ("sending queued", "queued"),
        ("sending delivered", "sending"),
        ("bounced delivered", "delivered"),
        ("bounced sent", "sent"),
        ("bounced failed", "bounced"),
        ("failed cancelled", "failed"),
    ],
)
def test_the_fold(statuses: str, folded: str) -> None:
    assert fold([Status(status) for status in statuses.split()]) is Status(folded)


def test_finished_and_unfinished_are_all() -> None:
    assert set(UNFINISHED) | set(FINISHED) == set(Status)


# Ownership


def candidates(*names: str, sources: str = "") -> list[Candidate]:
    return [Candidate(name, frozenset(sources.split())) for name in names]


def test_the_order_of_candidates_does_not_matter() -> None:
    members = candidates("a", "b", "c")
    for i in range(50):
        assert owner(Destination(f"site{i}"), members) == owner(Destination(f"site{i}"), members[::-1])


@pytest.mark.parametrize("source", ["", "out1"])
def test_only_the_destinations_of_a_lost_member_move(source: str) -> None:
    members = candidates(*(f"m{i}" for i in range(5)), sources="out1")
    for i in range(300):
        place = Destination(f"site{i}", source)
        before = owner(place, members)
        if before != "m3":
            assert owner(place, [member for member in members if member.name != "m3"]) == before


def test_destinations_are_spread() -> None:
    members = candidates("a", "b", "c", "d", sources="out1")
    counts = Counter(owner(Destination(f"site{i}"), members) for i in range(4000))
    assert min(counts.values()) > 800
    one_site = Counter(
        owner(Destination("hot", f"out{i}"), candidates("a", "b", sources=f"out{i}")) for i in range(200)
    )
    assert min(one_site.values()) > 60, "what goes to one site from several sources is spread as well"


def test_the_shares_of_a_site_are_on_different_members() -> None:
    members = candidates("a", "b", "c")
    assert {owner(Destination("hot", share=share, shares=3), members) for share in range(3)} == {"a", "b", "c"}
    assert owner(Destination("hot", share=5, shares=6), members[:1]) == "a"


def test_a_source_is_owned_where_its_addresses_are() -> None:
    members = [*candidates("a", "b", sources="out1 out2"), *candidates("c", sources="out3"), *candidates("d")]
    for i in range(50):
        assert owner(Destination(f"site{i}", "out1"), members) in ("a", "b")
        assert owner(Destination(f"site{i}", "out3"), members) == "c"
    assert owner(Destination("site", "out4"), members) is None
    assert {owner(Destination(f"site{i}"), members) for i in range(50)} == {"a", "b", "c", "d"}
    assert owner(Destination("site"), []) is None


# Fairness


def a_queue(**counts: int) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for tenant, count in counts.items():
        for number in range(count):
            queue.push(tenant, f"{tenant}{number}")
    return queue


def popped(queue: FairQueue[str]) -> str:
    return " ".join(queue.pop()[0] for _ in range(queue.ready))


def test_tenants_take_turns() -> None:
    queue = a_queue(big=3, small=1)
    assert popped(queue) == "big0 small0 big1 big2"
    assert (len(queue), queue.tenants, queue.ready) == (0, 0, 0)
    with pytest.raises(IndexError):
        queue.pop()


def test_what_is_chosen_is_taken_out_wherever_it_waits() -> None:
    queue = a_queue(big=3, small=1, held=2)
    queue.hold("held")
    assert queue.remove(lambda item: item in ("big1", "small0", "held0")) == ["big1", "small0", "held0"]
    assert (len(queue), queue.tenants, queue.ready) == (3, 2, 2)
    assert queue.remove(lambda _: False) == []
    assert popped(queue) == "big0 big2"
    queue.release("held")
    assert popped(queue) == "held1"
    assert (len(queue), queue.tenants, queue.ready) == (0, 0, 0)


def test_what_is_alike_goes_together_in_one_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "a4"):
        queue.push("one", item)
    queue.push("two", "a5")

    def alike(one: str, other: str) -> bool:
        return one[0] == other[0]

    assert queue.pop(alike, 2) == ["a1", "a2"]
    assert queue.pop(alike, 2) == ["a5"]
    assert [queue.pop(alike, 2) for _ in range(3)] == [["a3"], ["b1"], ["a4"]]


def test_who_is_held_back_has_no_turn_and_loses_nothing() -> None:
    queue = a_queue(one=2, two=2)
    queue.hold("one")
    queue.hold("three")
    queue.push("one", "one2")
    queue.push("three", "three0")
    assert (len(queue), queue.ready, queue.tenants, queue.waiting_of("one")) == (6, 2, 3, 3)
    assert popped(queue) == "two0 two1"
    with pytest.raises(IndexError):
        queue.pop()
    queue.release("one")
    queue.release("three")
    queue.release("nobody")
    assert popped(queue) == "one0 three0 one1 one2"
    assert len(queue) == 0


def test_dropping_and_clearing_take_out_what_waits_held_back_or_not() -> None:
    queue = a_queue(one=2, two=2, three=1)
    queue.hold("one")
    assert queue.drop("one") == ["one0", "one1"]
    queue.push("one", "one2")
    assert (len(queue), queue.ready) == (4, 3), "it is held back all the same"
    assert queue.drop("three") == ["three0"]
    assert dict(queue.items()) == {"two0": 0, "two1": 1, "one2": 0}
    assert sorted(queue.clear()) == ["one2", "two0", "two1"]
    assert (len(queue), queue.ready, queue.tenants) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_are_right_whatever_happens(seed: int) -> None:
    chance = Random(seed)
    queue: FairQueue[str] = FairQueue()
    waiting: Counter[str] = Counter()
    held: set[str] = set()
    for step in range(3000):
        tenant = chance.choice("abcd")
        match chance.randrange(6):
            case 0 | 1:
                queue.push(tenant, f"{tenant}{step}")
                waiting[tenant] += 1
            case 2 if queue.ready:
                waiting[queue.pop()[0][0]] -= 1
            case 3:
                queue.hold(tenant)
                held.add(tenant)
            case 4:
                queue.release(tenant)
                held.discard(tenant)
            case 5 if chance.random() < 0.1:
                assert len(queue.drop(tenant)) == waiting.pop(tenant, 0)
        assert len(queue) == waiting.total()
        assert queue.ready == sum(count for tenant, count in waiting.items() if tenant not in held)
        assert queue.tenants == len(+waiting)


def test_a_newcomer_always_finds_room() -> None:
    waiting: Counter[str] = Counter()

    def fill(tenant: str) -> int:
        while room(waiting.total(), waiting[tenant], len(waiting | {tenant: 1}), 100):
            waiting[tenant] += 1
        return waiting[tenant]

    assert room(0, 0, 1, 100) == 50
    assert fill("big") == 50
    assert fill("second") == 33
    assert room(waiting.total(), 0, 3, 100) == 17
    assert room(100, 0, 3, 100) == 0
    assert room(0, 0, 1, 1) == 1


# Rate

ROUNDING_S = 1e-9


def free(limit: Gcra, now: float) -> int:
    """How many messages may be sent now, one after the other; they count as sent."""
    count = 0
    while limit.wait_s(now) < ROUNDING_S:
        limit.take(1, now)
        count += 1
    return count


@pytest.mark.parametrize(("rate", "burst"), [(10, 1), (200, 20), (3, 1)])
def test_no_second_sees_more_than_the_rate_and_one_burst(rate: int, burst: int) -> None:
    limit = Gcra(rate, burst)
    sent: list[float] = []
    for tick in range(5000):
        now = tick / 1000
        sent += [now] * free(limit, now)
    for start in sent:
        assert sum(start <= at < start + 1 for at in sent) <= rate + burst
    assert 5 * rate <= len(sent) <= 5 * rate + burst


def test_the_wait_is_as_long_as_it_takes() -> None:
    limit = Gcra(10, 2)
    assert limit.wait_s(5.0) == 0
    limit.take(2, 5.0)
    assert free(limit, 5.0) == 0
    assert limit.wait_s(5.0) == pytest.approx(0.1)
    assert free(limit, 5.1) == 1


def test_another_rate_holds_at_once_and_what_was_taken_stays_taken() -> None:
    limit = Gcra(1, 10)
    limit.take(10, 5.0)
    limit.change(10, 10, 5.0)
    assert limit.wait_s(5.0) == pytest.approx(0.1)
    limit.change(0.001, 10, 5.0)
    owing = copy(limit)
    assert free(owing, 5.0) == 9, "who owes a second is not made to owe hours"
    limit.change(0.001, 1, 5.0)
    assert 0 < limit.wait_s(5.0) <= 1.0
