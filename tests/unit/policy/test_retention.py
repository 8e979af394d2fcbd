"""Which partitions are made, rewritten and merged, day by day."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.retention import (
    AHEAD_DAYS,
    Cutoffs,
    Partition,
    Retention,
    Rewrite,
    cutoffs,
    goes_at,
    is_outdated,
    missing_days,
    next_rewrite,
    of_attachments,
    of_records,
)

KEPT = Retention(bodies_days=7, messages_days=30)
START = date(2026, 11, 1)


def day(n: int) -> date:
    return START + timedelta(days=n)


def one_day(n: int, cleared: Cutoffs | None = None) -> Partition:
    return Partition(name=f"day {n}", first=day(n), until=day(n + 1), cleared=cleared)


def before(n: int, *, first: int, cleared: Cutoffs | None = None) -> Partition:
    return Partition(name=f"before {n}", first=day(first), until=day(n), is_oldest=True, cleared=cleared)


def midnight(n: int) -> datetime:
    at = day(n)
    return datetime(at.year, at.month, at.day, tzinfo=UTC)


def performed(partitions: list[Partition], rewrite: Rewrite) -> list[Partition]:
    """The partitions after a rewrite."""
    new = Partition(
        name=f"new {rewrite.until}",
        first=rewrite.first,
        until=rewrite.until,
        is_oldest=rewrite.is_oldest,
        cleared=rewrite.cutoffs,
    )
    return [p for p in partitions if p not in rewrite.sources] + [new]


def settled(partitions: list[Partition], upto: Cutoffs) -> tuple[list[Partition], list[Rewrite]]:
    rewrites = []
    while rewrite := next_rewrite(partitions, upto):
        rewrites.append(rewrite)
        partitions = performed(partitions, rewrite)
        assert len(rewrites) < 1000
    return partitions, rewrites


def test_what_goes_when() -> None:
    assert cutoffs(midnight(40), KEPT) == Cutoffs(bodies=day(33), records=day(10))
    assert cutoffs(midnight(41) - timedelta(microseconds=1), KEPT) == Cutoffs(bodies=day(33), records=day(10))
    assert of_attachments(cutoffs(midnight(40), KEPT)) == Cutoffs(bodies=day(33), records=day(33))
    assert of_records(cutoffs(midnight(40), KEPT)) == Cutoffs(bodies=day(10), records=day(10))
    assert goes_at(one_day(3), KEPT) == (midnight(11), midnight(34))


def test_the_day_is_that_of_utc() -> None:
    late_in_the_west = datetime(2026, 11, 10, 20, 0, tzinfo=timezone(timedelta(hours=-8)))  # 04:00 of the 11th
    assert cutoffs(late_in_the_west, KEPT).bodies == date(2026, 11, 4)


def test_days_are_made_ahead() -> None:
    assert missing_days(day(0), []) == [day(0), day(1), day(2), day(3)]
    assert missing_days(day(0), [before(1, first=-9)]) == [day(1), day(2), day(3)]
    assert missing_days(day(1), [before(1, first=0), *(one_day(n) for n in range(1, 4))]) == [day(4)]
    assert missing_days(day(9), [one_day(0)]) == [day(9), day(10), day(11), day(12)]


def test_a_day_loses_its_bodies_and_then_moves_to_the_oldest() -> None:
    partitions = [before(0, first=-1), one_day(0), one_day(1)]
    assert next_rewrite(partitions[1:], cutoffs(midnight(7), KEPT)) is None
    rewrite = next_rewrite(partitions[1:], cutoffs(midnight(8), KEPT))
    assert rewrite is not None
    assert (rewrite.sources, rewrite.first, rewrite.until, rewrite.is_oldest) == ((one_day(0),), day(0), day(1), False)
    bare = one_day(0, cleared=rewrite.cutoffs)
    assert next_rewrite([bare, one_day(1)], cutoffs(midnight(8), KEPT)) is None
    gone = next_rewrite([before(0, first=-1), bare], cutoffs(midnight(31), KEPT))
    assert gone is not None
    assert (gone.sources, gone.first, gone.until, gone.is_oldest) == (
        (before(0, first=-1), bare),
        day(-1),
        day(1),
        True,
    )


def test_days_that_were_missed_go_together() -> None:
    found = next_rewrite([one_day(n) for n in range(60)], cutoffs(midnight(60), KEPT))
    assert found is not None
    assert [source.first for source in found.sources] == [day(n) for n in range(30)]
    assert found.is_oldest


def test_a_partition_of_many_days_is_rewritten_when_half_of_them_have_gone() -> None:
    wide = before(100, first=0)
    first = next_rewrite([wide], cutoffs(midnight(57), KEPT))  # bodies: 50 of 100
    assert first is not None and first.sources == (wide,) and first.is_oldest
    assert next_rewrite([wide], cutoffs(midnight(56), KEPT)) is None
    found, rewrites = settled([wide], cutoffs(midnight(57), KEPT))
    assert len(rewrites) == 1
    assert next_rewrite(found, cutoffs(midnight(70), KEPT)) is None  # 13 of 50
    assert next_rewrite(found, cutoffs(midnight(57 + 25), KEPT)) is not None  # 25 of 50


def test_what_an_operator_prunes_goes_at_once() -> None:
    asked = Cutoffs(bodies=day(5), records=day(5))
    assert next_rewrite([before(100, first=0)], asked) is None
    assert next_rewrite([before(100, first=0)], asked, worth_share=0) is not None
    cleared = before(100, first=0, cleared=asked)
    assert next_rewrite([cleared], asked, worth_share=0) is None


def test_a_day_that_was_made_meanwhile_outdates_what_would_overlap_it() -> None:
    upto = cutoffs(midnight(40), KEPT)
    partitions = [before(1, first=0), one_day(1), one_day(5), one_day(20), one_day(40)]
    to_oldest, of_bodies = (rewrite for rewrite in settled(partitions, upto)[1])
    assert to_oldest.is_oldest and not of_bodies.is_oldest
    for rewrite in (to_oldest, of_bodies):
        assert not is_outdated(rewrite, rewrite.sources)
        assert not is_outdated(rewrite, (*rewrite.sources, one_day(21), one_day(40)))
    assert is_outdated(to_oldest, [*partitions, one_day(3)])
    assert not is_outdated(to_oldest, [*to_oldest.sources, one_day(6)])
    assert not is_outdated(of_bodies, [*of_bodies.sources, before(20, first=0), one_day(19), one_day(21)])
    assert is_outdated(of_bodies, [before(21, first=0)])


def test_nothing_is_ever_uncleared() -> None:
    """Longer retention brings nothing back and rewrites nothing."""
    cleared = one_day(0, cleared=Cutoffs(bodies=day(10), records=day(0)))
    assert next_rewrite([cleared], Cutoffs(bodies=day(1), records=day(-20))) is None


@given(
    wide_days=st.integers(0, 400),
    bodies_days=st.integers(0, 20),
    more_days=st.integers(0, 40),
    steps=st.lists(st.integers(1, 12), min_size=1, max_size=60),
)
def test_a_life_of_many_days(wide_days: int, bodies_days: int, more_days: int, steps: list[int]) -> None:
    """The scheduler comes by after so many days each time. Afterwards every day from today on has one partition, no
    two overlap, they are few, and nothing that goes is left but in a partition of many days, where less than half of
    it is."""
    retention = Retention(bodies_days=bodies_days, messages_days=bodies_days + more_days)
    partitions = [before(1, first=1 - max(1, wide_days))]
    today = 0
    for step in steps:
        today += step
        now = midnight(today) + timedelta(hours=3)
        upto = cutoffs(now, retention)
        partitions += [
            Partition(name=str(one), first=one, until=one + timedelta(days=1))
            for one in missing_days(now.date(), partitions)
        ]
        partitions, _ = settled(partitions, upto)
        assert len([p for p in partitions if p.is_oldest]) == 1
        assert len(partitions) <= 1 + retention.messages_days + 1 + AHEAD_DAYS
        ordered = sorted(partitions, key=lambda p: (not p.is_oldest, p.first))
        for earlier, later in pairwise(ordered):
            assert earlier.until <= later.first
        assert missing_days(now.date(), partitions) == []
        for partition in partitions:
            if not partition.is_oldest:
                assert partition.until > upto.records
                assert partition.until > upto.bodies or (
                    partition.cleared is not None and partition.cleared.bodies >= partition.until
                )
            elif partition.until <= upto.records:
                assert partition.cleared is not None and partition.cleared.records >= partition.until


@given(
    sources=st.lists(st.integers(0, 50), unique=True, min_size=1),
    bodies=st.integers(-5, 60),
    records=st.integers(-5, 60),
)
def test_only_what_is_past_the_cutoffs_is_rewritten(sources: list[int], bodies: int, records: int) -> None:
    upto = Cutoffs(bodies=day(max(bodies, records)), records=day(records))
    found = next_rewrite([one_day(n) for n in sources], upto)
    if found is None:
        assert all(day(n + 1) > upto.bodies for n in sources)
    else:
        assert all(source.until <= upto.bodies for source in found.sources)
        assert all(source.until <= upto.records for source in found.sources) or len(found.sources) == 1
