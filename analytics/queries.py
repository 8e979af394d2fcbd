"""Typed reads of the events: a message's timeline. Only SELECT, only through ``ClickHouse.rows``."""

from typing import Any

from msgspec import Struct, field

from analytics.client import ClickHouse, Row
from cluster.times import iso

_OF_GROUPS = ("group_unsubscribe", "group_resubscribe")
_ENGAGEMENT = ("open", "click", "unsubscribe", *_OF_GROUPS)

# As simple as possible: most of the cost of such a query is planning, for each column and each step. So the few rows
# of a message are sorted, deduplicated (a replay may not be merged yet) and filtered by tenant here.
TIMELINE = """
SELECT at, event_id, event, recipient, attempt, site, mx_host, mx_ip, source_ip, tls_version, tls_cipher,
       smtp_response, duration_ms, bounce_type, bounce_class, reason, next_attempt_at, url,
       link_index, image, asm_group_id, ip, user_agent, machine, machine_rule, tenant_id
FROM events
PREWHERE message_id = {message_id:String}
"""
HELD = "SETTINGS priority = 0"
"""Where other queries wait already: the end of a statement with a priority would let each of them go on."""


class TimelineEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of GET /v3/messages/{id}; fields that do not apply are absent from its JSON."""

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
    metadata: dict[str, str | int | bool] = field(default_factory=dict)


class MessageEvents(Struct, frozen=True):
    """A message's timeline, oldest first. ``incomplete``: some of its events may be lost."""

    events: list[TimelineEvent]
    incomplete: bool = False


def timeline(client: ClickHouse, tenant_id: str, message_id: str, *, held: bool = False) -> list[TimelineEvent]:
    """A message's events, oldest first; empty when the tenant has no such message. ``held``: other queries wait
    already (``door.holding``). Raises ClickHouseUnavailable."""
    rows = client.rows(TIMELINE + HELD if held else TIMELINE, message_id=message_id)
    found = {(row[0], row[1]): row for row in rows if row[-1] == tenant_id}
    return [shown(found[key]) for key in sorted(found)]


def shown(row: Row) -> TimelineEvent:
    """An event of the timeline from the values that ``TIMELINE`` selects."""
    at, _, name, recipient, attempt, site, mx_host, mx_ip, source_ip = row[:9]
    tls_version, tls_cipher, smtp_response, duration_ms, bounce_type, bounce_class, reason, next_attempt_at = row[9:17]
    url, link_index, image, asm_group_id, ip, user_agent, machine, machine_rule = row[17:-1]
    bounced = name in ("bounce", "blocked")
    details: dict[str, Any] = {
        "attempt": attempt or None,
        "site": site,
        "mx_host": mx_host,
        "mx_ip": mx_ip,
        "source_ip": source_ip,
        "tls_version": tls_version,
        "tls_cipher": tls_cipher,
        # 0 is a duration if there was a transaction, and meaningless if there was none.
        "duration_ms": duration_ms if attempt else None,
        "reason": "" if bounced else reason,
        "bounce_class": bounce_class,
        "next_attempt_at": None if next_attempt_at is None else iso(next_attempt_at),
        "link_index": link_index if name == "click" else None,
        "source": "image" if image else "",
        "image": image,
        "asm_group_id": asm_group_id if name in _OF_GROUPS else None,
        "machine": machine if name in _ENGAGEMENT else None,
        "machine_rule": machine_rule,
    }
    return TimelineEvent(
        event_type=name,
        recipient_email=recipient,
        timestamp=iso(at),
        url=url or None,
        user_agent=user_agent or None,
        ip_address=ip or None,
        bounce_type=bounce_type or None,
        bounce_reason=reason if bounced else None,
        smtp_response=smtp_response or None,
        metadata={key: value for key, value in details.items() if value not in ("", None)},
    )
