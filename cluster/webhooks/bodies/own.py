"""Bodies in our own dialect: the events of the message timeline, each with what an endpoint needs beside them.

The fields of an event and its ``metadata`` are those of GET /v3/messages/{id} (analytics/queries.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from cluster.events import (
    Bounced,
    Clicked,
    Deferred,
    Delivered,
    Dropped,
    Engagement,
    Event,
    GroupResubscribed,
    GroupUnsubscribed,
    Opened,
    Processed,
    SpamReported,
    Unsubscribed,
    WebhookDisabled,
    name_of,
)
from cluster.times import iso, milliseconds
from cluster.webhooks.bundles import OwedEvent

_encode = msgspec.json.Encoder().encode


def body(events: Sequence[OwedEvent], *, is_array: bool) -> bytes:
    """An array of the events, or the one event alone. Raises ValueError when there is not one."""
    if is_array:
        return _encode([_shown(event) for event in events])
    (event,) = events
    return _encode(_shown(event))


def _shown(owed: OwedEvent) -> dict[str, Any]:
    event = owed.event
    shown: dict[str, Any] = {
        "event_id": event.id,
        "event_type": name_of(event),
        "timestamp": iso(milliseconds(event.at)),
        "message_id": None,
        "recipient_email": None,
        "tenant_id": event.tenant_id,
        "sequence": owed.sequence,
    }
    metadata: dict[str, Any] = {}
    if isinstance(event, WebhookDisabled):
        metadata |= {"webhook_id": event.webhook_id, "url": event.url, "reason": event.reason}
    else:
        shown["message_id"] = event.message_id
        shown["recipient_email"] = event.recipient
        shown["batch_id"] = event.batch_id
        shown["categories"] = event.categories
        if owed.custom_args:
            shown["custom_args"] = owed.custom_args
        _ADDS[type(event)](event, shown, metadata)
    shown["metadata"] = metadata
    return shown


# One function for each kind of event, found by its type: a post may have a thousand.


def _reason(event: Processed | Dropped | SpamReported, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    if event.reason:
        metadata["reason"] = event.reason


def _deferred(event: Deferred, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    _attempt(event, shown, metadata)
    if event.reason:
        metadata["reason"] = event.reason
    if event.bounce_class:
        metadata["bounce_class"] = event.bounce_class
    metadata["next_attempt_at"] = iso(milliseconds(event.next_attempt_at))


def _bounced(event: Bounced, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    shown["bounce_type"] = event.bounce_type
    shown["bounce_reason"] = event.reason
    _attempt(event, shown, metadata)
    if event.bounce_class:
        metadata["bounce_class"] = event.bounce_class


def _attempt(event: Deferred | Delivered | Bounced, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    if event.smtp_response:
        shown["smtp_response"] = event.smtp_response
    if event.attempt:
        metadata["attempt"] = event.attempt
        # 0 is a duration if there was a transaction, and meaningless if there was none.
        metadata["duration_ms"] = event.duration_ms
    for name, value in (
        ("site", event.site),
        ("mx_host", event.mx_host),
        ("mx_ip", event.mx_ip),
        ("source_ip", event.source_ip),
        ("tls_version", event.tls_version),
        ("tls_cipher", event.tls_cipher),
    ):
        if value:
            metadata[name] = value


def _opened(event: Opened, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    if event.image:
        metadata["source"] = "image"
        metadata["image"] = event.image
    _engagement(event, shown, metadata)


def _clicked(event: Clicked, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    shown["url"] = event.url
    metadata["link_index"] = event.link_index
    _engagement(event, shown, metadata)


def _of_group(event: GroupUnsubscribed | GroupResubscribed, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    metadata["asm_group_id"] = event.asm_group_id
    _engagement(event, shown, metadata)


def _engagement(event: Engagement, shown: dict[str, Any], metadata: dict[str, Any]) -> None:
    if event.user_agent:
        shown["user_agent"] = event.user_agent
    if event.ip:
        shown["ip_address"] = event.ip
    metadata["machine"] = bool(event.machine)
    if event.machine:
        metadata["machine_rule"] = event.machine


_ADDS: dict[type[Event], Callable[[Any, dict[str, Any], dict[str, Any]], None]] = {
    Processed: _reason,
    Deferred: _deferred,
    Delivered: _attempt,
    Bounced: _bounced,
    Dropped: _reason,
    SpamReported: _reason,
    Opened: _opened,
    Clicked: _clicked,
    Unsubscribed: _engagement,
    GroupUnsubscribed: _of_group,
    GroupResubscribed: _of_group,
}
"""What adds the fields and the metadata of a kind of event."""
