"""How full the disk will be: a forecast from samples of what is stored, and from what goes by itself.

Samples may be few, or of a clock that was wrong: what lies in the future does not count, and without an hour of samples
there is no forecast. What other programs write to the disk counts as growth too.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from cluster.policy.forms import Form
from cluster.policy.retention import Partition, Retention, goes_at

LOOK_BACK = timedelta(days=1)
"""The present rate is that of this time: mail has its hours."""
SHORTEST = timedelta(hours=1)
"""Samples of less time are no rate."""
STEP = timedelta(hours=1)
HORIZON = timedelta(days=8)
"""A disk that is not full by then is not said to be."""
WARNED_AHEAD = timedelta(days=1)
BODY_SHARES = {"messages": 0.4, "requests": 0.9, "attachments": 1.0}
"""Of the bytes of a table, about: what goes with the bodies."""


class Sample(Form, frozen=True, kw_only=True):
    """What was stored at a time, and what was free on its disk; None: it is on another machine's."""

    at: datetime
    stored_bytes: int
    free_bytes: int | None = None


class Going(Struct, frozen=True, kw_only=True):
    """What goes by itself."""

    at: datetime
    bytes: int


class Expected(Form, frozen=True, kw_only=True):
    """What is expected at a time. None where it cannot be told."""

    at: datetime
    stored_bytes: int
    free_bytes: int | None


class Forecast(Form, frozen=True, kw_only=True):
    """At the present rate."""

    bytes_per_day: int | None
    """What is added in a day, before anything goes; None while there are too few samples."""
    in_a_day: Expected | None
    in_a_week: Expected | None
    full_at: datetime | None
    """When no more is free than is kept free; None: not within ``HORIZON``, or it cannot be told."""


class StoredDay(Form, frozen=True, kw_only=True):
    """What a partition of a table of the journal takes: one day, or the oldest ones."""

    table: str
    first: date
    until: date
    """The first day after it."""
    bytes: int
    bodies_go_at: datetime | None
    """None: they are gone, or it has none apart from its records."""
    records_go_at: datetime


class Pruned(Form, frozen=True, kw_only=True):
    """How far it is that bodies and records are deleted before their time."""

    state: Literal["running", "done", "failed"]
    freed_bytes: int = 0
    """Once it is done."""
    reason: str = ""
    """Why it failed."""


class Outlook(Form, frozen=True, kw_only=True):
    """What is stored now, and what will be."""

    current: Sample
    parts: dict[str, int]
    """Bytes of each file and folder of the data directory; none where the journal is on another machine."""
    disk_bytes: int | None
    kept_free_bytes: int
    days: list[StoredDay]
    """The partitions of the journal's tables that are divided by day, the oldest first."""
    forecast: Forecast
    warning: str | None


def forecast(samples: Sequence[Sample], going: Sequence[Going], current: Sample, kept_free_bytes: int) -> Forecast:
    """``current``: what is stored now. ``kept_free_bytes``: the intake refuses mail when less is free."""
    rate = bytes_per_second([*samples, current], current.at)
    if rate is None:
        is_full = current.free_bytes is not None and current.free_bytes <= kept_free_bytes
        return Forecast(bytes_per_day=None, in_a_day=None, in_a_week=None, full_at=current.at if is_full else None)

    def expected(at: datetime) -> Expected:
        gone = sum(one.bytes for one in going if one.at <= at)
        added = round(rate * (at - current.at).total_seconds()) - gone
        free = None if current.free_bytes is None else max(0, current.free_bytes - added)
        return Expected(at=at, stored_bytes=max(0, current.stored_bytes + added), free_bytes=free)

    full_at = None
    if current.free_bytes is not None:
        hours = (current.at + STEP * n for n in range(HORIZON // STEP + 1))
        full_at = next((at for at in hours if (expected(at).free_bytes or 0) <= kept_free_bytes), None)
    return Forecast(
        bytes_per_day=round(rate * 86_400),
        in_a_day=expected(current.at + timedelta(days=1)),
        in_a_week=expected(current.at + timedelta(days=7)),
        full_at=full_at,
    )


def bytes_per_second(samples: Sequence[Sample], now: datetime) -> float | None:
    """What was added, over the last ``LOOK_BACK``. Times in which more went than was added tell nothing of what was
    added, and are left out. None when less than ``SHORTEST`` is left."""
    known = sorted((one for one in samples if now - LOOK_BACK <= one.at <= now), key=lambda one: one.at)
    added, covered = 0, timedelta()
    for before, after in pairwise(known):
        grown = after.stored_bytes - before.stored_bytes
        if before.free_bytes is not None and after.free_bytes is not None:
            grown = max(grown, before.free_bytes - after.free_bytes)
        if grown >= 0:
            added += grown
            covered += after.at - before.at
    return added / covered.total_seconds() if covered >= SHORTEST else None


def warning(found: Forecast, now: datetime) -> str | None:
    """What an operator must know a day before the disk is full."""
    if found.full_at is None or found.full_at > now + WARNED_AHEAD:
        return None
    hours = max(0, round((found.full_at - now) / timedelta(hours=1)))
    return f"at the present rate the disk is full in {hours} h: {WHAT_TO_DO}"


WHAT_TO_DO = (
    "`postray storage` shows what takes it and when it goes, `postray storage prune` makes room; so do lower "
    "retention.bodies_days and retention.messages_days"
)


def stored_days(
    partitions: Mapping[str, Sequence[Partition]], sizes: Mapping[str, int], retention: Retention
) -> list[StoredDay]:
    """What each partition takes, and when it goes. ``partitions`` by table, ``sizes`` by the partition's name."""
    days = []
    for table, some in partitions.items():
        for one in some:
            bodies_at, records_at = goes_at(one, retention)
            is_cleared = one.cleared is not None and one.cleared.bodies >= one.until
            has_bodies = table in BODY_SHARES and table != "attachments"
            days.append(
                StoredDay(
                    table=table,
                    first=one.first,
                    until=one.until,
                    bytes=sizes.get(one.name, 0),
                    bodies_go_at=bodies_at if has_bodies and not is_cleared else None,
                    records_go_at=bodies_at if table == "attachments" else records_at,
                )
            )
    return sorted(days, key=lambda day: (day.until, day.table))


def going(days: Sequence[StoredDay]) -> list[Going]:
    """What goes by itself, and when: an estimate, as what is unfinished stays."""
    found = []
    for day in days:
        bodies = round(day.bytes * BODY_SHARES[day.table]) if day.bodies_go_at is not None else 0
        if day.bodies_go_at is not None:
            found.append(Going(at=day.bodies_go_at, bytes=bodies))
        found.append(Going(at=day.records_go_at, bytes=day.bytes - bodies))
    return found


def prunable(partitions: Mapping[str, Sequence[Partition]], before: date) -> set[str]:
    """The names of the partitions of which something goes when all days before this one go."""
    names = set[str]()
    for some in partitions.values():
        for one in some:
            gone_before = one.first if one.cleared is None else max(one.first, one.cleared.records)
            if gone_before < min(one.until, before):
                names.add(one.name)
    return names
