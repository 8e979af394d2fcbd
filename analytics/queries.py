"""Typed reads of the events: a message's timeline. Only SELECT, only through ``ClickHouse``."""

from typing import Any

import msgspec
from msgspec import Struct, field

from analytics.client import ClickHouse
from cluster.policy.forms import Form
from cluster.times import iso

_OF_GROUPS = ("group_unsubscribe", "group_resubscribe")
_ENGAGEMENT = ("open", "click", "unsubscribe", *_OF_GROUPS)

# As simple as possible: most of the cost of such a query is planning, for each column and each step. So what is shown
# comes as one column (schema/0011), but for what is long and different in each event; and the few rows of a message are
# sorted, deduplicated (a replay may not be merged yet) and filtered by tenant here.
TIMELINE = """
SELECT at, event_id, recipient, smtp_response, details
FROM events
PREWHERE message_id = {message_id:String}
"""
HELD = "SETTINGS priority = 0"
"""Where other queries wait already: the end of a statement with a priority would let each of them go on."""


class TimelineEvent(Form, frozen=True, kw_only=True, omit_defaults=True):
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


class Details(Struct, frozen=True, array_like=True):
    """The column ``details``."""

    event: str
    tenant_id: str
    attempt: int
    site: str
    mx_host: str
    mx_ip: str
    source_ip: str
    tls_version: str
    tls_cipher: str
    duration_ms: int
    bounce_type: str
    bounce_class: str
    reason: str
    next_attempt_at: int | None
    """Milliseconds since the epoch."""
    url: str
    link_index: int
    image: str
    asm_group_id: int
    ip: str
    user_agent: str
    machine: bool
    machine_rule: str


_details = msgspec.json.Decoder(Details, strict=False)
"""A server may write integers of 64 bits as texts."""


class MessageEvents(Form, frozen=True):
    """A message's timeline, oldest first. ``incomplete``: some of its events may be lost."""

    events: list[TimelineEvent]
    incomplete: bool = False


def timeline(client: ClickHouse, tenant_id: str, message_id: str, *, held: bool = False) -> list[TimelineEvent]:
    """A message's events, oldest first; empty when the tenant has no such message. ``held``: other queries wait
    already (``door.holding``). Raises ClickHouseUnavailable."""
    rows = client.plain_rows(TIMELINE + HELD if held else TIMELINE, message_id=message_id)
    read = ((*row[:-1], _details.decode(row[-1])) for row in rows)
    found = {(row[0], row[1]): row for row in read if row[-1].tenant_id == tenant_id}
    return [shown(at, *rest) for (at, _), (_, _, *rest) in sorted(found.items())]


def shown(at: int, recipient: str, smtp_response: str, one: Details) -> TimelineEvent:
    """An event of the timeline from the values that ``TIMELINE`` selects."""
    bounced = one.event in ("bounce", "blocked")
    details: dict[str, Any] = {
        "attempt": one.attempt or None,
        "site": one.site,
        "mx_host": one.mx_host,
        "mx_ip": one.mx_ip,
        "source_ip": one.source_ip,
        "tls_version": one.tls_version,
        "tls_cipher": one.tls_cipher,
        # 0 is a duration if there was a transaction, and meaningless if there was none.
        "duration_ms": one.duration_ms if one.attempt else None,
        "reason": "" if bounced else one.reason,
        "bounce_class": one.bounce_class,
        "next_attempt_at": None if one.next_attempt_at is None else iso(one.next_attempt_at),
        "link_index": one.link_index if one.event == "click" else None,
        "source": "image" if one.image else "",
        "image": one.image,
        "asm_group_id": one.asm_group_id if one.event in _OF_GROUPS else None,
        "machine": one.machine if one.event in _ENGAGEMENT else None,
        "machine_rule": one.machine_rule,
    }
    return TimelineEvent(
        event_type=one.event,
        recipient_email=recipient,
        timestamp=iso(at),
        url=one.url or None,
        user_agent=one.user_agent or None,
        ip_address=one.ip or None,
        bounce_type=one.bounce_type or None,
        bounce_reason=one.reason if bounced else None,
        smtp_response=smtp_response or None,
        metadata={key: value for key, value in details.items() if value not in ("", None)},
    )
