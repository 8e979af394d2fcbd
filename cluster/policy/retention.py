"""Retention: when a day's bodies and records go, and what is done to the partitions of a table for that.

Days are UTC. A partition is one day, or the oldest one, which takes everything before its end. Partitions are made
ahead. When something of a partition goes, it is rewritten: what stays is copied to a new partition that takes its
place. What stays of days whose records go moves to the oldest partition.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

AHEAD_DAYS = 3
"""Days after today whose partitions exist already: for so long nothing has to make any."""
WORTH_SHARE = 0.5
"""A partition of many days is rewritten when this share of them has gone, so that what stays is not copied daily."""

JUMP_DAYS = 3
"""A clock that is further ahead of the last day that was seen may be wrong."""


class Retention(Struct, frozen=True, kw_only=True):
    """For how many days after its own a day's bodies and records are kept."""

    bodies_days: int
    messages_days: int


class Cutoffs(Struct, frozen=True, kw_only=True):
    """What goes: the bodies, and the records, of all days before."""

    bodies: date
    records: date


class Partition(Struct, frozen=True, kw_only=True):
    """A partition of a table. ``until`` is the first day after it."""

    name: str
    first: date
    """Its first day; of the oldest partition, a day before which it has next to nothing."""
    until: date
    is_oldest: bool = False
    """It takes everything before ``until``."""
    cleared: Cutoffs | None = None
    """As of when it was rewritten."""


class Rewrite(Struct, frozen=True, kw_only=True):
    """Partitions to replace by one, which has of them what stays as of ``cutoffs``."""

    sources: tuple[Partition, ...]
    first: date
    until: date
    is_oldest: bool
    cutoffs: Cutoffs


class Room(Struct, frozen=True, kw_only=True):
    """On the disk of the journal. Mail is refused when less than ``kept_free_bytes`` are free."""

    free_bytes: int
    kept_free_bytes: int

    def is_enough(self, bytes: int) -> bool:
        """Whether a copy that may take so much can be made while mail is taken."""
        return self.free_bytes - self.kept_free_bytes > bytes

    @property
    def is_enough_to_drop(self) -> bool:
        """Whether days may be dropped of which little is copied. It makes room, so it goes on while mail is refused."""
        return self.free_bytes >= self.kept_free_bytes // 2


def is_jump(seen: date, today: date) -> bool:
    """Whether the clock is further ahead of the last day that was seen than it would be from round to round."""
    return today - seen > timedelta(days=JUMP_DAYS)


def cutoffs(now: datetime, retention: Retention) -> Cutoffs:
    """What goes by now: a day's bodies that many days after its end, its records likewise."""
    today = now.astimezone(UTC).date()
    return Cutoffs(
        bodies=today - timedelta(days=retention.bodies_days),
        records=today - timedelta(days=retention.messages_days),
    )


def of_attachments(cutoffs: Cutoffs) -> Cutoffs:
    """The same for attachments, which are nothing but bodies."""
    return Cutoffs(bodies=cutoffs.bodies, records=cutoffs.bodies)


def of_records(cutoffs: Cutoffs) -> Cutoffs:
    """The same for tables that have no bodies."""
    return Cutoffs(bodies=cutoffs.records, records=cutoffs.records)


def goes_at(partition: Partition, retention: Retention) -> tuple[datetime, datetime]:
    """When the bodies and the records of a whole partition go."""
    end = datetime.combine(partition.until, time(), UTC)
    return end + timedelta(days=retention.bodies_days), end + timedelta(days=retention.messages_days)


def missing_days(today: date, partitions: Sequence[Partition]) -> list[date]:
    """The days, from today on, whose partitions are to be made."""
    days = (today + timedelta(days=n) for n in range(AHEAD_DAYS + 1))
    return [day for day in days if not has_day(partitions, day)]


def has_day(partitions: Sequence[Partition], day: date) -> bool:
    """Whether one of the partitions takes the rows of a day."""
    return any(day < partition.until and (partition.is_oldest or partition.first <= day) for partition in partitions)


def next_rewrite(partitions: Sequence[Partition], cutoffs: Cutoffs, worth_share: float = WORTH_SHARE) -> Rewrite | None:
    """What to do next to the partitions of a table; None when all that goes has gone. ``worth_share`` is the share of
    its days that must go before a partition of many days is rewritten."""
    return next(_rewrites(partitions, cutoffs, worth_share), None)


def is_outdated(rewrite: Rewrite, partitions: Sequence[Partition]) -> bool:
    """Whether the table has another partition, which the new one would overlap: a day that was missing was made since
    the rewrite was told."""
    others = (partition for partition in partitions if partition not in rewrite.sources)
    return any(other.first < rewrite.until and (rewrite.is_oldest or rewrite.first < other.until) for other in others)


def _rewrites(partitions: Sequence[Partition], cutoffs: Cutoffs, worth_share: float) -> Iterator[Rewrite]:
    days = sorted((p for p in partitions if not p.is_oldest), key=lambda p: p.first)
    oldest = tuple(p for p in partitions if p.is_oldest)
    if gone := tuple(p for p in days if p.until <= cutoffs.records):
        yield _rewrite((*oldest, *gone), cutoffs)
    for partition in oldest:
        if _is_worth(partition, cutoffs, worth_share):
            yield _rewrite((partition,), cutoffs)
    for partition in days:
        if partition.until <= cutoffs.bodies and _days_gone(partition, cutoffs)[0]:
            yield _rewrite((partition,), cutoffs)


def _rewrite(sources: tuple[Partition, ...], cutoffs: Cutoffs) -> Rewrite:
    until = max(source.until for source in sources)
    return Rewrite(
        sources=sources,
        first=min(source.first for source in sources),
        until=until,
        is_oldest=any(source.is_oldest for source in sources) or until <= cutoffs.records,
        cutoffs=cutoffs,
    )


def _is_worth(partition: Partition, cutoffs: Cutoffs, share: float) -> bool:
    for gone, left in zip(_days_gone(partition, cutoffs), _days_left(partition), strict=True):
        if gone and gone >= share * left:
            return True
    return False


def _days_gone(partition: Partition, cutoffs: Cutoffs) -> tuple[int, int]:
    """How many of its days' bodies and records are still there and go."""
    bodies, records = _cleared(partition)
    return (
        max(0, (min(cutoffs.bodies, partition.until) - bodies).days),
        max(0, (min(cutoffs.records, partition.until) - records).days),
    )


def _days_left(partition: Partition) -> tuple[int, int]:
    """How many of its days have bodies and records."""
    bodies, records = _cleared(partition)
    return (partition.until - bodies).days, (partition.until - records).days


def _cleared(partition: Partition) -> tuple[date, date]:
    """Before which days its bodies and records have gone."""
    if partition.cleared is None:
        return partition.first, partition.first
    return max(partition.first, partition.cleared.bodies), max(partition.first, partition.cleared.records)
