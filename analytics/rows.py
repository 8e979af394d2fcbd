"""Events as columns of the ClickHouse table ``events``. Pure: it reads nothing but its arguments.

Owns the list of columns that are written and the order of their values. The recorder calls ``columns``; the schema
(analytics/schema) is the other half, and tests hold the two together.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from analytics.events import Bounced, Deferred, Delivered, Dropped, Event, name_of

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
}
"""The columns and their ClickHouse types, in the order of ``columns``. Times are written as integers of their unit."""

Row = tuple[Any, ...]

_NO_ATTEMPT: Row = (0, "", "", "", "", "", "", "", 0)


def columns(events: Iterable[Event]) -> list[Sequence[Any]]:
    """The events' values, column by column; no columns when there are no events.

    Raises ValueError or OverflowError for an event whose times are not finite.
    """
    # Rows and then zip: faster than a pass over the events for every column, as each is looked at once.
    return list(zip(*map(_row, events), strict=True))


def milliseconds(at: float) -> int:
    """Seconds since the epoch in the unit of DateTime64(3)."""
    return round(at * 1000)


def _row(event: Event) -> Row:
    row = (
        event.id,
        milliseconds(event.at),
        event.tenant_id,
        event.message_id,
        name_of(event),
        event.recipient,
        event.recipient.rpartition("@")[2].lower(),
        event.batch_id or "",
        event.categories,
    )
    if isinstance(event, Delivered):
        return row + _attempt(event) + ("", "", "", None)
    if isinstance(event, Deferred):
        return row + _attempt(event) + ("", event.bounce_class, event.reason, milliseconds(event.next_attempt_at))
    if isinstance(event, Bounced):
        return row + _attempt(event) + (event.bounce_type, event.bounce_class, event.reason, None)
    reason = event.reason if isinstance(event, Dropped) else ""
    return row + _NO_ATTEMPT + ("", "", reason, None)


def _attempt(event: Delivered | Deferred | Bounced) -> Row:
    return (
        event.attempt,
        event.site,
        event.mx_host,
        event.mx_ip,
        event.source_ip,
        event.tls_version,
        event.tls_cipher,
        event.smtp_response,
        event.duration_ms,
    )
