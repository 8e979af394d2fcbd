"""Typed reads of the events: a message's timeline, a batch's counts. Only SELECT, only through ``ClickHouse.rows``."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field

from analytics.client import ClickHouse, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# One row an event even where a replay has not been merged away: cheaper than FINAL for the few rows of a message.
# Times leave ClickHouse as integers, since some versions of the embedded engine lose their zone on the way.
TIMELINE = """
SELECT event, recipient, toUnixTimestamp64Milli(at), attempt, site, mx_host, mx_ip, source_ip, tls_version, tls_cipher,
       smtp_response, duration_ms, bounce_type, bounce_class, reason, toUnixTimestamp64Milli(next_attempt_at)
FROM events
WHERE message_id = {message_id:String} AND tenant_id = {tenant_id:String}
ORDER BY at, event_id
LIMIT 1 BY event_id
"""

EVENT_COUNTS = """
SELECT event, count()
FROM events_once
WHERE batch_id = {batch_id:String} AND tenant_id = {tenant_id:String}
GROUP BY event
ORDER BY event
"""


class TimelineEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of GET /v3/messages/{id}; what does not apply to it is absent from its JSON."""

    event_type: str
    recipient_email: str
    timestamp: str
    """ISO-8601 UTC, milliseconds, with Z."""
    url: str | None = None
    user_agent: str | None = None
    ip_address: str | None = None
    bounce_type: str | None = None
    bounce_reason: str | None = None
    smtp_response: str | None = None
    metadata: dict[str, str | int] = field(default_factory=dict)


def timeline(client: ClickHouse, tenant_id: str, message_id: str) -> list[TimelineEvent]:
    """What happened to a message, oldest first; empty when the tenant has no such message. Raises Unavailable."""
    return [_event(row) for row in client.rows(TIMELINE, tenant_id=tenant_id, message_id=message_id)]


def event_counts(client: ClickHouse, tenant_id: str, batch_id: str) -> dict[str, int]:
    """How many events of each name a batch has had; a name without any is absent. Raises Unavailable."""
    return dict(client.rows(EVENT_COUNTS, tenant_id=tenant_id, batch_id=batch_id))


def iso(milliseconds: int) -> str:
    """``2026-04-23T10:00:02.120Z``."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _event(row: Row) -> TimelineEvent:
    name, recipient, at, attempt, site, mx_host, mx_ip, source_ip = row[:8]
    tls_version, tls_cipher, smtp_response, duration_ms, bounce_type, bounce_class, reason, next_attempt_at = row[8:]
    bounced = name in ("bounce", "blocked")
    details: dict[str, Any] = {
        "attempt": attempt or None,
        "site": site,
        "mx_host": mx_host,
        "mx_ip": mx_ip,
        "source_ip": source_ip,
        "tls_version": tls_version,
        "tls_cipher": tls_cipher,
        # 0 is a duration where there was a transaction, and says nothing where there was none.
        "duration_ms": duration_ms if attempt else None,
        "reason": "" if bounced else reason,
        "bounce_class": bounce_class,
        "next_attempt_at": None if next_attempt_at is None else iso(next_attempt_at),
    }
    return TimelineEvent(
        event_type=name,
        recipient_email=recipient,
        timestamp=iso(at),
        bounce_type=bounce_type or None,
        bounce_reason=reason if bounced else None,
        smtp_response=smtp_response or None,
        metadata={key: value for key, value in details.items() if value not in ("", None)},
    )
