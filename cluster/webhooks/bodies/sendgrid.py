"""Bodies in SendGrid's dialect: the events of its Event Webhook, as the libraries of its customers read them.

Where its documentation and its posts differ, what such libraries read decides: ``category`` is a list, also of one;
``type`` of a bounce is "bounce" only for an address that should not be used again, because they suppress it by that.
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
from cluster.policy.replies.classifications import classification_of
from cluster.policy.replies.enhanced import enhanced_code
from cluster.suppression.lists import SuppressionList
from cluster.webhooks.bundles import OwedEvent

NAMES = {
    "processed": "processed",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounce",
    "blocked": "bounce",
    "dropped": "dropped",
    "open": "open",
    "click": "click",
    "spam_report": "spamreport",
    "unsubscribe": "unsubscribe",
    "group_unsubscribe": "group_unsubscribe",
    "group_resubscribe": "group_resubscribe",
}
"""SendGrid's name of each event of messages."""

_DROPS: dict[str, str] = {
    SuppressionList.UNSUBSCRIBES: "Unsubscribed Address",
    SuppressionList.GROUP: "Unsubscribed Address",
    SuppressionList.BOUNCES: "Bounced Address",
    SuppressionList.INVALID_EMAILS: "Invalid",
    SuppressionList.SPAM_REPORTS: "Spam Reporting Address",
}
"""SendGrid's reason for what is dropped because of a list."""
_UNTOLD = "0.0"
"""The end of a status code that says only whether the failure is permanent (RFC 3463 §3.1)."""

_encode = msgspec.json.Encoder().encode


def body(events: Sequence[OwedEvent]) -> bytes:
    """An array of the events. Those that SendGrid does not have (``WebhookDisabled``) are left out."""
    return _encode([_shown(owed, owed.event) for owed in events if not isinstance(owed.event, WebhookDisabled)])


def _shown(owed: OwedEvent, event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **owed.custom_args,
        "email": event.recipient,
        "timestamp": int(event.at),
        "event": NAMES[name_of(event)],
        "sg_event_id": event.id,
        # SendGrid's own continues after the id, with a dot. Libraries cut it there, or compare all of it.
        "sg_message_id": event.message_id,
    }
    if owed.smtp_id:
        shown["smtp-id"] = owed.smtp_id
    if event.categories:
        shown["category"] = event.categories
    if owed.asm_group_id:
        shown["asm_group_id"] = owed.asm_group_id
    _ADDS[type(event)](event, shown)
    return shown


# One function for each kind of event, found by its type: a post may have a thousand.


def _nothing(event: Processed | SpamReported, shown: dict[str, Any]) -> None:
    """It has no fields of its own."""


def _deferred(event: Deferred, shown: dict[str, Any]) -> None:
    _sent(event, shown)
    shown["response"] = _line(event.smtp_response) or event.reason
    shown["reason"] = event.reason
    shown["attempt"] = str(event.attempt)


def _delivered(event: Delivered, shown: dict[str, Any]) -> None:
    _sent(event, shown)
    shown["response"] = _line(event.smtp_response)
    shown["tls"] = int(bool(event.tls_version))


def _bounced(event: Bounced, shown: dict[str, Any]) -> None:
    _sent(event, shown)
    shown["reason"] = _line(event.smtp_response) or event.reason
    shown["status"] = enhanced_code(event.smtp_response) or f"{4 if event.bounce_type == 'soft' else 5}.{_UNTOLD}"
    shown["type"] = "bounce" if event.bounce_type == "hard" else "blocked"
    shown["bounce_classification"] = classification_of(event.bounce_class)
    shown["tls"] = int(bool(event.tls_version))


def _dropped(event: Dropped, shown: dict[str, Any]) -> None:
    shown["reason"] = _DROPS.get(event.reason.split(" ", 1)[0], event.reason)
    shown["status"] = f"5.{_UNTOLD}"


def _opened(event: Opened, shown: dict[str, Any]) -> None:
    _engagement(event, shown)
    shown["sg_machine_open"] = bool(event.machine)
    shown["sg_content_type"] = "html"


def _clicked(event: Clicked, shown: dict[str, Any]) -> None:
    _engagement(event, shown)
    shown["url"] = event.url
    # Which of its texts had the link is not known; only html has links unless its sender tracks others too.
    shown["url_offset"] = {"index": event.link_index, "type": "html"}


def _of_group(event: GroupUnsubscribed | GroupResubscribed, shown: dict[str, Any]) -> None:
    _engagement(event, shown)
    shown["asm_group_id"] = event.asm_group_id


def _engagement(event: Engagement, shown: dict[str, Any]) -> None:
    # Always there: libraries take it for granted.
    shown["useragent"] = event.user_agent
    if event.ip:
        shown["ip"] = event.ip


def _sent(event: Deferred | Delivered | Bounced, shown: dict[str, Any]) -> None:
    if event.source_ip:
        shown["ip"] = event.source_ip


def _line(reply: str) -> str:
    """A reply in one line, as SendGrid tells it."""
    return reply.replace("\n", " ")


_ADDS: dict[type[Event], Callable[[Any, dict[str, Any]], None]] = {
    Processed: _nothing,
    Deferred: _deferred,
    Delivered: _delivered,
    Bounced: _bounced,
    Dropped: _dropped,
    SpamReported: _nothing,
    Opened: _opened,
    Clicked: _clicked,
    Unsubscribed: _engagement,
    GroupUnsubscribed: _of_group,
    GroupResubscribed: _of_group,
}
"""What adds the fields of a kind of event."""
