"""Events in the order of the log: pages of a tenant's events after a position, as they were when they were logged."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from analytics.client import ClickHouse, Row
from analytics.rows import COLUMNS, Position
from cluster.events import Bounced, Event
from cluster.policy.forms import Form

MOST = 1000
"""Events of a page."""
START = ""
"""The position before the first event."""
ALL: Position = ((1 << 64) - 1, (1 << 64) - 1)
"""As far as there is anything."""

SCANNED = 50_000
"""Events that one page looks at: a filter that fits few of them must not make it read all there are."""

# Repeats are next to each other, so they are left out here: FINAL would sort all that follows. Both comparisons of
# sequence are there for the index, which does not understand tuples.
SCAN = """
SELECT log_tx, sequence, event_id, message_id, event FROM feed
WHERE tenant_id = {{tenant_id:String}} AND log_tx >= {{tx:UInt64}}
    AND (log_tx > {{tx:UInt64}} OR sequence >= {{sequence:UInt64}})
    AND (log_tx, sequence, event_id) > ({{tx:UInt64}}, {{sequence:UInt64}}, {{event_id:String}})
    AND (log_tx, sequence) <= ({{last_tx:UInt64}}, {{last_sequence:UInt64}})
    {conditions}
ORDER BY log_tx, sequence, event_id LIMIT {{scanned:UInt32}}
"""
PAGE = "SELECT log_tx, sequence, event_id, message_id FROM ({scan}) {fits} LIMIT {{limit:UInt32}}"
END = "SELECT count(), max((log_tx, sequence, event_id)) FROM ({scan})"
"""How far a scan went."""
FITS = "WHERE event IN splitByChar(',', {events:String})"
CONDITIONS = {
    "first": "AND at >= fromUnixTimestamp64Milli({first:Int64})",
    "last": "AND at <= fromUnixTimestamp64Milli({last:Int64})",
    "message_id": "AND message_id = {message_id:String}",
}
"""By the name of the parameter. Each has an index that skips what does not fit."""
FIELDS = tuple(COLUMNS)
EVENTS = f"""
SELECT {", ".join(FIELDS)} FROM events
PREWHERE message_id IN splitByChar(',', {{message_ids:String}})
WHERE event_id IN splitByChar(',', {{event_ids:String}})
SETTINGS max_execution_time = 10
"""


class FeedFilter(Form, frozen=True, kw_only=True):
    """Which events of a tenant."""

    tenant_id: str
    first_ms: int | None = None
    """Milliseconds since the epoch; the event is not before."""
    last_ms: int | None = None
    """The event is not after."""
    events: tuple[str, ...] = ()
    """Their names; empty: all."""
    message_id: str | None = None


class FedEvent(Form, frozen=True):
    """An event, its place in the feed, and its sequence within its message."""

    position: str
    sequence: int
    event: Event


class FeedPage(Form, frozen=True):
    """A page in the order of the log. ``position``: where the next page begins. ``is_full``: there may be more now."""

    events: list[FedEvent]
    position: str
    is_full: bool


def feed(client: ClickHouse, wanted: FeedFilter, after: str, limit: int = MOST, *, upto: Position = ALL) -> FeedPage:
    """The next events after a position, as far as ``upto``: what is behind it may not be stored as a whole. Raises
    ValueError for what is no position, and ClickHouseUnavailable."""
    tx, sequence, event_id = parsed(after)
    given = {"first": wanted.first_ms, "last": wanted.last_ms, "message_id": wanted.message_id}
    parameters = {name: value for name, value in given.items() if value is not None}
    scan = SCAN.format(conditions="\n    ".join(CONDITIONS[name] for name in parameters))
    parameters |= {
        "tenant_id": wanted.tenant_id,
        "tx": tx,
        "sequence": sequence,
        "event_id": event_id,
        "last_tx": upto[0],
        "last_sequence": upto[1],
        "scanned": SCANNED,
    }
    fits = {"events": ",".join(wanted.events)} if wanted.events else {}
    query = PAGE.format(scan=scan, fits=FITS if fits else "")
    rows = client.rows(query, limit=limit, **parameters, **fits)
    position, is_full = (_position(*rows[-1][:3]), True) if len(rows) == limit else (after, False)
    if not is_full:
        ((scanned, last),) = client.rows(END.format(scan=scan), **parameters)
        if scanned:
            position, is_full = _position(*last), scanned == SCANNED
    return FeedPage(_events(client, rows), position, is_full)


def _events(client: ClickHouse, rows: Sequence[Row]) -> list[FedEvent]:
    """The events that rows of the feed name, each once."""
    if not rows:
        return []
    places = {row[2]: _position(*row[:3]) for row in rows}
    found = client.rows(EVENTS, message_ids=",".join(dict.fromkeys(row[3] for row in rows)), event_ids=",".join(places))
    by_id = {row[0]: dict(zip(FIELDS, row, strict=True)) for row in found}
    return [FedEvent(place, by_id[id]["sequence"], event_of(by_id[id])) for id, place in places.items() if id in by_id]


def _position(tx: int, sequence: int, event_id: str) -> str:
    return f"{tx}-{sequence}-{event_id}"


def parsed(position: str) -> tuple[int, int, str]:
    """The parts of a position. Raises ValueError."""
    if position == START:
        return 0, 0, ""
    tx, sequence, event_id = position.split("-", 2)
    if not (tx.isascii() and tx.isdigit() and sequence.isascii() and sequence.isdigit() and len(position) < 200):
        raise ValueError(f"{position[:100]!r} is no position")
    numbers = int(tx), int(sequence)
    if max(numbers) >= 1 << 64:
        raise ValueError(f"{position[:100]!r} is no position")
    return *numbers, event_id


_KINDS: Mapping[str, type[Event]] = {kind.__struct_config__.tag: kind for kind in get_args(Event)} | {
    "blocked": Bounced
}


def event_of(row: Mapping[str, Any]) -> Event:
    """The event of a row of ``events``: as it was logged, its times to the millisecond."""
    kind = _KINDS[row["event"]]
    values = dict(row) | {
        "id": row["event_id"],
        "at": row["at"] / 1000,
        "batch_id": row["batch_id"] or None,
        "categories": tuple(row["categories"]),
        "machine": row["machine_rule"],
    }
    if row["next_attempt_at"] is not None:
        values["next_attempt_at"] = row["next_attempt_at"] / 1000
    return kind(**{name: values[name] for name in kind.__struct_fields__})
