"""The pure decisions: lifecycle, ownership, destinations, retry, verdict, fairness."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Literal

import pytest

from cluster.policy.destinations import Destination, destination, existing
from cluster.policy.fairness import FairQueue, room
from cluster.policy.lifecycle import (
    FINISHED,
    TRANSITIONS,
    UNFINISHED,
    Event,
    ImpossibleTransition,
    Status,
    after,
    fold,
)
from cluster.policy.ownership import owner
from cluster.policy.rate import Gcra
from cluster.policy.retry import next_attempt
from cluster.policy.verdict import Judgement, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)


# Lifecycle


def test_every_pair_is_in_the_table_or_impossible() -> None:
    for status, event in product(Status, Event):
        if (status, event) in TRANSITIONS:
            assert after(status, event) is TRANSITIONS[status, event]
        else:
            with pytest.raises(ImpossibleTransition):
                after(status, event)


def test_a_claimed_delivery_cannot_be_cancelled() -> None:
    cancellable = {status for status in Status if (status, Event.CANCELLED) in TRANSITIONS}
    assert cancellable == {Status.QUEUED, Status.PROCESSING}


def test_an_unfinished_delivery_can_always_be_ended_and_is_never_stuck() -> None:
    for status in UNFINISHED:
        if status is Status.RENDERED:  # in memory only, inside SENDING
            continue
        assert TRANSITIONS[status, Event.GAVE_UP] is Status.FAILED
        if status is not Status.QUEUED:
            assert TRANSITIONS[status, Event.LEASE_EXPIRED] is Status.QUEUED


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


def test_the_order_of_members_does_not_matter() -> None:
    members = ["a", "b", "c"]
    for i in range(50):
        assert owner(f"site{i}", 0, members) == owner(f"site{i}", 0, members[::-1])


def test_only_the_sites_of_a_lost_member_move() -> None:
    members = [f"m{i}" for i in range(5)]
    for i in range(300):
        before = owner(f"site{i}", 0, members)
        if before != "m3":
            assert owner(f"site{i}", 0, [m for m in members if m != "m3"]) == before


def test_sites_are_spread() -> None:
    counts = Counter(owner(f"site{i}", 0, ["a", "b", "c", "d"]) for i in range(4000))
    assert min(counts.values()) > 800


def test_the_shares_of_a_site_are_on_different_members() -> None:
    members = ["a", "b", "c"]
    assert {owner("hot", share, members) for share in range(3)} == set(members)
    assert owner("hot", 5, ["a"]) == "a"


# Destinations


def test_a_domain_is_its_own_site_in_direct_mode() -> None:
    assert destination("example.com", "msg_1", mode="direct", relay="", shares=4) == Destination("example.com")


def test_one_host_for_all_is_one_site_in_shares() -> None:
    places = {destination("example.com", f"msg_{i}", mode="capture", relay="", shares=2) for i in range(50)}
    assert places == {Destination("capture", 0, 2), Destination("capture", 1, 2)}
    assert destination("x.example", "msg_1", mode="relay", relay="smart:25", shares=1).site == "smart:25"


def test_a_destination_is_known_again_by_its_name_while_it_exists() -> None:
    for place in (Destination("capture", 1, 4), Destination("example.com")):
        mode: Literal["capture", "direct"] = "direct" if place.shares == 1 else "capture"
        assert existing(str(place), mode=mode, relay="", shares=4) == place
    assert existing("capture#1/2", mode="capture", relay="", shares=4) is None
    assert existing("capture#1/4", mode="direct", relay="", shares=4) is None
    assert existing("example.com", mode="relay", relay="smart:25", shares=1) is None
    assert existing("smart:25", mode="relay", relay="smart:25", shares=1) == Destination("smart:25")


@pytest.mark.parametrize("limit", [1, 5, 20, 21])
def test_the_parts_of_a_limit_sum_to_it(limit: int) -> None:
    parts = [Destination("s", share, 3).part_of(limit) for share in range(3)]
    assert sum(parts) == max(limit, 3)
    assert max(parts) - min(parts) <= 1


# Retry

SCHEDULE = (60.0, 300.0, 900.0)


def schedule(lifetime: timedelta, jitter: float) -> list[int]:
    """Whole seconds from the first attempt to each of the next."""
    now, attempts, times = NOW, 1, []
    while due := next_attempt(SCHEDULE, attempts, now=now, expires_at=NOW + lifetime, jitter=jitter):
        times.append(round((due - NOW).total_seconds()))
        now, attempts = due, attempts + 1
    return times


def test_the_schedule() -> None:
    assert schedule(timedelta(hours=1), jitter=0.5) == [60, 360, 1260, 2160, 3060]


def test_jitter_is_a_tenth_either_way() -> None:
    assert schedule(timedelta(seconds=400), jitter=0.0) == [54, 324]
    assert schedule(timedelta(seconds=400), jitter=0.9999) == [66, 396]


def test_no_attempt_after_the_lifetime() -> None:
    assert schedule(timedelta(seconds=30), jitter=0.5) == []


# Verdict


@pytest.mark.parametrize(
    ("code", "enhanced", "judgement", "bounce_type"),
    [
        (250, None, Judgement.ACCEPTED, None),
        (251, "2.1.5", Judgement.ACCEPTED, None),
        (421, "4.7.0", Judgement.DEFERRED, None),
        (450, None, Judgement.DEFERRED, None),
        (354, None, Judgement.DEFERRED, None),
        (550, "5.1.1", Judgement.BOUNCED, "hard"),
        (550, None, Judgement.BOUNCED, "hard"),
        (552, "5.2.2", Judgement.BOUNCED, "soft"),
        (554, "5.7.1", Judgement.BOUNCED, "block"),
        (550, "5.7.26", Judgement.BOUNCED, "block"),
        (550, "5.1.8", Judgement.BOUNCED, "block"),
        (553, None, Judgement.BOUNCED, "hard"),
        (554, None, Judgement.BOUNCED, "block"),
        (521, "5.3.2", Judgement.BOUNCED, "soft"),
        (599, None, Judgement.BOUNCED, "soft"),
    ],
)
def test_verdicts(code: int, enhanced: str | None, judgement: Judgement, bounce_type: str | None) -> None:
    verdict = judge(code, enhanced)
    assert (verdict.judgement, verdict.bounce_type) == (judgement, bounce_type)


# Fairness


def test_tenants_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(3):
        queue.push("big", f"big{i}")
    queue.push("small", "small0")
    assert [queue.pop() for _ in range(len(queue))] == ["big0", "small0", "big1", "big2"]
    assert (len(queue), queue.tenants) == (0, 0)
    with pytest.raises(IndexError):
        queue.pop()


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


@pytest.mark.parametrize(("rate", "burst"), [(10, 1), (200, 20), (3, 1)])
def test_no_second_sees_more_than_the_rate_and_one_burst(rate: int, burst: int) -> None:
    limit = Gcra(rate, burst)
    sent: list[float] = []
    for tick in range(5000):
        now = tick / 1000
        count = limit.available(now)
        limit.take(count, now)
        sent += [now] * count
    for start in sent:
        assert sum(start <= at < start + 1 for at in sent) <= rate + burst
    assert 5 * rate <= len(sent) <= 5 * rate + burst


def test_the_wait_is_as_long_as_it_takes() -> None:
    limit = Gcra(10, 2)
    assert limit.wait_s(5.0) == 0
    limit.take(2, 5.0)
    assert limit.available(5.0) == 0
    assert limit.wait_s(5.0) == pytest.approx(0.1)
    assert limit.available(5.1) == 1
