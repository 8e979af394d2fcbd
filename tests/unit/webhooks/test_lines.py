"""Which events of an endpoint are posted next."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actors.webhooks.lines import MOST_ARRAYS, MOST_HELD_BYTES, MOST_POSTS, Line, Parcel
from cluster.journal.webhook_posting import BundleEnded, LeasedBundle, Left
from cluster.policy.webhooks.failing import Health

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)


def a_bundle(number: int, count: int, *, attempts: int = 0, failures: int = 0, size: int = 10) -> LeasedBundle:
    return LeasedBundle(
        webhook_id="wh_1",
        id=number,
        events=msgspec.msgpack.encode([f"{number}/{place}" + "." * size for place in range(count)]),
        count=count,
        since=NOON,
        attempts=attempts,
        failures=failures,
    )


def a_line(*bundles: LeasedBundle, is_array: bool = False) -> Line:
    line = Line("wh_1", 0.0)
    line.is_array = is_array
    for bundle in bundles:
        line.add(bundle, 0.0)
    return line


def taken(line: Line) -> list[Parcel]:
    """All that is posted now."""
    parcels = []
    while (parcel := line.take()) is not None:
        parcels.append(parcel)
    return parcels


def texts(parcel: Parcel) -> list[str]:
    return [msgspec.msgpack.decode(event).rstrip(".") for _, event in parcel.events]


def succeed(line: Line, parcel: Parcel) -> list[BundleEnded]:
    return line.ended(parcel, failed=(), failures=0, due_at=LATER, now=0.0)


def fail(line: Line, parcel: Parcel) -> list[BundleEnded]:
    return line.ended(parcel, failed=parcel.events, failures=1, due_at=LATER, now=0.0)


def test_posts_at_the_same_time_grow_with_successes_and_a_failure_ends_that() -> None:
    line = a_line(a_bundle(1, 1000))
    running = taken(line)
    counts = []
    for _ in range(40):
        counts.append(line.running)
        succeed(line, running.pop(0))
        running += taken(line)
    assert counts[:4] == [1, 2, 3, 4]
    assert counts[-1] == MOST_POSTS
    fail(line, running.pop(0))
    assert taken(line) == [], "it waits for what the journal makes of the failure"
    for parcel in running:
        fail(line, parcel)
    line.settled(Health(failures=1), 1 + len(running))
    assert len(taken(line)) == 1


def test_a_bundle_of_single_events_ends_with_the_last_of_them() -> None:
    line = a_line(a_bundle(1, 3))
    ended = []
    for _ in range(3):
        parcel = line.take()
        assert parcel is not None
        ended.append(succeed(line, parcel))
        assert line.running == 0
    assert ended == [[], [], [BundleEnded(webhook_id="wh_1", id=1)]]
    assert (line.is_idle, line.held_bytes) == (True, 0)


def test_what_failed_of_a_bundle_is_left_of_it() -> None:
    line = a_line(a_bundle(1, 3, attempts=1))
    first = line.take()
    assert first is not None and first.attempt == 2
    assert fail(line, first) == []
    line.settled(Health(failures=1), 1)
    ended: list[BundleEnded] = []
    for _ in range(2):
        parcel = line.take()
        assert parcel is not None
        ended += succeed(line, parcel)
    (left,) = ended[0].left
    assert (left.count, left.attempts, left.due_at) == (1, 2, LATER)
    assert left.events is not None
    assert msgspec.msgpack.decode(left.events) == ["1/0.........."]


def test_what_was_not_posted_goes_back_as_it_was() -> None:
    line = a_line(a_bundle(1, 5), a_bundle(2, 2, attempts=3))
    parcel = line.take()
    assert parcel is not None
    given = line.give_back()
    assert given == [BundleEnded(webhook_id="wh_1", id=2, left=(Left(count=2, attempts=3, due_at=NOON),))]
    (ended,) = fail(line, parcel)
    assert [(left.count, left.attempts, left.due_at) for left in ended.left] == [(1, 1, LATER), (4, 0, NOON)]
    assert line.take() is None


def test_a_whole_bundle_that_failed_is_not_written_again() -> None:
    line = a_line(a_bundle(1, 7), is_array=True)
    parcel = line.take()
    assert parcel is not None
    assert fail(line, parcel) == [
        BundleEnded(webhook_id="wh_1", id=1, left=(Left(count=7, attempts=1, due_at=LATER, events=None),))
    ]


def test_an_array_has_several_bundles_up_to_a_thousand_events() -> None:
    line = a_line(*[a_bundle(number, 300) for number in range(4)], is_array=True)
    parcel = line.take()
    assert parcel is not None
    assert [bundle.id for bundle in parcel.bundles] == [0, 1, 2]
    assert len(parcel.events) == 900
    assert texts(parcel)[:2] == ["0/0", "0/1"]
    succeed(line, parcel)
    assert [len(parcel.events) for parcel in taken(line)] == [300]


def test_an_array_is_bounded_in_bytes_but_has_one_bundle() -> None:
    line = a_line(a_bundle(1, 2, size=400_000), a_bundle(2, 1), is_array=True)
    parcel = line.take()
    assert parcel is not None and [bundle.id for bundle in parcel.bundles] == [1]


def test_an_array_has_events_of_as_many_attempts() -> None:
    line = a_line(a_bundle(1, 1), a_bundle(2, 1), a_bundle(3, 1, attempts=1), is_array=True)
    parcel = line.take()
    assert parcel is not None and [bundle.id for bundle in parcel.bundles] == [1, 2]
    succeed(line, parcel)
    (other,) = taken(line)
    assert other.attempt == 2


def test_arrays_at_the_same_time() -> None:
    line = a_line(*[a_bundle(number, 1000) for number in range(20)], is_array=True)
    running = taken(line)
    for _ in range(8):
        succeed(line, running.pop(0))
        running += taken(line)
    assert line.running == MOST_ARRAYS


def test_one_that_fails_gets_one_post_and_no_more_than_it_needs() -> None:
    line = a_line(a_bundle(1, 100, failures=3))
    assert line.health.is_failing
    assert len(taken(line)) == 1
    assert line.ask(is_short=False) is None


def test_it_asks_for_what_it_can_post_soon() -> None:
    line = a_line()
    ask = line.ask(is_short=False)
    assert ask is not None and ask.events >= 1 and ask.bytes == MOST_HELD_BYTES
    assert a_line(a_bundle(1, 1000)).ask(is_short=False) is None
    short = line.ask(is_short=True)
    assert short is not None and short.events == 1, "one post is always possible"
    assert a_line(a_bundle(1, 1)).ask(is_short=True) is None


def test_only_what_is_held_for_long_goes_back() -> None:
    line = a_line()
    line.add(a_bundle(1, 2), 0.0)
    line.add(a_bundle(2, 2), 50.0)
    assert [ended.id for ended in line.give_back(before=10.0)] == [1]
    parcel = line.take()
    assert parcel is not None and parcel.bundles[0].id == 2


def test_the_rate_is_that_of_the_last_minute() -> None:
    line = a_line(a_bundle(1, 600), is_array=True)
    parcel = line.take()
    assert parcel is not None
    succeed(line, parcel)
    assert line.rate(1.0) == 10.0
    assert line.rate(50.0) == 10.0
    assert line.rate(61.0) == 0.0
    assert line.rate(10_000.0) == 0.0


def test_health_is_that_of_the_journal_when_nothing_is_under_way() -> None:
    line = a_line(a_bundle(1, 1))
    parcel = line.take()
    assert parcel is not None
    fail(line, parcel)
    line.settled(Health(failures=5, next_at=LATER), 1)
    assert not line.health.is_open(NOON)
    line.add(a_bundle(2, 1, failures=0), 0.0)
    assert line.health == Health(), "its owner enabled it"


def test_a_bundle_that_cannot_be_read_is_not_queued() -> None:
    line, damaged = a_line(), msgspec.structs.replace(a_bundle(1, 1), events=b"\xc1")
    with pytest.raises(msgspec.DecodeError):
        line.add(damaged, 0.0)
    assert line.is_idle


def test_what_was_taken_in_parts_is_not_left() -> None:
    line = a_line(a_bundle(1, 4), is_array=True)
    parcel = line.take()
    assert parcel is not None
    (ended,) = line.ended(parcel, failed=parcel.events[2:3], failures=3, due_at=LATER, now=0.0)
    (left,) = ended.left
    assert (left.count, left.attempts, left.due_at) == (1, 1, LATER)
    assert left.events is not None and msgspec.msgpack.decode(left.events) == ["1/2.........."]
    assert line.take() is None, "the journal does not have the failures yet"
    line.settled(Health(), 3)
    assert line.is_idle
    assert line.rate(1.0) == 3 / 60
