"""Events as columns of the ClickHouse table ``events``. Pure.

This module owns the list of columns and the order of their values. The recorder calls ``columns``; the tables are in
analytics/schema, and tests check that both agree.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from cluster.events import Bounced, Deferred, Event, name_of
from cluster.policy.routes.domains import domain_of
from cluster.times import milliseconds

COLUMNS: dict[str, str] = {
    "event_id": "String",
    "at": "DateTime64(3, 'UTC')",
    "tenant_id": "LowCardinality(String)",
    "message_id": "String",
    "event": "LowCardinality(String)",
    "recipient": "String",
    "recipient_domain": "String",
    "batch_id": "String",
    "categories": "Array(LowCardinality(String))",
    "attempt": "UInt32",
    "site": "String",
    "mx_host": "String",
    "mx_ip": "String",
    "source_ip": "LowCardinality(String)",
    "tls_version": "LowCardinality(String)",
    "tls_cipher": "LowCardinality(String)",
    "smtp_response": "String",
    "duration_ms": "UInt32",
    "bounce_type": "LowCardinality(String)",
    "bounce_class": "LowCardinality(String)",
    "reason": "String",
    "next_attempt_at": "Nullable(DateTime64(3, 'UTC'))",
    "url": "String",
    "link_index": "UInt32",
    "image": "String",
    "asm_group_id": "UInt32",
    "ip": "String",
    "user_agent": "String",
    "machine": "Bool",
    "machine_rule": "LowCardinality(String)",
    "log_tx": "UInt64",
    "sequence": "UInt64",
}
"""The columns and their ClickHouse types, in the order of ``columns``. Times are written as integers of their unit."""


class Table(Struct, frozen=True):
    """A table to insert into: its columns and their types, in the order of the values."""

    name: str
    columns: dict[str, str]


EVENTS = Table("events", COLUMNS)

Position = tuple[int, int]
"""Where an event is in the log: the transaction of its row, and its sequence number (``cluster.events.numbered``)."""
UNKNOWN: Position = (0, 0)

_ABSENT: dict[str, Any] = {
    "attempt": 0,
    "duration_ms": 0,
    "next_attempt_at": None,
    "link_index": 0,
    "asm_group_id": 0,
    "machine": False,
}
"""The value of a field that an event of this kind does not have; for all others it is the empty text."""


def columns(events: Iterable[Event], positions: Iterable[Position] = repeat(UNKNOWN)) -> list[list[Any]]:
    """The events' values, column by column, grouped by kind of event; an empty list when there are no events.
    ``positions``: of each event.

    Raises ValueError or OverflowError for an event whose times are not finite.
    """
    kinds: defaultdict[type[Event], list[Event]] = defaultdict(list)
    places: defaultdict[type[Event], list[Position]] = defaultdict(list)
    for event, position in zip(events, positions, strict=False):
        kinds[type(event)].append(event)
        places[type(event)].append(position)
    if not kinds:
        return []
    whole: list[list[Any]] = [[] for _ in COLUMNS]
    for kind, some in kinds.items():
        for column, values in zip(whole, _columns_of(kind, some, places[kind]), strict=True):
            column += values
    return whole


def _columns_of(kind: type[Event], events: list[Event], positions: list[Position]) -> list[Sequence[Any]]:
    # One pass in C takes the fields of all events. Python handles only what it must, event by event.
    found: dict[str, Sequence[Any]] = dict(
        zip(kind.__struct_fields__, zip(*map(astuple, events), strict=True), strict=True)
    )
    found["event_id"] = found["id"]
    found["log_tx"], found["sequence"] = zip(*positions, strict=True)
    found["at"] = list(map(milliseconds, found["at"]))
    found["event"] = list(map(name_of, events)) if kind is Bounced else [name_of(events[0])] * len(events)
    found["recipient_domain"] = list(map(domain_of, found["recipient"]))
    found["batch_id"] = [batch_id or "" for batch_id in found["batch_id"]]
    if kind is Deferred:
        found["next_attempt_at"] = list(map(milliseconds, found["next_attempt_at"]))
    if "machine" in found:
        found["machine_rule"] = found["machine"]
        found["machine"] = list(map(bool, found["machine_rule"]))
    return [found[name] if name in found else [_ABSENT.get(name, "")] * len(events) for name in COLUMNS]
